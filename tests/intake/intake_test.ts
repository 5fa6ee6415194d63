/** Lines of other processes: the protocol, many clients, bad ones, and full queues. Real sockets, scoped processes. */

import { assert, assertEquals, assertLess, assertLessOrEqual, assertMatch } from "@std/assert";
import { makeRig, range, seqsOf } from "../support/publishing.ts";
import {
  assertSame,
  descriptorsOf,
  FAST,
  handIn,
  handInAll,
  listening,
  refusalOf,
  seqsIn,
} from "../support/handing_in.ts";
import { canMount, mountMemory, succeeds } from "../support/mounting.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const PREFIX = ["--topic-prefix", "dt/{clientId}"];

Deno.test("a line that is handed in is answered with the seq of its message, which is delivered", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish([...flags, ...PREFIX]);
  assertEquals((await run.said("start")).listen, path);
  const receipts = await handInAll(
    path,
    'pump started\r\n\n{"flow":20.0}\n{"topic":"boiler/temp","metrics":{"t":1e2}}\n' +
      '{"payload":{"a":1.50},"topic":"raw"}\n{"payload":"as it is"}\n' +
      '{"metrics":{"x":1},"time":"2026-01-02T03:04:05.678+01:00"}\n',
  );
  assertEquals(seqsIn(receipts), range(1, 6));
  await rig.endpoint.waitFor(6);
  const { received } = rig.endpoint;
  const topic = "dt/mqtt443/gw-7/telemetry";
  assertEquals(received.map((message) => message.topic), [
    topic,
    topic,
    "dt/gw-7/boiler/temp",
    "dt/gw-7/raw",
    topic,
    topic,
  ]);
  const payloads = received.map(({ payload }) => payload);
  assertMatch(payloads[0]!, /"seq":1,.*"metrics":\{"text":"pump started"\}\}$/);
  assertMatch(payloads[1]!, /"metrics":\{"flow":20\.0\}\}$/);
  assertMatch(payloads[2]!, /"metrics":\{"t":1e2\}\}$/);
  assertEquals(payloads.slice(3, 5), ['{"a":1.50}', "as it is"]);
  assertMatch(payloads[5]!, /"time":"2026-01-02T02:04:05.678Z"/);
  run.signal();
  assertEquals(await run.code, 0);
  const { handedIn, refused, published } = await run.said("stopped");
  assertEquals([handedIn, refused, published], [6, 0, 6]);
});

Deno.test("a line that is not taken is answered with its reason, and the next one is taken", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish([...flags, ...PREFIX]);
  await run.said("start");
  const wrong: [string, RegExp][] = [
    ['{"topic":"a/#","payload":""}', /^topic: must hold no wildcard/],
    ['{"topic":"../../x","payload":""}', /^topic: must hold no level \. or \.\./],
    ['{"topic":"/a","payload":""}', /^topic: must hold no empty level/],
    ['{"topic":"$aws/x","payload":""}', /^topic: must hold no level that begins with \$/],
    [`{"topic":"${"a".repeat(300)}","payload":""}`, /^topic: must be at most 256 bytes/],
    ['{"metrics":5}', /^metrics: must be an object/],
    ['{"payload":1,"time":"yesterday"}', /^time: must be RFC 3339/],
    ['{"payload":1,"time":1000}', /^time: .*from 2000-01-01/],
    [
      `{"payload":"${"é".repeat(65_530)}"}`,
      /^payload: must be at most 131072|^line: must be at most/,
    ],
    ["x".repeat(132_096), /^line: must be at most 131072 bytes, and is 132096/],
    [`{"a":"${"x".repeat(131_000)}"}`, /^payload: must be at most 131072 bytes, and is 1\d+/],
  ];
  for (const [n, [line, reason]] of wrong.entries()) {
    const [refused, taken] = await handInAll(path, `${line}\nnext\n`);
    const { error, retry } = refusalOf(refused);
    assertMatch(error, reason, line.slice(0, 80));
    assertEquals(retry, false);
    assertEquals(seqsIn([taken!]), [n + 1], "a line that is not taken uses no seq");
  }
  const { source, cause } = await run.said("source-failed");
  assertEquals(source, "listen");
  assertMatch(String(cause), /not taken: topic: must hold no wildcard/);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).refused, wrong.length);
});

