/** What the log of the program as a process makes of what the server said, granted and did. */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { inputOf, makeRig, numbered, pki, replaced } from "../support/publishing.ts";
import { type Script, startScriptedBroker } from "../support/scripted_broker.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Longer than is shown, and with what could forge a line. */
const WORDS = `quota of plant 7\u001b[2J\n2026 forged ${"x".repeat(1000)}`;
const SHOWN = /^quota of plant 7.*forged x+…$/s;

/** What a broker says with a reason, and where the log has it. */
const SAYING: readonly (readonly [what: string, Script, args: readonly string[], event: string])[] =
  [
    [
      "a PUBACK",
      (packet, send) => {
        if (packet.cmd !== "publish") return;
        const properties = { reasonString: WORDS };
        send({ cmd: "puback", messageId: packet.messageId!, reasonCode: 0x97, properties });
      },
      ["publish", "--message", "x"],
      "disconnected",
    ],
    [
      "a DISCONNECT",
      (packet, send) => {
        if (packet.cmd !== "publish") return;
        send({ cmd: "disconnect", reasonCode: 0x98, properties: { reasonString: WORDS } });
      },
      ["publish", "--message", "x"],
      "disconnected",
    ],
    [
      "a DISCONNECT",
      (packet, send) => {
        if (packet.cmd !== "subscribe") return;
        send({ cmd: "disconnect", reasonCode: 0x98, properties: { reasonString: WORDS } });
      },
      ["watch", "a/#"],
      "retrying",
    ],
  ];

for (const [what, script, [command, ...args], event] of SAYING) {
  Deno.test(`${command} logs what the server says in ${what}, cut and in one line (D9)`, async () => {
    await using rig = await makeRig();
    await using broker = await startScriptedBroker(pki, script);
    const flags = replaced(rig.flags, { "--port": `${broker.port}` });
    const run = rig.run([command!, ...args, ...flags]);
    const { said, code } = await run.said(event, (line) => line.said !== undefined);
    assertMatch(String(said), SHOWN);
    assert(String(said).length < 300, `${String(said).length} characters`);
    assert(["puback-refused", "disconnected"].includes(String(code)), String(code));
  });
}

for (const mqttVersion of ["5", "3.1.1"]) {
  Deno.test(`publisher names MQTT 3.1.1 where a broker hangs up on CONNECT of MQTT ${mqttVersion} only if it was not tried (D11)`, async () => {
    await using rig = await makeRig({ faults: { closeAtConnect: true } });
    const run = rig.publish(["--mqtt-version", mqttVersion, "--message", "x"]);
    const { code, hint } = await run.said("retrying");
    assertEquals(code, "connect-hung-up");
    (mqttVersion === "5" ? assertMatch : assertNotMatch)(String(hint), /--mqtt-version 3\.1\.1/);
  });
}

for (const qos of ["0", "1"]) {
  Deno.test(`publisher keeps AWS's rate where what the server grants shows that it is AWS, with QoS ${qos} (D14)`, async () => {
    await using rig = await makeRig({ limits: { maximumPacketSize: 149_504 } });
    const run = rig.publish(["--source", "stdin", "--qos", qos], {
      input: inputOf(numbered(1, 300)),
    });
    assertEquals(await run.code, 0);
    await rig.endpoint.waitFor(300);
    const times = rig.endpoint.received.map(({ atMs }) => atMs);
    // 100 a second, of which the first may come at once.
    assert(times.at(-1)! - times[0]! >= 1800, `${times.at(-1)! - times[0]!} ms`);
    const { published } = await run.said("stopped");
    assertEquals(published, 300);
  });
}
