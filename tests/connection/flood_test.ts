/** A server that sends valid packets as fast as it can: the program as a scoped process goes on with its own work. */

import { assertEquals, assertLess, assertMatch } from "@std/assert";
import type { Packet } from "mqtt-packet";
import { rssKib } from "../../tools/bench/process.ts";
import { makeRig, pki, replaced } from "../support/publishing.ts";
import { startScriptedBroker } from "../support/scripted_broker.ts";

const MESSAGE = { cmd: "publish", topic: "a", payload: "x", dup: false, retain: false } as const;

const UNASKED: Readonly<Record<string, Packet>> = {
  PINGRESP: { cmd: "pingresp" },
  SUBACK: { cmd: "suback", messageId: 7, granted: [1] },
  PUBLISH: { ...MESSAGE, qos: 0 },
};

for (const [name, packet] of Object.entries(UNASKED)) {
  Deno.test(`publisher ends a session at the first ${name} that it did not ask for, and samples on (G15)`, async () => {
    await using rig = await makeRig();
    await using broker = await startScriptedBroker(pki, ({ cmd }, _send, flood) => {
      if (cmd === "connect") flood(packet);
    });
    const flags = replaced(rig.flags, { "--port": `${broker.port}` });
    const run = rig.run(["publish", ...flags, "--source", "clock", "--interval", "100ms"]);
    const { cause } = await run.said("disconnected");
    assertMatch(`${cause}`, /does not speak MQTT as it should: it sent /);
    const queued = () => run.log.filter(({ event }) => event === "queued").length;
    const before = queued();
    await run.until(() => queued() >= before + 3, "three more samples");
    run.signal();
    assertEquals(await run.code, 0);
  });
}

for (const qos of [0, 1] as const) {
  Deno.test(`watch in a flood of messages of QoS ${qos} ends at a signal, and keeps its memory (G15)`, async () => {
    await using rig = await makeRig();
    await using broker = await startScriptedBroker(pki, (packet, send, flood) => {
      if (packet.cmd !== "subscribe") return;
      send({ cmd: "suback", messageId: packet.messageId!, granted: [1] });
      flood({ ...MESSAGE, qos, messageId: 7 });
    });
    const flags = replaced(rig.flags, { "--port": `${broker.port}`, "--client-id": "viewer" });
    const run = rig.run(["watch", "a", ...flags]);
    await run.until(() => run.out.length > 5000, "many messages");
    const before = rssKib(run.pid);
    await run.until(() => run.out.length > 15_000, "many more");
    assertLess(rssKib(run.pid) - before, 40 * 1024);
    run.signal();
    assertEquals(await run.code, 0);
  });
}