Deno.test("a topic is refused where topicPrefix is not set", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  await rig.publish(flags).said("start");
  const [receipt] = await handInAll(path, '{"topic":"a","payload":1}\n');
  assertMatch(refusalOf(receipt).error, /^topic: .*topicPrefix/);
});

Deno.test("64 clients hand in 300 lines each: all are answered in order and delivered once (I2)", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  await rig.publish([...flags, "--inflight", "100"]).said("start");
  const clients = await Promise.all(Array.from({ length: 64 }, (_, client) => {
    const lines = range(1, 300).map((n) => `{"client":${client},"n":${n}}\n`);
    return handInAll(path, lines.join(""));
  }));
  const seqs = clients.map(seqsIn);
  for (const own of seqs) assertEquals(own, own.toSorted((a, b) => a - b), "in order");
  assertSame(seqs.flat(), range(1, 19_200));
  await rig.endpoint.waitFor(19_200, { deadlineMs: 120_000 });
  assertEquals(seqsOf(rig.endpoint.received), range(1, 19_200));
  const byClient = new Map<number, number>();
  for (const { payload } of rig.endpoint.received) {
    const { seq, metrics: { client, n } } = JSON.parse(payload);
    assertEquals(n, (byClient.get(client) ?? 0) + 1);
    byClient.set(client, n);
    assertEquals(seqs[client]![n - 1], seq, "the receipt's seq is the message's");
  }
});

Deno.test("the 65th client is told, and closed; one that leaves makes room (I2)", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  await rig.publish(flags).said("start");
  using clients = new DisposableStack();
  const all = await Promise.all(Array.from({ length: 64 }, () => handIn(path)));
  for (const client of all) clients.use(client);
  await Promise.all(all.map(async (client) => {
    await client.write("here\n");
    await client.receipts(1);
  }));
  using more = await handIn(path);
  const { error, retry } = refusalOf((await more.receipts(1))[0]);
  assertEquals([error, retry], ["too many clients: at most 64 at a time", true]);
  await all[0]!.end();
  let receipts = [
    { ok: false, error: "", retry: true } as Awaited<ReturnType<typeof handInAll>>[0],
  ];
  while (!receipts[0]!.ok) receipts = await handInAll(path, "again\n").catch(() => receipts);
});

Deno.test("a client that half-closes gets all its receipts, and then the end", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  await rig.publish(flags).said("start");
  using client = await handIn(path);
  const writing = client.write("x\n".repeat(20_000));
  const first = await client.receipts(1);
  await writing;
  assertEquals(seqsIn([...first, ...await client.end()]), range(1, 20_000));
});

Deno.test("a line without its end is not taken, neither of a client that half-closes nor of one that disappears", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish(flags);
  await run.said("start");
  {
    using client = await handIn(path);
    await client.write('whole\n{"temperature":2');
    const [whole, cut] = await client.end();
    assertEquals(seqsIn([whole!]), [1]);
    assertEquals(refusalOf(cut), { error: "line: must end with LF", retry: false });
  }
  using gone = await handIn(path);
  await gone.write('{"temperature":2');
  gone[Symbol.dispose]();
  assertEquals(seqsIn(await handInAll(path, "after\n")), [2]);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).handedIn, 2);
});

Deno.test("what a client sent before it went away is taken, though it read no receipt", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  await rig.publish(flags).said("start");
  for (let n = 1; n <= 50; n++) {
    using client = await handIn(path);
    await client.write(`{"n":${n}}\n`);
    await client.write(`{"n":${n}}\n`);
  }
  await rig.endpoint.waitFor(100);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 100));
});

Deno.test("a client that never reads its receipts is not stopped: they are switched off, said once (I2)", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish([...flags, "--inflight", "100"]);
  await run.said("start");
  using client = await handIn(path);
  // Kernel and process hold the receipts of some 12,000 lines.
  const lines = 40_000;
  for (let n = 0; n < lines; n += 1000) assert(await client.write("x\n".repeat(1000)));
  await rig.endpoint.waitFor(lines, { deadlineMs: 120_000 });
  assertEquals(seqsOf(rig.endpoint.received), range(1, lines));
  const said = () =>
    run.log.filter(({ cause }) => /does not read its receipts/.test(String(cause)));
  assertEquals(said().length, 1);
  assertEquals(seqsIn(await handInAll(path, "another\n")), [lines + 1], "others are answered");
  // What it can still read are whole receipts, from the first on.
  const late = seqsIn(await client.end());
  assertEquals(late, range(1, late.length));
  assertLess(late.length, lines);
  assertEquals(said().length, 1);
});

