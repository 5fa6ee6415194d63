import { assertEquals, assertRejects } from "@std/assert";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { gatherLines, type GatherOptions, gatherTicks } from "../../lib/publisher/gather.ts";
import { sleep } from "../../lib/core/wait.ts";
import type { Draft } from "../../lib/queue/types.ts";
import { createReports } from "../../lib/publisher/reports.ts";
import { lineMetrics } from "../../lib/sources/mod.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const broken = new UserError("gone", {
  code: "source-unreadable",
  hint: "look",
  exitCode: EXIT.config,
});

function makeOptions(
  settings: Partial<GatherOptions["settings"]> = {},
  signal: AbortSignal = new AbortController().signal,
): { options: GatherOptions; payloads: string[] } {
  const payloads: string[] = [];
  const put = (drafts: readonly Draft[]) => {
    for (const { payload } of drafts) payloads.push(payload(payloads.length + 1));
  };
  const options = {
    settings: {
      clientId: "gw-7",
      topic: "t",
      qos: 1,
      format: "text",
      interval: 1,
      giveUpAfter: 1000,
      count: undefined,
      inflight: 20,
      queueMaxMessages: 100,
      queueMaxBytes: 1024 ** 2,
      ...settings,
    },
    reports: createReports(SILENT, () => 0),
    put,
    signal,
    sampleTime: () => ({ timeMs: 0 }),
    monotonicMs: () => performance.now(),
  } as const;
  return { options, payloads };
}

Deno.test("gathering ticks stops after the count", async () => {
  const { options, payloads } = makeOptions({ count: 3 });
  let reads = 0;
  await gatherTicks(
    () => Promise.resolve({ readings: [{ name: "n", value: ++reads }], failures: [] }),
    options,
  );
  assertEquals(payloads, ["1", "2", "3"]);
});

Deno.test("gathering ticks skips the ticks it missed instead of bunching them (X6)", async () => {
  let nowMs = 0;
  const stop = new AbortController();
  const { options } = makeOptions({ interval: 5 }, stop.signal);
  const at: number[] = [];
  const clock = {
    ...options,
    // A clock that stands still but for what the test adds; the wait itself is real.
    monotonicMs: () => nowMs,
    put: () => void at.push(nowMs),
  };
  await gatherTicks(() => {
    // The third reading takes as long as a suspended machine.
    nowMs += at.length === 2 ? 10_000 : 5;
    if (at.length === 4) stop.abort();
    return Promise.resolve({ readings: [{ name: "n", value: 1 }], failures: [] });
  }, clock);
  assertEquals(at.slice(0, 4), [5, 10, 10_010, 10_015]);
});

Deno.test("gathering ticks goes on with the sources that work (X7)", async () => {
  const { options, payloads } = makeOptions({ count: 1 });
  await gatherTicks(
    () =>
      Promise.resolve({
        readings: [{ name: "n", value: 1 }],
        failures: [{ source: "file:x=/y", error: broken }],
      }),
    options,
  );
  assertEquals(payloads, ["1"]);
});

Deno.test("gathering ticks to a count gives up when no source gives a reading", async () => {
  let nowMs = 0;
  const { options } = makeOptions({ count: 1, giveUpAfter: 1000 });
  const failing = () => {
    nowMs += 600;
    return Promise.resolve({ readings: [], failures: [{ source: "x", error: broken }] });
  };
  const error = await assertRejects(
    () => gatherTicks(failing, { ...options, monotonicMs: () => nowMs }),
    UserError,
    "No source gave a reading for 1 s",
  );
  assertEquals([error.hint, error.exitCode], ["look", EXIT.config]);
});

/** Gathers so many lines into a queue that so many leave each time that is waited for; tells how full it was at most. */
async function gatherInto(
  { lines, queueMaxMessages, leave }: { lines: number; queueMaxMessages: number; leave: number },
): Promise<{ most: number; waits: number; waiting: number }> {
  const { options } = makeOptions({ queueMaxMessages });
  const seen = { most: 0, waits: 0, waiting: 0 };
  await gatherLines(ReadableStream.from([Array.from({ length: lines }, (_, n) => `${n}`)]), {
    ...options,
    put(drafts) {
      seen.waiting += drafts.length;
      seen.most = Math.max(seen.most, seen.waiting);
    },
    lineMetrics,
    waiting: () => ({ messages: seen.waiting, bytes: 0 }),
    room() {
      seen.waits++;
      seen.waiting = Math.max(0, seen.waiting - leave);
      return Promise.resolve();
    },
  });
  return seen;
}

Deno.test("gathering lines waits for room, so that the queue's limit is never met by input", async () => {
  const { most, waits } = await gatherInto({ lines: 200, queueMaxMessages: 20, leave: 20 });
  assertEquals([most <= 10, waits > 0], [true, true]);
});

Deno.test("gathering lines waits until what was put before is nearly gone, so that the queue stays short", async () => {
  const { most, waiting } = await gatherInto({
    lines: 10_000,
    queueMaxMessages: 100_000,
    leave: 100,
  });
  assertEquals([most < 2000, waiting > 0], [true, true]);
});

Deno.test("gathering lines puts what it has in hand when the signal comes while it waits for others to leave (X2)", async () => {
  const stop = new AbortController();
  const { options, payloads } = makeOptions({ queueMaxMessages: 100_000 }, stop.signal);
  await gatherLines(ReadableStream.from([Array.from({ length: 3000 }, (_, n) => `${n}`)]), {
    ...options,
    lineMetrics,
    waiting: () => ({ messages: 5000, bytes: 0 }),
    room() {
      stop.abort();
      return new Promise<void>(() => {});
    },
  });
  assertEquals(payloads.length, 3000);
});

Deno.test("gathering lines goes on though nothing leaves the queue, while that has room", async () => {
  const { options, payloads } = makeOptions({ queueMaxMessages: 100_000 });
  await gatherLines(ReadableStream.from([Array.from({ length: 3000 }, (_, n) => `${n}`)]), {
    ...options,
    lineMetrics,
    waiting: () => ({ messages: payloads.length, bytes: 0 }),
    room: () => new Promise(() => {}),
  });
  assertEquals(payloads.length, 3000);
});

Deno.test("gathering lines ends at the signal though there is no room, with no message lost (X2)", async () => {
  const stop = new AbortController();
  const { options, payloads } = makeOptions({ queueMaxMessages: 4 }, stop.signal);
  await gatherLines(ReadableStream.from([["a", "b", "c"]]), {
    ...options,
    lineMetrics,
    waiting: () => ({ messages: payloads.length, bytes: 0 }),
    room() {
      stop.abort();
      return new Promise<void>(() => {});
    },
  });
  assertEquals(payloads, ["a", "b"]);
});

Deno.test("gathering lines leaves out one that is too long, and its neighbours in (P7)", async () => {
  const { options, payloads } = makeOptions();
  await gatherLines(ReadableStream.from([["a", { tooLong: true, bytes: 200_000 } as const, "b"]]), {
    ...options,
    lineMetrics,
    waiting: () => ({ messages: 0, bytes: 0 }),
    room: () => Promise.resolve(),
  });
  assertEquals(payloads, ["a", "b"]);
});

Deno.test("sleep ends with the signal", async () => {
  const stop = new AbortController();
  const sleeping = sleep(3_600_000, stop.signal);
  stop.abort();
  await sleeping;
});
