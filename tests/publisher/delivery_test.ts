/** What becomes of messages that are lost, not acknowledged or refused: resent, kept, or set aside. */

import { assertEquals, assertMatch } from "@std/assert";
import type { Connection } from "../../lib/connection/types.ts";
import { Delivery } from "../../lib/publisher/delivery.ts";
import type { Rates } from "../../lib/publisher/pacer.ts";
import { createReports } from "../../lib/publisher/reports.ts";
import { Poison } from "../../lib/publisher/poison.ts";
import type { ReceivedMessage } from "../../tools/endpoint/mod.ts";
import {
  firsts,
  inputOf,
  makeRig,
  numbered,
  openInput,
  queueOffline,
  range,
  type Rig,
  seqsOf,
  TARGET,
} from "../support/publishing.ts";
import { memoryQueue, messages } from "../support/queueing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const BAD = ["--topic", "deny/a"];
const GOOD = ["--topic", "dt/a"];
const isBad = ({ topic }: Pick<ReceivedMessage, "topic">) => topic.startsWith("deny/");

/** What the command `queue` counts. */
async function countsOf(rig: Rig): Promise<{ waiting: number; quarantined: number }> {
  const run = rig.run(["queue", "--json", "--state", `${rig.folder}/state`]);
  assertEquals(await run.code, 0, run.errors.join("\n"));
  const { waiting, quarantined } = JSON.parse(run.out.join(""));
  return { waiting, quarantined };
}

Deno.test("publisher sends again what was not acknowledged in time (P2)", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: 3 } });
  const flags = ["--source", "stdin", "--ack-timeout", "1s"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 50)) });
  assertEquals(await run.code, 0);
  const seqs = seqsOf(rig.endpoint.received);
  assertEquals(firsts(seqs), range(1, 50));
  assertEquals(rig.endpoint.connects.length, 2);
  // Only what was in flight on the first connection is sent again, under the seq it had.
  assertEquals(seqs.filter((seq, at) => seqs.indexOf(seq) < at), [1, 2, 3]);
  const { cause, step } = await run.said("disconnected");
  assertEquals(step, "publish");
  assertMatch(String(cause), /^No PUBACK from localhost:\d+ within 1 s$/);
});

for (const version of ["5", "3.1.1"]) {
  Deno.test(`publisher sends again what was cut off before its PUBACK, MQTT ${version} (P3)`, async () => {
    await using rig = await makeRig({ faults: { closeAfterPublishes: 1 } });
    const run = rig.publish(["--message", "once", "--mqtt-version", version]);
    await rig.endpoint.waitFor(1);
    rig.endpoint.faults.closeAfterPublishes = 0;
    assertEquals(await run.code, 0);
    assertEquals(rig.endpoint.received.map(({ payload }) => payload), ["once", "once"]);
  });
}

Deno.test("publisher sets one message aside that ends each session, and delivers the rest (P4)", async () => {
  const poison = ({ payload }: ReceivedMessage) => JSON.parse(payload).seq === 3;
  await using rig = await makeRig({ faults: { closeAtPublish: poison } });
  await queueOffline(rig, 30, GOOD);
  const { stream } = openInput();
  const run = rig.publish(["--source", "stdin", ...GOOD], { input: stream });
  const { seq, topic } = await run.said("quarantined");
  assertEquals({ seq, topic }, { seq: 3, topic: "dt/a" });
  await rig.endpoint.until(() => firsts(seqsOf(rig.endpoint.received)).length === 29);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 1 });
});

Deno.test("publisher gets past neighbours that each end the session (P4)", async () => {
  await using rig = await makeRig({ faults: { closeAtPublish: isBad } });
  await queueOffline(rig, 2, BAD);
  await queueOffline(rig, 10, GOOD);
  const { stream } = openInput();
  const run = rig.publish(["--source", "stdin", ...GOOD], { input: stream });
  await run.said("quarantined", ({ seq }) => seq === 1);
  await run.said("quarantined", ({ seq }) => seq === 2);
  await rig.endpoint.until(() => firsts(seqsOf(rig.endpoint.received)).length === 10);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 2 });
});

Deno.test("publisher sets nothing aside when the endpoint took nothing for a while (P4)", async () => {
  await using rig = await makeRig({ faults: { closeAtPublish: true } });
  await queueOffline(rig, 5, GOOD);
  const { stream } = openInput();
  const run = rig.publish(["--source", "stdin", ...GOOD], { input: stream });
  // The head three times, and two after it: a message would be blamed if the next one were taken now.
  await rig.endpoint.until(() => rig.endpoint.connects.length === 6, { deadlineMs: 20_000 });
  rig.endpoint.faults.closeAtPublish = false;
  await rig.endpoint.until(() => firsts(seqsOf(rig.endpoint.received)).length === 5);
  await run.until(() => run.log.some(({ event }) => event === "drained"));
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});

