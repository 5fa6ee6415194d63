/** Packs, in the form that ships: drains, kills, poison, limits, and what the log counts. */

import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import type { ReceivedMessage } from "../../../tools/endpoint/mod.ts";
import { lastQueued, startChild } from "../../support/children.ts";
import {
  countsOf,
  firsts,
  inputOf,
  makeRig,
  openInput,
  pki,
  queueOffline,
  range,
  type Rig,
  writeIdentity,
} from "../../support/publishing.ts";
import { sampleSeqs, samplesOf } from "../../support/samples.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const PACKED = ["--pack", "5KiB"];
const STDIN = ["--source", "stdin"];
const EMPTY = () => ReadableStream.from<Uint8Array>([]);

/** Lines whose samples have about 220 bytes. */
function* lines(first: number, last: number): Generator<string> {
  for (let n = first; n <= last; n++) yield JSON.stringify({ n, pad: "x".repeat(110) });
}

/** Queues so many samples of about 220 bytes while there is no link. */
async function queueSamples(rig: Rig, samples: number): Promise<void> {
  rig.endpoint.pause();
  const child = startChild(["publish", ...rig.flags, ...STDIN]);
  await child.write([...lines(1, samples)]);
  await child.until(() => lastQueued(child) === samples);
  await child.kill();
  await rig.endpoint.resume();
}

/** Whether no pack but the last could have taken a sample more. */
function areFull(received: readonly ReceivedMessage[], mostBytes: number): boolean {
  return received.slice(0, -1).every(({ topic, bytes }, at) => {
    const [next] = samplesOf(received[at + 1]!.payload);
    return topic.length + bytes + 1 + JSON.stringify(next).length > mostBytes;
  });
}

Deno.test("publisher drains 6,000 samples at 100 a second in full packs, in order (K4, K8)", async () => {
  await using rig = await makeRig();
  await queueSamples(rig, 6000);
  const run = rig.publish([...STDIN, ...PACKED, "--max-rate", "100"], { input: EMPTY() });
  assertEquals(await run.code, 0);
  const { received } = rig.endpoint;
  assertEquals(sampleSeqs(received), range(1, 6000));
  for (const { topic, bytes } of received) assertLessOrEqual(topic.length + bytes, 5120);
  assert(areFull(received, 5120));
  assert(received[0]!.isAlias === false && received.at(-1)!.isAlias);
  // At 100 a second that is less than 6 s; one by one it is a minute.
  assertLessOrEqual(received.length, 300);
  const publishes = received.length;
  const { messages } = await run.said("draining");
  const drained = await run.said("drained");
  assertEquals([messages, drained.messages, drained.publishes], [6000, 6000, publishes]);
  const stopped = await run.said("stopped");
  assertEquals([stopped.published, stopped.publishes, stopped.queued], [6000, publishes, 0]);
});

for (const packAs of ["samples", "columns"]) {
  Deno.test(`kill -9 three times in a drain of ${packAs} loses nothing, and repeats what was in flight at most (K2, Q1)`, async () => {
    await using rig = await makeRig();
    const { endpoint } = rig;
    await queueSamples(rig, 6000);
    const flags = [...STDIN, ...PACKED, "--pack-as", packAs, "--inflight", "10"];
    for (let kill = 1; kill <= 3; kill++) {
      const child = startChild(["publish", ...rig.flags, ...flags, "--max-rate", "200"]);
      const wanted = endpoint.received.length + 20;
      await endpoint.until(() => endpoint.received.length >= wanted);
      await child.kill();
    }
    const run = rig.publish(flags, { input: EMPTY() });
    assertEquals(await run.code, 0);
    const seqs = sampleSeqs(endpoint.received);
    assertEquals(firsts(seqs), range(1, 6000));
    const samples = Math.max(
      ...endpoint.received.map(({ payload }) => samplesOf(payload).length),
    );
    // Of each kill the window.
    assertLessOrEqual(seqs.length - 6000, 3 * 10 * samples);
  });
}

