/** The whole publisher against the endpoint while the link is good: order, limits, ends. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { type Child, startChild } from "../support/children.ts";
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
} from "../support/publishing.ts";
import { DIRECT } from "../support/program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** The `seq` of each message in the queue's file, in order. */
function seqsOnDisk(rig: Rig): number[] {
  const db = new DatabaseSync(`${rig.folder}/state/queue.db`, { readOnly: true });
  try {
    return db.prepare("SELECT seq FROM message ORDER BY seq").all().map(({ seq }) => Number(seq));
  } finally {
    db.close();
  }
}

Deno.test("publisher delivers 1,000 messages in order, each once (P1)", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 1000)) });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 1000));
  assertEquals((await run.said("stopped")).queued, 0);
});

for (const last of [1, 30, 77]) {
  Deno.test(`publisher killed when message ${last} has arrived and its PUBACK has not left has it and all after it on disk (P1)`, async () => {
    let child: Child | undefined;
    await using rig = await makeRig({
      onMessage({ payload }) {
        // Before this call returns no PUBACK is sent.
        if (JSON.parse(payload).seq === last && child) Deno.kill(child.pid, "SIGKILL");
      },
    });
    const flags = ["--source", "stdin", "--inflight", "20"];
    await queueOffline(rig, 100);
    child = startChild(["publish", ...rig.flags, ...flags]);
    await child.ended;
    await child.kill();
    child = undefined;
    const onDisk = seqsOnDisk(rig);
    assertEquals(onDisk.filter((seq) => seq >= last), range(last, 100));
    assertEquals(onDisk, range(onDisk[0]!, 100), "what has left are the first ones");
    const run = rig.publish(flags, { input: inputOf([]) });
    assertEquals(await run.code, 0);
    assertEquals(firsts(seqsOf(rig.endpoint.received)), range(1, 100));
    assertEquals(seqsOnDisk(rig), []);
  });
}

Deno.test("publisher never has more in flight than it was told", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 5 } });
  const input = inputOf(numbered(1, 200));
  const run = rig.publish(["--source", "stdin", "--inflight", "7"], { input });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.counts.received, 200);
  assertEquals(rig.endpoint.connects[0]?.maxInFlight, 7);
});

Deno.test("publisher keeps to the server's Receive Maximum (P6)", async () => {
  await using rig = await makeRig({ limits: { receiveMaximum: 2 }, faults: { pubackDelayMs: 2 } });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 100)) });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.counts.received, 100);
  assertEquals(rig.endpoint.connects.map(({ maxInFlight }) => maxInFlight), [2]);
});

Deno.test("publisher sends no more messages a second than it was told (P6)", async () => {
  await using rig = await makeRig({ faults: { publishesPerS: 50 } });
  const flags = ["--source", "stdin", "--max-rate", "50", "--inflight", "1000"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 120)) });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.counts.discarded, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 120));
});

Deno.test("publisher sends a backlog no faster than the drain rate", async () => {
  await using rig = await makeRig();
  await queueOffline(rig, 60);
  // The endpoint discards what comes faster, and nothing would acknowledge it.
  rig.endpoint.faults.publishesPerS = 40;
  const run = rig.publish(["--drain-rate", "40"]);
  await run.said("drained");
  assertEquals(rig.endpoint.counts.discarded, 0);
  assertEquals(seqsOf(rig.endpoint.received).slice(0, 60), range(1, 60));
});

for (const durability of ["power", "none"]) {
  Deno.test(`publisher drains with QoS 0 without waiting for answers (durability ${durability})`, async () => {
    await using rig = await makeRig();
    const flags = ["--source", "stdin", "--qos", "0", "--format", "text", "--topic", "t"];
    const input = inputOf(range(1, 20_000).map(String), 5000);
    const run = rig.publish([...flags, "--durability", durability], {
      input,
    });
    assertEquals(await run.code, 0);
    await rig.endpoint.waitFor(20_000);
    assertEquals(rig.endpoint.received.map(({ payload }) => Number(payload)), range(1, 20_000));
  });
}

