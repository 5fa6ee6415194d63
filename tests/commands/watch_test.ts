/** `watch` against the endpoint: what it prints, as which client, and how it ends. */

import { assertEquals, assertMatch } from "@std/assert";
import { startChild } from "../support/children.ts";
import {
  makeRig,
  pki,
  replaced,
  type Rig,
  type Run,
  type RunOptions,
} from "../support/publishing.ts";
import { type ScriptedBroker, startScriptedBroker } from "../support/scripted_broker.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** The rig's flags but for the client id: that of the world is the host name, gw-7, as the publisher's flag has it. */
function flagsOf(rig: Rig): readonly string[] {
  return rig.flags.toSpliced(rig.flags.indexOf("--client-id"), 2);
}

function watch(
  rig: Rig,
  filter: string,
  more: readonly string[] = [],
  around: RunOptions = {},
): Run {
  return rig.run(["watch", filter, ...flagsOf(rig), ...more], around);
}

const clientIds = (rig: Rig) => rig.endpoint.connects.map(({ clientId }) => clientId);

/** Sends a message to those who watch, until one of them has printed something. */
async function sendUntilPrinted(rig: Rig, run: Run, topic: string, payload: string): Promise<void> {
  const before = run.out.length;
  await run.said("connected");
  // The SUBSCRIBE has come when the endpoint delivers; a message before it goes nowhere.
  const timer = setInterval(() => rig.endpoint.publish(topic, payload), 20);
  await run.until(() => run.out.length > before, "a line").finally(() => clearInterval(timer));
}

Deno.test("watch prints time, topic and payload of each message, and ends well on a signal", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "dt/#");
  await sendUntilPrinted(rig, run, "dt/a", '{"n":1}');
  run.signal();
  assertEquals(await run.code, 0);
  assertMatch(run.out[0]!, /^\d{4}-\d\d-\d\dT[\d:.]+Z dt\/a \{"n":1\}\n$/);
  await rig.endpoint.until(() => rig.endpoint.closes.length === 1);
  assertEquals(rig.endpoint.closes[0]?.by, "client");
});

Deno.test("watch ends after --count messages", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "dt/#", ["--count", "2"]);
  await sendUntilPrinted(rig, run, "dt/a", "x");
  rig.endpoint.publish("dt/a", "x");
  assertEquals(await run.code, 0);
  assertEquals(run.out.length, 2);
});

Deno.test("watch shows what a publisher of this program sends", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "#", ["--count", "1"]);
  await run.said("connected");
  await rig.publish(["--source", "clock", "--interval", "100ms", "--count", "5"]).code;
  assertEquals(await run.code, 0);
  assertMatch(run.out[0]!, / dt\/mqtt443\/gw-7\/telemetry \{"device":"gw-7","seq":\d,/);
});

Deno.test("watch lets no control character through to the terminal", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "t", ["--count", "1"]);
  await sendUntilPrinted(rig, run, "t", "a\u001b[2Jb\nc\rd\u0007e\u009bf\tg");
  assertEquals(await run.code, 0);
  assertMatch(run.out[0]!, / t a\uFFFD\[2Jb\\nc\uFFFDd\uFFFDe\uFFFDf\tg\n$/);
});

Deno.test("watch reconnects when the link is lost, and subscribes anew", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "t");
  await sendUntilPrinted(rig, run, "t", "before");
  rig.endpoint.cut();
  await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
  const printed = run.out.length;
  await sendUntilPrinted(rig, run, "t", "after");
  assertMatch(run.out[printed]!, / after\n$/);
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("watch ends with 77 when the policy refuses the subscription, and closes", async () => {
  await using rig = await makeRig({ policy: { subscribe: ["ok/#"] } });
  const run = watch(rig, "deny/#");
  assertEquals(await run.code, 77);
  assertMatch(run.errors.join("\n"), /^error: .*\nhint: /);
  await rig.endpoint.until(() => rig.endpoint.open === 0);
});

Deno.test("watch refuses a filter that is none, before it connects", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "a/#/b");
  assertEquals(await run.code, 78);
  assertMatch(run.errors.join("\n"), /Cannot watch "a\/#\/b"/);
  assertEquals(rig.endpoint.counts.connections, 0);
});

Deno.test("watch that is offline ends well on a signal", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const run = watch(rig, "t");
  await run.said("retrying");
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("watch beside the publisher, with its settings, throws nobody out (F3)", async () => {
  await using rig = await makeRig();
  const publisher = rig.publish(["--source", "clock", "--interval", "100ms"]);
  await publisher.said("connected");
  const around = { env: { MQTT443_CLIENT_ID: "gw-7" } };
  assertEquals(await watch(rig, "#", ["--count", "3"], around).code, 0);
  assertEquals(clientIds(rig), ["gw-7", "gw-7-watch"]);
  assertEquals(rig.endpoint.closes.map(({ by }) => by), ["client"]);
});

Deno.test("watch takes a client id of its own from the command line as it is (F3)", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "t", ["--client-id", "laptop"]);
  await run.said("connected");
  assertEquals(clientIds(rig), ["laptop"]);
});