for (const packAs of ["samples", "columns"]) {
  Deno.test(`publisher sets one sample aside at which the server hangs up, and no other, of ${packAs} (K3, P4)`, async () => {
    const isBad = ({ payload }: ReceivedMessage) =>
      samplesOf(payload).some(({ metrics }) => metrics.n === 37);
    await using rig = await makeRig({ faults: { closeAtPublish: isBad } });
    await queueOffline(rig, 400);
    const { stream } = openInput();
    const flags = [...STDIN, ...PACKED, "--pack-as", packAs, "--inflight", "2"];
    const run = rig.publish(flags, { input: stream });
    const { seq } = await run.said("quarantined");
    assertEquals(seq, 37);
    await rig.endpoint.until(() => firsts(sampleSeqs(rig.endpoint.received)).length === 399);
    run.signal();
    assertEquals(await run.code, 0);
    assertEquals(await countsOf(rig), { waiting: 0, quarantined: 1 });
    const packs = rig.endpoint.received.map(({ payload }) => samplesOf(payload).length);
    // Those of the two packets that were in flight went one by one, the others packed again.
    assertLessOrEqual(packs.length, packAs === "samples" ? 150 : 300);
  });
}

Deno.test("publisher sets aside what PUBACK refuses in a pack, and delivers the rest (K3, P5)", async () => {
  const isBad = ({ payload }: ReceivedMessage) =>
    samplesOf(payload).some(({ metrics }) => metrics.n === 7);
  await using rig = await makeRig({ faults: { refusePublish: isBad, pubackCode: 0x99 } });
  await queueOffline(rig, 30);
  const run = rig.publish([...STDIN, ...PACKED], { input: EMPTY() });
  assertEquals(await run.code, 0);
  assertEquals(firsts(sampleSeqs(rig.endpoint.received)), [...range(1, 6), ...range(8, 30)]);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 1 });
  assertEquals((await run.said("quarantined")).seq, 7);
});

Deno.test("publisher keeps packs that a policy refused for a while, and delivers them (K3, P5)", async () => {
  await using rig = await makeRig({ faults: { refusePublish: true, pubackCode: 0x87 } });
  await queueOffline(rig, 30);
  const { stream } = openInput();
  const run = rig.publish([...STDIN, ...PACKED], { input: stream });
  await run.said("disconnected");
  rig.endpoint.faults.refusePublish = false;
  await rig.endpoint.until(() => sampleSeqs(rig.endpoint.received).length === 30);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(sampleSeqs(rig.endpoint.received), range(1, 30));
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});

Deno.test("packs hold messages of one topic and QoS, in their order (K2)", async () => {
  await using rig = await makeRig();
  const groups = [
    ["--topic", "dt/a"],
    ["--topic", "dt/b"],
    ["--topic", "dt/b", "--qos", "0"],
    ["--topic", "dt/a"],
  ];
  for (const flags of groups) await queueOffline(rig, 5, flags);
  const run = rig.publish([...STDIN, ...PACKED, "--topic", "dt/a"], { input: EMPTY() });
  assertEquals(await run.code, 0);
  await rig.endpoint.waitFor(4);
  assertEquals(
    rig.endpoint.received.map(({ topic, qos, payload }) => [
      topic,
      qos,
      ...samplesOf(payload).map(({ seq }) => seq),
    ]),
    [
      ["dt/a", 1, ...range(1, 5)],
      ["dt/b", 1, ...range(6, 10)],
      ["dt/b", 0, ...range(11, 15)],
      ["dt/a", 1, ...range(16, 20)],
    ],
  );
});

Deno.test("Maximum Packet Size bounds a pack (K4)", async () => {
  await using rig = await makeRig({ limits: { maximumPacketSize: 1000 } });
  await queueOffline(rig, 50);
  const run = rig.publish([...STDIN, ...PACKED], { input: EMPTY() });
  assertEquals(await run.code, 0);
  const { received } = rig.endpoint;
  assertEquals(sampleSeqs(received), range(1, 50));
  // 13 bytes are the most that a PUBLISH has besides.
  for (const { topic, bytes } of received) assertLessOrEqual(topic.length + bytes, 1000 - 13);
  assert(areFull(received, 1000 - 13));
});