Deno.test("a client that reads slowly gets every receipt, and holds up nobody (I2)", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  await rig.publish([...flags, "--inflight", "100"]).said("start");
  using slow = await handIn(path);
  const lines = 30_000;
  const writing = slow.write("x\n".repeat(lines));
  const seqs: number[] = [];
  while (seqs.length < lines) {
    seqs.push(...seqsIn(await slow.receipts(seqs.length + 1)));
    // Another one is answered while this one is behind.
    seqsIn(await handInAll(path, "y\n"));
  }
  await writing;
  assertEquals(seqs.length, lines);
  assertEquals(seqs, seqs.toSorted((a, b) => a - b));
});

Deno.test("lines one byte at a time, garbage and NUL are answered, each line once (I2)", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish(flags);
  await run.said("start");
  using client = await handIn(path);
  for (const byte of new TextEncoder().encode('\r\n{"temp":"21 °C"}\r\n')) {
    await client.write(new Uint8Array([byte]));
  }
  assertEquals(seqsIn(await client.receipts(1)), [1]);
  await client.write(new Uint8Array([0, 10, 0xff, 0xfe, 10, 0xc3, 10, 123, 0, 125, 10]));
  assertEquals(seqsIn(await client.receipts(5)), range(2, 5));
  await rig.endpoint.waitFor(5);
  const [first, nul, garbage] = rig.endpoint.received.map(({ payload }) =>
    JSON.parse(payload).metrics
  );
  assertEquals([first, nul], [{ temp: "21 °C" }, { text: "\0" }]);
  assertEquals(garbage, { text: "\ufffd\ufffd" });
  const odd = await run.said("source-failed");
  assertMatch(String(odd.cause), /handed in holds bytes that are not UTF-8/);
  // All byte values, at random.
  const noise = crypto.getRandomValues(new Uint8Array(60_000));
  await client.write(noise);
  await client.write("\n");
  await client.end();
  assertEquals(seqsIn(await handInAll(path, "well\n")).length, 1);
});

Deno.test("10,000 connections leave no descriptor behind (I2)", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish(flags);
  await run.said("connected");
  const connect = async (times: number) => {
    for (let n = 0; n < times; n++) {
      using client = await handIn(path);
      if (n % 10 === 0) await client.write("in mid-li");
      if (n % 100 === 0) {
        await client.write("ne\n");
        await client.receipts(1);
      }
    }
    // When this is answered, all before it are accepted; those that left are closed soon.
    await handInAll(path, "x\n");
  };
  await connect(1000);
  const before = descriptorsOf(run.pid);
  await connect(9000);
  let after = descriptorsOf(run.pid);
  for (let n = 0; n < 100 && after > before; n++) {
    await handInAll(path, "x\n");
    after = descriptorsOf(run.pid);
  }
  assertLessOrEqual(after, before);
});

Deno.test("a full queue that drops the oldest takes every line, and counts what it drops (I3)", async () => {
  await using rig = await makeRig(FAST);
  rig.endpoint.pause();
  const { path, flags } = listening(rig);
  const run = rig.publish([...flags, "--queue-max-messages", "1000"]);
  await run.said("start");
  const lines = range(1, 3000).map((n) => `{"n":${n}}\n`).join("");
  assertEquals(seqsIn(await handInAll(path, lines)), range(1, 3000));
  await rig.endpoint.resume();
  await rig.endpoint.waitFor(1000);
  assertEquals(seqsOf(rig.endpoint.received), range(2001, 3000));
  run.signal();
  assertEquals(await run.code, 0);
  const { handedIn, refused, dropped } = await run.said("stopped");
  assertEquals([handedIn, refused, dropped], [3000, 0, 2000]);
});

