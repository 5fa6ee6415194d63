/** Sources that lie, hang or go away, below the whole publisher: the others are sent on time. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { gatherTicks } from "../../lib/publisher/gather.ts";
import { createReports } from "../../lib/publisher/reports.ts";
import { readAll } from "../../lib/sources/mod.ts";
import { makeRig, openInput, range, seqsOf } from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Files that are no sensor, and what is said of each. */
const WRONG: Record<string, { make: (path: string) => unknown; says: RegExp }> = {
  missing: { make: () => {}, says: /file not found/ },
  nan: {
    make: (path) => Deno.writeTextFileSync(path, "NaN\n"),
    says: /must hold one number/,
  },
  junk: {
    make: (path) => Deno.writeFileSync(path, Uint8Array.of(0xff, 0, 0x1b, 0x5b)),
    says: /one/,
  },
  empty: { make: (path) => Deno.writeTextFileSync(path, ""), says: /the file is empty/ },
  large: {
    make(path) {
      Deno.writeTextFileSync(path, "1");
      Deno.truncateSync(path, 10 * 1024 ** 2);
    },
    says: /at most 4096 bytes/,
  },
  folder: { make: (path) => Deno.mkdirSync(path), says: /it is a directory/ },
  fifo: {
    make: (path) => new Deno.Command("mkfifo", { args: [path] }).outputSync(),
    says: /a FIFO, which would block/,
  },
};

Deno.test("publisher sends what good sources measure while others are wrong in every way, and counts those (X7)", async () => {
  await using rig = await makeRig();
  const path = (name: string) => `${rig.folder}/${name}`;
  for (const [name, { make }] of Object.entries(WRONG)) make(path(name));
  Deno.writeTextFileSync(path("good"), "21.5\n");
  Deno.writeTextFileSync(path("vanishes"), "7\n");
  const names = ["good", "vanishes", ...Object.keys(WRONG)];
  const source = names.map((name) => `file:${name}=${path(name)}`).join();
  let aheadMs = 0;
  const monotonicMs = () => performance.now() + aheadMs;
  const run = rig.publishHere(["--source", source, "--interval", "100ms"], { monotonicMs });
  await rig.endpoint.waitFor(3);
  Deno.removeSync(path("vanishes"));
  await run.said("source-failed", ({ source }) => String(source).includes("vanishes"));
  const known = rig.endpoint.counts.received;
  await rig.endpoint.waitFor(known + 5);
  // A minute later the count is told.
  aheadMs = 61_000;
  await run.said("source-failed", ({ failures }) => Number(failures) >= 5);
  run.signal();
  assertEquals(await run.code, 0);
  const samples = rig.endpoint.received.map(({ payload }) => JSON.parse(payload));
  assertEquals(samples.map(({ seq }) => seq), range(1, samples.length));
  assertEquals(samples[0].metrics, { good: 21.5, vanishes: 7 });
  assertEquals(samples.at(-1).metrics, { good: 21.5 });
  for (const [name, { says }] of Object.entries(WRONG)) {
    const { level, cause, hint } = await run.said(
      "source-failed",
      ({ source }) => source === `file:${name}=${path(name)}`,
    );
    assertEquals(level, "warn");
    assertMatch(String(cause), says);
    assert(hint);
  }
});

Deno.test("publisher all of whose sources fail stays alive, and sends again when one is back (X7)", async () => {
  await using rig = await makeRig();
  const path = `${rig.folder}/sensor`;
  const run = rig.publish(["--source", `file:x=${path}`, "--interval", "100ms"]);
  await run.said("source-failed");
  Deno.writeTextFileSync(path, "1");
  await rig.endpoint.waitFor(1);
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("a source that hangs costs the others one time limit, and no tick after that (X7)", async () => {
  const stop = new AbortController();
  const failures: string[] = [];
  const reports = {
    ...createReports(SILENT, () => 0),
    sourceFailed: (source: string) => void failures.push(source),
  };
  let reads = 0;
  const hang = new Promise<never>(() => {});
  const sources = [
    { name: "good", read: () => Promise.resolve([{ name: "n", value: ++reads }]) },
    { name: "hangs", read: () => reads === 1 ? hang : Promise.reject(new Error("still hangs")) },
  ];
  const limits = {
    giveUpAfter: 1000,
    inflight: 20,
    queueMaxMessages: 100,
    queueMaxBytes: 1024 ** 2,
  };
  const message = {
    clientId: "gw-7",
    tags: undefined,
    topic: "t",
    qos: 1,
    format: "text",
  } as const;
  const settings = { ...limits, ...message, interval: 1, count: undefined };
  const payloads: string[] = [];
  await gatherTicks(() => readAll(sources, { timeoutMs: 10 }), {
    settings,
    reports,
    put(drafts) {
      for (const { payload } of drafts) payloads.push(payload(0));
      if (payloads.length === 5) stop.abort();
    },
    signal: stop.signal,
    sampleTime: () => ({ timeMs: 0 }),
    monotonicMs: () => performance.now(),
  });
  assertEquals(payloads, ["1", "2", "3", "4", "5"]);
  assertEquals(failures, Array(5).fill("hangs"));
});

Deno.test("publisher sends every line that can be sent, whatever is in the lines between, and tells of them by number (X7, S9)", async () => {
  await using rig = await makeRig();
  const { stream, write, end } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  write('{"n":1.0,"m":9007199254740993}');
  write('{"n":');
  write("a\0b");
  write("[1,2");
  write("x".repeat(10 * 1024 ** 2));
  write('{"n":NaN}');
  write('{"n":1e999}');
  write('{"n":2}');
  end();
  assertEquals(await run.code, 0);
  const metrics = rig.endpoint.received.map(({ payload }) => /"metrics":(.*)}$/.exec(payload)![1]);
  assertEquals(metrics, [
    '{"n":1.0,"m":9007199254740993}',
    '{"text":"{\\"n\\":"}',
    '{"text":"a\\u0000b"}',
    '{"text":"[1,2"}',
    "{}",
    '{"n":1e999}',
    '{"n":2}',
  ]);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 7));
  for (
    const cause of [
      "Line 2 of the input begins like a JSON object and is cut off (at character 6): sent as text",
      "Cannot publish a message of 10485760 bytes, line 5 of the input: AWS IoT Core takes at most 131072",
      "Line 6 of the input lost 1 values that are NaN or Infinity, which JSON does not have",
    ]
  ) {
    const { failures } = await run.said("source-failed", (line) => line.cause === cause);
    assertEquals(failures, 1);
  }
});

Deno.test("publisher makes U+FFFD of input that is not UTF-8, and goes on (X7)", async () => {
  await using rig = await makeRig();
  const text = new TextEncoder().encode("a?b\nc\n");
  text[1] = 0xff;
  const run = rig.publish(["--source", "stdin"], { input: ReadableStream.from([text]) });
  assertEquals(await run.code, 0);
  const metrics = rig.endpoint.received.map(({ payload }) => JSON.parse(payload).metrics);
  assertEquals(metrics, [{ text: "a\uFFFDb" }, { text: "c" }]);
});

Deno.test("publisher drains and ends with 0 when its input ends (X8)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 50 } });
  const { stream, write, end } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  write("last words");
  end();
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).queued, 0);
  assertEquals(rig.endpoint.counts.acked, 1);
});

Deno.test("publisher of other sources does not mind that its input ends (X8)", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--source", "clock", "--interval", "100ms"], {
    input: ReadableStream.from<Uint8Array>([]),
  });
  await rig.endpoint.waitFor(3);
  run.signal();
  assertEquals(await run.code, 0);
});