Deno.test("what comes as text, in an envelope's own payload, or as --message is not packed (K6)", async () => {
  await using rig = await makeRig();
  const input = inputOf(['{"a":1}', '{"a":2}', "pump started", '{"payload":{"b":1}}', '{"a":3}']);
  const run = rig.publish([...STDIN, ...PACKED], { input });
  assertEquals(await run.code, 0);
  const payloads = rig.endpoint.received.map(({ payload }) => payload);
  assertEquals(sampleSeqs(rig.endpoint.received).filter(Boolean), [1, 2, 3, 5]);
  assertEquals(payloads.filter((payload) => payload.includes('"samples":[')).length >= 2, true);
  assert(payloads.includes('{"b":1}'));
  assertEquals(
    payloads.filter((payload) => payload.includes("pump")).map((payload) =>
      JSON.parse(payload).metrics
    ),
    [{ text: "pump started" }],
  );
  const message = rig.publish(["--message", "hello", ...PACKED]);
  assertEquals(await message.code, 0);
  assertEquals(rig.endpoint.received.at(-1)!.payload, "hello");
});

Deno.test("the log counts samples, and the packets that took them (K7)", async () => {
  await using rig = await makeRig();
  await queueOffline(rig, 30);
  const run = rig.publish([...STDIN, ...PACKED], { input: EMPTY() });
  assertEquals(await run.code, 0);
  const { seq, samples, bytes } = await run.said("published");
  assertEquals([seq, samples, bytes], ["1-30", 30, rig.endpoint.received[0]!.bytes]);
  const { published, publishes } = await run.said("stopped");
  assertEquals([published, publishes], [30, 1]);
});

Deno.test("packWait gathers what comes, and the end of the input sends it (K5)", async () => {
  await using rig = await makeRig();
  const { stream, write, end } = openInput();
  const flags = [...STDIN, ...PACKED, "--pack-wait", "1h"];
  const run = rig.publish(flags, { input: stream });
  await run.said("connected");
  for (let n = 1; n <= 5; n++) {
    write(`{"n":${n}}`);
    await run.until(() => lastQueued({ events: () => [...run.log] }) === n);
  }
  end();
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.received.map(({ payload }) => samplesOf(payload).length), [5]);
});

Deno.test("a stop sends the pack that waits (K5, X1)", async () => {
  await using rig = await makeRig();
  const { stream, write } = openInput();
  const run = rig.publish([...STDIN, ...PACKED, "--pack-wait", "1h"], { input: stream });
  await run.said("connected");
  write('{"n":1}');
  await run.said("queued");
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(sampleSeqs(rig.endpoint.received), [1]);
});

Deno.test("packs are json alone, and settings without effect are warned of", async () => {
  await using rig = await makeRig();
  const refused = rig.publish([...PACKED, "--format", "text"]);
  assertEquals(await refused.code, 78);
  assertMatch(refused.errors.join("\n"), /pack: must be none with format text.*"5KiB"/);
  const unused = rig.publish(["--source", "clock", "--count", "1", "--pack-wait", "10s"]);
  assertEquals(await unused.code, 0);
  assertEquals((await unused.said("warning")).code, "pack-unused");
});

Deno.test("a new certificate takes the pack that waits along (K5, X3)", async () => {
  await using rig = await makeRig();
  const { stream, write } = openInput();
  const run = rig.publish([...STDIN, ...PACKED, "--pack-wait", "1h"], { input: stream });
  await run.said("connected");
  for (let n = 1; n <= 3; n++) {
    write(`{"n":${n}}`);
    await run.until(() => lastQueued({ events: () => [...run.log] }) === n);
  }
  const device = await pki.authority.issue("gw-7 renewed");
  await writeIdentity(`${rig.folder}/certs`, { ca: rig.endpoint.certificates.ca, device });
  run.signal("SIGHUP");
  await rig.endpoint.waitFor(1);
  const [message] = rig.endpoint.received;
  assertEquals([message!.connection, ...sampleSeqs([message!])], [2, 1, 2, 3]);
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("publisher sets no packed sample aside when the endpoint took nothing for a while (K3, P4)", async () => {
  await using rig = await makeRig({ faults: { closeAtPublish: true } });
  await queueOffline(rig, 30);
  const { stream } = openInput();
  const run = rig.publish([...STDIN, ...PACKED], { input: stream });
  await rig.endpoint.until(() => rig.endpoint.connects.length === 6, { deadlineMs: 20_000 });
  rig.endpoint.faults.closeAtPublish = false;
  await rig.endpoint.until(() => firsts(sampleSeqs(rig.endpoint.received)).length === 30);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});
