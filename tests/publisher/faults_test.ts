/** The publisher with a server that fails: what is sent again, what is set aside, what is said. */

import { assert, assertEquals, assertGreaterOrEqual, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import {
  countsOf,
  firsts,
  inputOf,
  makeRig,
  numbered,
  openInput,
  queueOffline,
  range,
  type Rig,
  seqsOf,
} from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const BAD = ["--topic", "deny/a"];
const GOOD = ["--topic", "dt/a"];
const policy = {
  publish: (_clientId: string, topic: string) => !topic.startsWith("deny/"),
};

/** The messages that were set aside. */
function quarantineOf(rig: Rig): { seq: number; topic: string; payload: string; reason: string }[] {
  const db = new DatabaseSync(`${rig.folder}/state/queue.db`, { readOnly: true });
  try {
    return db.prepare("SELECT seq, topic, payload, reason FROM quarantine").all() as never;
  } finally {
    db.close();
  }
}

Deno.test("publisher leaves a server that answers PINGREQ but never PUBLISH, and sends the same again (P2)", async () => {
  // The server wants a PINGREQ each second, which our own settings do not offer.
  await using rig = await makeRig({ limits: { keepAliveMaxS: 1 }, faults: { forgetPuback: true } });
  const flags = ["--source", "stdin", "--ack-timeout", "2s", "--inflight", "20"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 30)) });
  await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
  assertGreaterOrEqual(rig.endpoint.counts.pings, 1);
  rig.endpoint.faults.forgetPuback = false;
  assertEquals(await run.code, 0);

  const { received, connects } = rig.endpoint;
  const seqs = seqsOf(received);
  assertEquals(firsts(seqs), range(1, 30));
  const first = received.filter(({ connection }) => connection === 1);
  assertEquals(seqsOf(first), range(1, 20), "the window, and no more");
  const again = seqs.filter((seq, at) => seqs.indexOf(seq) < at);
  assertEquals(again, range(1, 20));
  for (const seq of again) {
    const payloads = received.filter((_, at) => seqs[at] === seq).map(({ payload }) => payload);
    assertEquals(payloads[0], payloads[1]);
  }
  assert(connects.every(({ maxInFlight }) => maxInFlight <= 20));
  const lines = run.log.filter(({ event }) => event === "disconnected");
  assertEquals(lines.map(({ step }) => step), ["publish"]);
  assertMatch(String(lines[0]!.cause), /^No PUBACK from localhost:\d+ within 2 s$/);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});