Deno.test("watch refuses the client id of the publisher that runs on its state directory (F3)", async () => {
  await using rig = await makeRig();
  const publisher = rig.publish(["--source", "clock"]);
  await publisher.said("connected");
  const refused = watch(rig, "t", ["--client-id", "gw-7"]);
  assertEquals(await refused.code, 64);
  assertMatch(
    refused.errors.join("\n"),
    /"gw-7".*publisher.*\nhint: leave --client-id out.*"gw-7-watch"/,
  );
  assertEquals(clientIds(rig), ["gw-7"]);
  publisher.signal();
  assertEquals(await publisher.code, 0);
  // Nobody uses it any more.
  const taken = watch(rig, "t", ["--client-id", "gw-7"]);
  await taken.said("connected");
  assertEquals(clientIds(rig), ["gw-7", "gw-7"]);
});

for (
  const [what, id, used] of [
    ["of 128 bytes", "g".repeat(128), `${"g".repeat(122)}-watch`],
    ["that ends in a long letter", `${"g".repeat(121)}\u00fc`, `${"g".repeat(121)}-watch`],
  ] as const
) {
  Deno.test(`watch cuts a client id ${what}, to stay within 128 bytes (F3)`, async () => {
    await using rig = await makeRig();
    await Deno.writeTextFile(`${rig.folder}/a.json`, JSON.stringify({ clientId: id }));
    const run = watch(rig, "t", ["--config", `${rig.folder}/a.json`]);
    await run.said("connected");
    assertEquals(clientIds(rig), [used]);
  });
}

Deno.test("watch that may not connect says which client id the policy must allow (F3)", async () => {
  await using rig = await makeRig({ policy: { connect: ["gw-7"] } });
  const run = watch(rig, "t", [], { env: { MQTT443_CLIENT_ID: "gw-7" } });
  assertEquals(await run.code, 77);
  assertMatch(
    run.errors.join("\n"),
    /iot:Connect for client\/gw-7-watch \(`mqtt443 doctor --policy --client-id gw-7-watch`/,
  );
});

Deno.test("watch as a scoped process leaves the publisher its session, and refuses its client id (F3)", async () => {
  await using rig = await makeRig();
  const values = {
    endpoint: "localhost",
    port: rig.endpoint.port,
    certs: `${rig.folder}/certs`,
    state: `${rig.folder}/state`,
    clientId: "gw-7",
    source: "clock",
    interval: "100ms",
    logFormat: "json",
  };
  const config = `${rig.folder}/a.json`;
  await Deno.writeTextFile(config, JSON.stringify(values));
  const publisher = startChild(["publish", "--config", config]);
  try {
    await publisher.until(() => publisher.events("connected").length > 0);
    const codeOf = async (...more: string[]) => {
      const args = ["watch", "#", "--config", config, "--count", "3", ...more];
      const child = startChild(args);
      const { code } = await child.ended;
      await child.end();
      return code;
    };
    assertEquals([await codeOf(), await codeOf("--client-id", "gw-7")], [0, 64]);
    assertEquals(clientIds(rig), ["gw-7", "gw-7-watch"]);
    assertEquals(publisher.events("disconnected"), []);
  } finally {
    await publisher.kill();
  }
});

Deno.test("watch escapes what a topic would do to the terminal (G14)", async () => {
  await using rig = await makeRig();
  const sent = "dt/\u001b[2J\n2026 forged \u202ecod\u2028";
  await using peer = await startPeer(sent);
  const run = rig.run(["watch", "dt/+", ...atPort(rig, peer.port), "--count", "1"]);
  assertEquals(await run.code, 0);
  assertMatch(run.out[0]!, / dt\/\\u001b\[2J\\n2026 forged \\u202ecod\\u2028 x\n$/);
});

Deno.test("watch ends a session that brings a topic outside the filter, and prints none of it (G14)", async () => {
  await using rig = await makeRig();
  await using peer = await startPeer("other/topic");
  const run = rig.run(["watch", "dt/+", ...atPort(rig, peer.port)]);
  const { cause, step } = await run.said("disconnected");
  assertEquals(step, "mqtt");
  assertMatch(`${cause}`, /sent a message on "other\/topic", which does not match "dt\/\+"$/);
  assertEquals(run.out, []);
});

Deno.test("watch shows no direction marks or line separators of a payload either (G14)", async () => {
  await using rig = await makeRig();
  const run = watch(rig, "t", ["--count", "1"]);
  await sendUntilPrinted(rig, run, "t", "a\u202eb\u2029c\u2066d");
  assertMatch(run.out[0]!, / t a\uFFFDb\uFFFDc\uFFFDd\n$/);
});

function atPort(rig: Rig, port: number): string[] {
  return replaced(flagsOf(rig), { "--port": String(port) });
}

/** A broker that takes any SUBSCRIBE and answers it with a message on that topic, which no honest one would send. */
function startPeer(topic: string): Promise<ScriptedBroker> {
  return startScriptedBroker(pki, (packet, send) => {
    if (packet.cmd !== "subscribe") return;
    send({ cmd: "suback", messageId: packet.messageId!, granted: [1] });
    send({ cmd: "publish", topic, payload: "x", qos: 0, dup: false, retain: false });
  });
}