Deno.test("publisher leaves out payloads of more than 131,072 bytes, says so once and counts them, and sends their neighbours (P7)", async () => {
  await using rig = await makeRig();
  const most = "é".repeat(65_536);
  const input = inputOf(["first", `${most}x`, most, `${most}x`, `${most}x`, "last"]);
  const run = rig.publish(["--source", "stdin", "--format", "text"], { input });
  assertEquals(await run.code, 0);
  const bytes = rig.endpoint.received.map(({ bytes }) => bytes);
  assertEquals(bytes, [5, 131_072, 4]);
  assertEquals((await run.said("stopped")).published, 3);
  const failed = run.log.filter(({ event }) => event === "source-failed");
  assertEquals(failed.map(({ failures }) => failures), [1, 2], "at once, and the rest at the end");
  assertMatch(
    String(failed[0]!.cause),
    /^Cannot publish a message of 131073 bytes, line 2 of the input: /,
  );
});

Deno.test("publisher leaves out a payload that becomes too large around its line, and gives its seq to the next (P7)", async () => {
  await using rig = await makeRig();
  const input = inputOf(["first", "y".repeat(131_000), "last"]);
  const run = rig.publish(["--source", "stdin"], { input });
  assertEquals(await run.code, 0);
  const texts = rig.endpoint.received.map(({ payload }) => JSON.parse(payload).metrics.text);
  assertEquals(texts, ["first", "last"]);
  assertEquals(seqsOf(rig.endpoint.received), [1, 2]);
  assertEquals((await run.said("source-failed")).source, "payload");
});

const TOPICS = {
  "a/+/b": /must hold no wildcard \(\+ or #\)/,
  "#": /must hold no wildcard \(\+ or #\)/,
  "a\0b": /must not hold NUL/,
  "": /must not be empty/,
  "a\ud800b": /must be valid Unicode/,
  ["x".repeat(257)]: /must be at most 256 bytes/,
  "a/b/c/d/e/f/g/h/i": /must hold at most 7 slashes/,
};

for (const [topic, rule] of Object.entries(TOPICS)) {
  Deno.test(`publisher refuses topic ${JSON.stringify(topic.slice(0, 20))} before it connects (P8)`, async () => {
    await using rig = await makeRig();
    // No process can be given NUL or half a character as an argument, but the settings file can hold them.
    await Deno.writeTextFile(`${rig.folder}/mqtt443.json`, JSON.stringify({ topic }));
    const run = rig.publish(["--message", "x"]);
    assertEquals(await run.code, 78);
    assertMatch(run.errors.join("\n"), new RegExp(`\n  topic: ${rule.source}.*from .*mqtt443`));
    assertEquals(rig.endpoint.counts.connections, 0);
    assertEquals(run.log, []);
  });
}

Deno.test("publisher sends one message with --message and ends", async () => {
  await using rig = await makeRig();
  const flags = ["--topic", "alpn/devicesdk", "--qos", "0", "--message"];
  assertEquals(await rig.publish([...flags, "Hello over MQTT on port 443"]).code, 0);
  await rig.endpoint.until(() => rig.endpoint.closes.length === 1);
  const [message] = rig.endpoint.received;
  assertEquals(message?.topic, "alpn/devicesdk");
  assertEquals(message?.payload, "Hello over MQTT on port 443");
  assertEquals(rig.endpoint.closes[0]?.by, "client");
});

Deno.test("publisher ends after --count messages", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--source", "clock", "--interval", "100ms", "--count", "3"]);
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3]);
});

Deno.test("publisher goes on with seq over runs", async () => {
  await using rig = await makeRig();
  for (const first of [1, 4, 7]) {
    const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(first, first + 2)) });
    assertEquals(await run.code, 0);
  }
  assertEquals(seqsOf(rig.endpoint.received), range(1, 9));
});