for (const version of ["5", "3.1.1"]) {
  // DUP says that the packet was sent before in the same session (MQTT 5 section 3.3.1.1). Ours is a new session (clean)
  // and a new packet, so it is 0; the `seq` in the payload tells a repeat.
  Deno.test(`publisher sends once more, without DUP, what was cut off before its PUBACK, MQTT ${version} (P3)`, async () => {
    await using rig = await makeRig({ faults: { closeAfterPublishes: 1 } });
    const flags = ["--source", "stdin", "--mqtt-version", version];
    const run = rig.publish(flags, { input: inputOf(numbered(1, 1)) });
    await rig.endpoint.waitFor(1);
    rig.endpoint.faults.closeAfterPublishes = 0;
    assertEquals(await run.code, 0);
    const { received, connects } = rig.endpoint;
    assertEquals(received.map(({ connection, dup }) => ({ connection, dup })), [
      { connection: 1, dup: false },
      { connection: 2, dup: false },
    ]);
    assertEquals(connects.map(({ clean }) => clean), [true, true]);
    assertEquals(received[0]!.payload, received[1]!.payload);
    assertEquals(seqsOf(received), [1, 1]);
    assertEquals((await run.said("stopped")).published, 1);
  });

  Deno.test(`publisher keeps the one message that the policy denies on disk, and delivers all others, MQTT ${version} (P4)`, async () => {
    await using rig = await makeRig({ policy });
    await queueOffline(rig, 1, BAD);
    await queueOffline(rig, 29, GOOD);
    const { stream } = openInput();
    const flags = ["--source", "stdin", "--mqtt-version", version, ...GOOD];
    const run = rig.publish(flags, { input: stream });
    await rig.endpoint.until(() => firsts(seqsOf(rig.endpoint.received)).length === 29, {
      deadlineMs: 30_000,
    });
    run.signal();
    assertEquals(await run.code, 0);
    assertEquals(firsts(seqsOf(rig.endpoint.received)), range(2, 30));
    assertEquals(await countsOf(rig), { waiting: 0, quarantined: 1 });
    const [kept, ...more] = quarantineOf(rig);
    assertEquals({ ...kept, payload: JSON.parse(kept!.payload).seq }, {
      seq: 1,
      topic: "deny/a",
      payload: 1,
      reason: "the session ended each time it was sent alone, and the endpoint took others",
    });
    assertEquals(more, []);
    const { seq, level, topic } = await run.said("quarantined");
    assertEquals({ seq, level, topic }, { seq: 1, level: "error", topic: "deny/a" });
    // In the window, three times alone, once more after another: then it is known.
    assertEquals(rig.endpoint.counts.refused, 5);
    const windows = rig.endpoint.connects.map(({ maxInFlight }) => maxInFlight);
    assertEquals(windows.slice(1, 5), [1, 1, 1, 1]);
  });

  Deno.test(`publisher whose policy allows no publish says so in one line, and sets nothing aside, MQTT ${version} (P4)`, async () => {
    await using rig = await makeRig({ policy: { publish: [] } });
    const flags = ["--source", "stdin", "--mqtt-version", version, "--give-up-after", "8s"];
    const run = rig.publish(flags, { input: inputOf(numbered(1, 5)) });
    assertEquals(await run.code, 75);
    assertGreaterOrEqual(rig.endpoint.connects.length, 5);
    const named = run.log.filter(({ event, level, cause }) =>
      event === "disconnected" && level === "warn" &&
      /(right after a PUBLISH|0x87 not authorized, 3 times or more in a row)$/.test(String(cause))
    );
    assertEquals(named.length, 1);
    assertMatch(String(named[0]!.hint), /lacks iot:Publish on this topic/);
    assertEquals(await countsOf(rig), { waiting: 5, quarantined: 0 });
  });
}

Deno.test("publisher says of a server that hangs up in the middle of a window that it hung up", async () => {
  await using rig = await makeRig({
    faults: { closeAtPublish: ({ payload }) => JSON.parse(payload).seq === 6 },
  });
  await queueOffline(rig, 60);
  const run = rig.publish(["--source", "stdin", "--mqtt-version", "3.1.1"], {
    input: openInput().stream,
  });
  const { cause, step } = await run.said("disconnected");
  assertMatch(String(cause), /^localhost:\d+ hung up/);
  assertEquals(step, "mqtt");
});

Deno.test("publisher goes on with others while one message is refused for a passing reason, and keeps it (P5)", async () => {
  await using rig = await makeRig({
    faults: {
      pubackCode: 0x80,
      refusePublish: ({ payload }) => JSON.parse(payload).seq === 2,
    },
  });
  await queueOffline(rig, 40);
  const { stream, write, end } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  await rig.endpoint.until(() => firsts(seqsOf(rig.endpoint.received)).length === 39);
  write("{}");
  await rig.endpoint.until(() => seqsOf(rig.endpoint.received).includes(41));
  await rig.endpoint.until(() => rig.endpoint.counts.refused >= 4, {
    what: "four attempts at the message",
  });
  assertEquals(await countsOf(rig), { waiting: 1, quarantined: 0 });
  rig.endpoint.faults.refusePublish = false;
  end();
  assertEquals(await run.code, 0);
  const expected = [1, ...range(3, 41), 2];
  assertEquals(firsts(seqsOf(rig.endpoint.received)), expected);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});

Deno.test("publisher ends the session when all it sends is refused for a passing reason (P5)", async () => {
  await using rig = await makeRig({ faults: { refusePublish: true, pubackCode: 0x97 } });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 100)) });
  await run.said("disconnected", ({ cause }) => /PUBACK 0x97 quota exceeded/.test(String(cause)));
  // The window, and one message more for each of the two refusals before the third.
  assert(rig.endpoint.counts.refused <= 22, `${rig.endpoint.counts.refused} attempts`);
  rig.endpoint.faults.refusePublish = false;
  assertEquals(await run.code, 0);
  assertEquals(firsts(seqsOf(rig.endpoint.received)).length, 100);
});