Deno.test("a full queue that drops the newest answers retry, drops nothing, and takes the line later (I3)", async () => {
  await using rig = await makeRig(FAST);
  rig.endpoint.pause();
  const { path, flags } = listening(rig);
  const run = rig.publish([
    ...flags,
    ...["--queue-max-messages", "1000", "--queue-full", "drop-newest"],
  ]);
  await run.said("start");
  const lines = range(1, 3000).map((n) => `{"n":${n}}\n`).join("");
  const receipts = await handInAll(path, lines);
  assertEquals(seqsIn(receipts.slice(0, 1000)), range(1, 1000));
  for (const receipt of receipts.slice(1000)) {
    assertEquals(refusalOf(receipt), { error: "queue: is full", retry: true });
  }
  await rig.endpoint.resume();
  await rig.endpoint.waitFor(1000);
  assertEquals(seqsIn(await handInAll(path, "later\n")), [1001], "no seq is missing");
  run.signal();
  assertEquals(await run.code, 0);
  const { handedIn, refused, dropped } = await run.said("stopped");
  assertEquals([handedIn, refused, dropped], [1001, 2000, 0]);
});

Deno.test({
  name:
    "a full disk is answered with retry, and the line is taken when there is room (I3; needs root and mount)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig(FAST);
    using _disk = mountMemory(`${rig.folder}/state`, "256k");
    rig.endpoint.pause();
    const { path, flags } = listening(rig);
    const run = rig.publish(flags);
    await run.said("start");
    using client = await handIn(path);
    const line = `${JSON.stringify({ text: "x".repeat(1000) })}\n`;
    let taken = 0;
    for (;;) {
      await client.write(line);
      const [receipt] = await client.receipts(taken + 1);
      if (!receipt!.ok) {
        assertMatch(refusalOf(receipt).error, /^storage: .*full/);
        assertEquals(refusalOf(receipt).retry, true);
        break;
      }
      taken++;
    }
    assert(taken > 0);
    assert(succeeds("mount", "-o", "remount,size=8m", `${rig.folder}/state`));
    let seq: number | undefined;
    // The disk is tried again after a while.
    while (seq === undefined) {
      const [receipt] = await handInAll(path, line);
      if (receipt!.ok) seq = receipt!.seq;
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await rig.endpoint.resume();
    await rig.endpoint.waitFor(taken + 1);
    const seqs = seqsOf(rig.endpoint.received);
    assertEquals(
      [seqs.length, seqs.at(-1)],
      [taken + 1, seq],
      "what was answered is delivered, and nothing else",
    );
  },
});

Deno.test("a publisher that is stopped answers what it has read, and removes its socket", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  const run = rig.publish(flags);
  await run.said("start");
  using client = await handIn(path);
  const writing = (async () => {
    let written = 0;
    while (await client.write("x\n".repeat(500))) written += 500;
    return written;
  })();
  const first = seqsIn(await client.receipts(1));
  run.signal();
  const seqs = [...first];
  // Until it is closed.
  for (;;) {
    const more = await client.receipts(seqs.length + 1).catch(() => undefined);
    if (more === undefined) break;
    seqs.push(...seqsIn(more));
  }
  assertEquals(await run.code, 0);
  assert(seqs.length <= await writing);
  const { handedIn } = await run.said("stopped");
  assertEquals(seqs, range(1, Number(handedIn)), "each message has its receipt");
  let isThere = true;
  try {
    Deno.lstatSync(path);
  } catch {
    isThere = false;
  }
  assertEquals(isThere, false);
});

Deno.test("lines go beside an interval source, and not with a run that ends by itself", async () => {
  await using rig = await makeRig(FAST);
  const path = `${rig.folder}/in.sock`;
  const run = rig.publish(["--listen", path, "--source", "clock", "--interval", "100ms"]);
  await run.said("start");
  const [seq] = seqsIn(await handInAll(path, "between\n"));
  await rig.endpoint.until(() => seqsOf(rig.endpoint.received).some((received) => received > seq!));
  assertEquals(seqsOf(rig.endpoint.received), range(1, rig.endpoint.received.length));
  run.signal();
  assertEquals(await run.code, 0);
  for (const flags of [["--message", "hi"], ["--count", "1"], ["--source", "stdin"]]) {
    const refused = rig.publish(["--listen", path, ...flags]);
    assertEquals(await refused.code, 64, flags.join(" "));
    assertMatch(refused.errors.join("\n"), /mqtt443 send/);
  }
  const none = rig.publish(["--source", "none"]);
  assertEquals(await none.code, 78);
  assertMatch(none.errors.join("\n"), /source: must not be none without listen/);
});
