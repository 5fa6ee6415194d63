/** `watch` against the endpoint: what it prints, and how it ends. */

import { assertEquals, assertMatch } from "@std/assert";
import { makeRig, type Rig, type Run } from "./publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Watches as another client than the publisher. */
function watch(rig: Rig, filter: string, more: readonly string[] = []): Run {
  const at = rig.flags.indexOf("--client-id");
  const flags = rig.flags.with(at + 1, "gw-7-watch");
  return rig.run(["watch", filter, ...flags, ...more]);
}

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
