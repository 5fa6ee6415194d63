/** Both versions of MQTT and both qualities of service, against real brokers. */

import { assert, assertEquals } from "@std/assert";
import { startBrokers } from "./brokers.ts";
import { runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** As mosquitto's log calls the protocol of a client. */
const VERSIONS = [["5", "p5"], ["3.1.1", "p2"]] as const;

for (const [version, logged] of VERSIONS) {
  for (const qos of [0, 1]) {
    for (const to of ["front", "plainTls"] as const) {
      const through = to === "front" ? "HAProxy" : "mosquitto";
      Deno.test(`publish sends telemetry over MQTT ${version} at QoS ${qos} through ${through}`, async () => {
        await using brokers = await startBrokers();
        await using witness = await brokers.witness();
        await using program = runProgram(brokers, [
          ...["publish", "--source", "system", "--count", "3", "--interval", "100ms"],
          ...["--mqtt-version", version, "--qos", `${qos}`],
          ...(to === "plainTls" ? ["--alpn", "none"] : []),
        ], { to: brokers[to] });
        assertEquals(await program.ended, 0);
        const seen = await witness.until((all) => all.length === 3, "three messages");
        for (const [index, message] of seen.entries()) {
          assertEquals(message.topic, "dt/mqtt443/gw-7/telemetry");
          assertEquals(message.qos, qos);
          const { device, seq, time, metrics } = JSON.parse(message.payload);
          assertEquals([device, seq], ["gw-7", index + 1]);
          assertEquals(new Date(time).toISOString(), time);
          assertEquals(typeof metrics.uptime_seconds, "number");
        }
        const welcome = brokers.mosquittoLog.all.find((line) => line.includes(" as gw-7 ("));
        assert(welcome?.includes(`(${logged}, c1, k60`), welcome);
      });
    }
  }
}
