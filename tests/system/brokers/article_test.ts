/** The two programs of AWS's article on MQTT over port 443, each as one command of ours. */

import { assertEquals, assertMatch } from "@std/assert";
import { startBrokers } from "./brokers.ts";
import { runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const CLOCK = [
  ...["publish", "--source", "clock", "--format", "text", "--topic", "test/date"],
  ...["--interval", "1s", "--qos", "0"],
];
const GREETING = "Hello over MQTT on port 443";
const HELLO = ["publish", "--topic", "alpn/devicesdk", "--qos", "0", "--message", GREETING];

const WAYS = [
  { to: "front", through: "HAProxy with ALPN", flags: [] },
  { to: "plainTls", through: "mosquitto with --alpn none", flags: ["--alpn", "none"] },
  { to: "port8883", through: "mosquitto on port 8883", flags: [] },
] as const;

for (const { to, through, flags } of WAYS) {
  Deno.test(`publish sends the local time each second through ${through} and ends with 0 on SIGTERM`, async () => {
    await using brokers = await startBrokers();
    await using witness = await brokers.witness();
    await using program = runProgram(brokers, [...CLOCK, ...flags], { to: brokers[to] });
    const seen = await witness.until((all) => all.length >= 3, "three messages");
    program.signal("SIGTERM");
    assertEquals(await program.ended, 0);
    for (const { topic, payload, qos } of seen) {
      assertEquals([topic, qos], ["test/date", 0]);
      assertMatch(payload, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
    }
    assertEquals(new Set(seen.map(({ payload }) => payload)).size, 3);
    assertEquals(program.log().at(-1)?.event, "stopped");
  });

  Deno.test(`publish --message arrives once through ${through} and ends with 0`, async () => {
    await using brokers = await startBrokers();
    await using witness = await brokers.witness();
    await using program = runProgram(brokers, [...HELLO, ...flags], { to: brokers[to] });
    assertEquals(await program.ended, 0);
    await brokers.publish("end", "");
    const seen = await witness.until((all) => all.at(-1)?.topic === "end", "the end");
    assertEquals(seen.slice(0, -1), [{ topic: "alpn/devicesdk", payload: GREETING, qos: 0 }]);
  });
}