for (const code of [0x87, 0x90]) {
  const name = `0x${code.toString(16)}`;
  Deno.test(`publisher sets aside what PUBACK ${name} refuses, and delivers the rest (P5)`, async () => {
    await using rig = await makeRig({ faults: { refusePublish: isBad, pubackCode: code } });
    await queueOffline(rig, 5, GOOD);
    await queueOffline(rig, 20, BAD);
    await queueOffline(rig, 5, GOOD);
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin", ...GOOD], { input: stream });
    await rig.endpoint.waitFor(10);
    // Each message that is taken shows that others of the refused ones are to blame themselves.
    await run.until(() => {
      if (run.log.filter(({ event }) => event === "quarantined").length === 20) return true;
      if (run.log.at(-1)?.event === "published") queueMicrotask(() => write("{}"));
      return false;
    });
    run.signal();
    assertEquals(await run.code, 0);
    assertEquals((await countsOf(rig)).quarantined, 20);
    assertEquals(rig.endpoint.received.some(isBad), false);
  });
}

Deno.test("publisher keeps what a policy refused for a while, and delivers it (P5)", async () => {
  await using rig = await makeRig({ faults: { refusePublish: true, pubackCode: 0x87 } });
  await queueOffline(rig, 8, GOOD);
  const { stream } = openInput();
  const run = rig.publish(["--source", "stdin", ...GOOD], { input: stream });
  await run.said("disconnected");
  rig.endpoint.faults.refusePublish = false;
  await rig.endpoint.waitFor(8);
  await run.said("drained");
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 8));
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});

for (const code of [0x80, 0x91, 0x97]) {
  const name = `0x${code.toString(16)}`;
  Deno.test(`publisher sends later what PUBACK ${name} says is not taken now (P5)`, async () => {
    await using rig = await makeRig({ faults: { refusePublish: 2, pubackCode: code } });
    const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 10)) });
    assertEquals(await run.code, 0);
    assertEquals(firsts(seqsOf(rig.endpoint.received)).toSorted((a, b) => a - b), range(1, 10));
    assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
    assertMatch(String((await run.said("disconnected")).cause), new RegExp(`PUBACK ${name} `));
  });
}

Deno.test("publisher names the policy when each session ends right after a PUBLISH", async () => {
  await using rig = await makeRig({ faults: { closeAtPublish: true } });
  // Lines that say the same are a minute apart, so this clock is.
  let minutes = 0;
  const monotonicMs = () => performance.now() + 60_000 * minutes;
  const { stream, write } = openInput();
  const run = rig.publishHere(["--source", "stdin"], { input: stream, monotonicMs });
  write("{}");
  for (let n = 1; n <= 4; n++) {
    await run.until(() => run.log.filter(({ event }) => event === "disconnected").length === n);
    minutes++;
  }
  const said = run.log.filter(({ event }) => event === "disconnected").at(-1)!;
  assertMatch(String(said.cause), /right after a PUBLISH$/);
  assertMatch(String(said.hint), /iot:Publish/);
});

Deno.test("publisher suggests a duplicate client id when it is thrown out again and again (C6)", async () => {
  await using rig = await makeRig({ faults: { closeAfterConnack: true } });
  const run = rig.publish(["--interval", "1h", "--source", "clock"]);
  await run.until(() => run.log.filter(({ event }) => event === "disconnected").length === 4);
  const said = run.log.filter(({ event }) => event === "disconnected").at(-1)!;
  assertMatch(String(said.hint), /another device uses client id "gw-7"|iot:Publish/);
});

Deno.test("publisher has little more than half a MiB in flight, however many large messages wait", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: true } });
  const flags = ["--source", "stdin", "--format", "text", "--inflight", "100"];
  const input = inputOf(Array(30).fill("x".repeat(100 * 1024)), 1);
  const run = rig.publish([...flags, "--ack-timeout", "1s"], { input });
  await run.said("disconnected");
  // Five are 500 KiB, so there is room for a sixth.
  assertEquals(rig.endpoint.received.length, 6);
});

Deno.test("delivery sends all of a backlog but its last at the backlog's rate, however few are taken at once", () => {
  const queue = memoryQueue();
  // Three of them are taken at once.
  queue.put(messages(5, "x".repeat(100_000)));
  const live = { messages: undefined, bytes: undefined };
  const backlog = { messages: 1, bytes: undefined };
  const used: Rates[] = [];
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const monotonicMs = () => 0;
  const delivery = new Delivery({
    connection: {
      publish() {},
      doings: () => ({ sent: 0, acknowledged: 0, ms: 0 }),
    } as unknown as Connection,
    queue,
    poison: new Poison(),
    pacer: { waitMs: () => 0, sent: (_nowMs, _bytes, rates) => void used.push(rates) },
    reports: createReports(log, monotonicMs),
    log,
    target: TARGET,
    inflight: 20,
    ackTimeoutMs: 20_000,
    rates: { live, backlog },
    onAccepted() {},
    monotonicMs,
  });
  delivery.stop(false);
  queue.close();
  assertEquals(used, [backlog, backlog, backlog, backlog, live]);
});
