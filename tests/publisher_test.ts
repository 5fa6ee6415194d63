/** The whole publisher against the endpoint while the link is good: order, limits, ends. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  inputOf,
  makeRig,
  numbered,
  openInput,
  queueOffline,
  range,
  seqsOf,
} from "./publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

Deno.test("publisher delivers 1,000 messages in order, each once (P1)", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 1000)) });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 1000));
  assertEquals((await run.said("stopped")).queued, 0);
});

Deno.test("publisher never has more in flight than it was told", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 5 } });
  const input = inputOf(numbered(1, 200));
  const run = rig.publish(["--source", "stdin", "--inflight", "7"], { input });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.counts.received, 200);
  assertEquals(rig.endpoint.connects[0]?.maxInFlight, 7);
});

Deno.test("publisher keeps to the server's Receive Maximum (P6)", async () => {
  await using rig = await makeRig({ limits: { receiveMaximum: 3 }, faults: { pubackDelayMs: 2 } });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 100)) });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.counts.received, 100);
  assertEquals(rig.endpoint.connects[0]?.maxInFlight, 3);
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

Deno.test("publisher leaves out a line that no endpoint takes, and its neighbours in (P7)", async () => {
  await using rig = await makeRig();
  const input = inputOf(["first", "x".repeat(131_073), "y".repeat(131_000), "last"]);
  const run = rig.publish(["--source", "stdin"], { input });
  assertEquals(await run.code, 0);
  const texts = rig.endpoint.received.map(({ payload }) => JSON.parse(payload).metrics.text);
  assertEquals(texts, ["first", "last"]);
  assertEquals(seqsOf(rig.endpoint.received), [1, 2]);
  const failed = run.log.filter(({ event }) => event === "source-failed");
  assertEquals(failed.length, 2, "the line, and the payload that became too large");
});

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
  const names = [...Deno.readDirSync(rig.folder)].map(({ name }) => name);
  assertEquals(names, ["certs"]);
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
  const run = rig.publish(["--source", "stdin"], { input: stream, monotonicMs });
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
  const run = rig.publish(["--source", "stdin"], { input: stream, monotonicMs: () => 0 });
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
  const lines = run.log.filter(({ event }) => event === "published");
  assert(lines.length <= 3, `${lines.length} lines`);
  const counted = lines.reduce((sum, { messages }) => sum + Number(messages ?? 1), 0);
  assertEquals(counted, 500);
});

Deno.test("publisher says its facts once connected: TLS, ALPN, SNI, peer", async () => {
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