Deno.test("publisher with durability none writes nothing to disk", async () => {
  await using rig = await makeRig();
  const flags = ["--durability", "none", "--message", "hello"];
  assertEquals(await rig.publish(flags).code, 0);
  assertEquals(rig.endpoint.counts.received, 1);
  const names = [...Deno.readDirSync(rig.folder)].map(({ name }) => name).sort();
  assertEquals(names, ["certs", "mqtt443.json"], "what was there before");
});

Deno.test("publisher that is stopped awaits its PUBACKs, says DISCONNECT and exits 0 (X1)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 100 } });
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  for (const line of numbered(1, 3)) write(line);
  await rig.endpoint.waitFor(3);
  run.signal();
  assertEquals(await run.code, 0);
  await rig.endpoint.until(() => rig.endpoint.closes.length === 1);
  assertMatch(rig.endpoint.closes[0]!.reason, /DISCONNECT/);
  const { queued, published } = await run.said("stopped");
  assertEquals({ queued, published }, { queued: 0, published: 3 });
});

Deno.test("publisher that is stopped drains after an earlier drain, too (X1)", async () => {
  await using rig = await makeRig();
  await queueOffline(rig, 50);
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  await run.said("drained");
  rig.endpoint.faults.pubackDelayMs = 50;
  write("{}");
  await rig.endpoint.waitFor(51);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).queued, 0);
});

Deno.test("publisher that is stopped gives up a broker that never acknowledges, and keeps all (X1)", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: true } });
  const { stream, write } = openInput();
  let aheadMs = 0;
  const monotonicMs = () => performance.now() + aheadMs;
  const run = rig.publishHere(["--source", "stdin"], { input: stream, monotonicMs });
  for (const line of numbered(1, 3)) write(line);
  await rig.endpoint.waitFor(3);
  run.signal();
  await run.said("stopping");
  // The 5 s of a drain, without waiting for them.
  aheadMs = 5000;
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).queued, 3);
});

Deno.test("publisher leaves at the second signal, and keeps all (X1)", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: true } });
  const { stream, write } = openInput();
  // On a clock that stands still the drain has no end of its own.
  const run = rig.publishHere(["--source", "stdin"], { input: stream, monotonicMs: () => 0 });
  write("{}");
  await rig.endpoint.waitFor(1);
  run.signal();
  await run.said("stopping");
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).queued, 1);
});

Deno.test("publisher says a summary instead of a line for each of many messages", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 500)) });
  assertEquals(await run.code, 0);
  const lines = run.log.filter(({ event, level }) => event === "published" && level === "info");
  assert(lines.length <= 3, `${lines.length} lines`);
  const counted = lines.reduce((sum, { messages }) => sum + Number(messages ?? 1), 0);
  assertEquals(counted, 500);
});

Deno.test("publisher says how many the last burst had, though nothing comes after it", async () => {
  await using rig = await makeRig();
  await queueOffline(rig, 50);
  let passedMs = 0;
  const run = rig.publishHere(["--source", "stdin"], {
    input: openInput().stream,
    monotonicMs: () => performance.now() + passedMs,
  });
  await run.said("drained");
  passedMs = 10_000;
  run.tick();
  const lines = run.log.filter(({ event, level }) => event === "published" && level === "info");
  assertEquals(lines.reduce((sum, { messages }) => sum + Number(messages ?? 1), 0), 50);
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("publisher says its facts once connected: TLS, ALPN, SNI, peer", DIRECT, async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--message", "hello"]);
  const { alpn, sni, peer, mqtt } = await run.said("connected");
  assertEquals({ alpn, sni, mqtt }, { alpn: "x-amzn-mqtt-ca", sni: "localhost", mqtt: "5" });
  assertEquals(peer, `127.0.0.1:${rig.endpoint.port}`);
  assertEquals(await run.code, 0);
});

Deno.test("publisher speaks MQTT 3.1.1 when told to", async () => {
  await using rig = await makeRig();
  const flags = ["--source", "stdin", "--mqtt-version", "3.1.1"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 100)) });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.connects[0]?.protocolVersion, 4);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 100));
});
