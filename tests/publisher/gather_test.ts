import { assertEquals, assertRejects } from "@std/assert";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { type Draft, numbered } from "../../lib/publisher/drafts.ts";
import {
  gatherLines,
  type GatherLinesOptions,
  type GatherOptions,
  gatherTicks,
} from "../../lib/publisher/gather.ts";
import { MAX_PAYLOAD_BYTES } from "../../lib/core/message.ts";
import { sleep } from "../../lib/core/wait.ts";
import { createReports } from "../../lib/publisher/reports.ts";

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
      tags: undefined,
      topic: "t",
      qos: 1,
      format: "text",
      interval: 1,
      giveUpAfter: 1000,
      count: undefined,
      inflight: 20,
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

Deno.test("gathering ticks of several intervals keeps each on its grid, and one message for what is due together", async () => {
  let nowMs = 0;
  const stop = new AbortController();
  const { options } = makeOptions({}, stop.signal);
  const due: string[] = [];
  let slow = 0;
  await gatherTicks((dueMs) => {
    due.push(`${Math.round(nowMs)}: ${dueMs.join(" ")}`);
    // The next tick comes when its time is there; at 6 one takes so long that ticks are missed.
    nowMs = slow++ === 4
      ? 11
      : Math.min(...[2, 3, 6].map((ms) => (Math.floor(nowMs / ms) + 1) * ms));
    if (due.length === 7) stop.abort();
    return Promise.resolve({ readings: [{ name: "n", value: 1 }], failures: [] });
  }, { ...options, intervalsMs: [2, 3, 6], monotonicMs: () => nowMs });
  assertEquals(due, ["0: 2 3 6", "2: 2", "3: 3", "4: 2", "6: 2 3 6", "11: 2 3 6", "12: 2"]);
});

Deno.test("gathering ticks ends at the signal though a source hangs (X2, X7)", async () => {
  const stop = new AbortController();
  const { options } = makeOptions({}, stop.signal);
  await gatherTicks(() => {
    stop.abort();
    return new Promise(() => {});
  }, options);
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

/** A queue of so many messages at most. */
function loaded(most: number, waiting: () => number): GatherLinesOptions["queue"] {
  return {
    get load() {
      return { used: { messages: waiting(), bytes: 0 }, most: { messages: most, bytes: 1e9 } };
    },
  };
}

/** Gathers so many lines into a queue that so many leave each time that is waited for; tells how full it was at most. */
async function gatherInto(
  { lines, queueMaxMessages, leave }: { lines: number; queueMaxMessages: number; leave: number },
): Promise<{ most: number; waits: number; waiting: number }> {
  const { options } = makeOptions();
  const seen = { most: 0, waits: 0, waiting: 0 };
  await gatherLines(ReadableStream.from([Array.from({ length: lines }, (_, n) => `${n}`)]), {
    ...options,
    put(drafts) {
      seen.waiting += drafts.length;
      seen.most = Math.max(seen.most, seen.waiting);
    },
    queue: loaded(queueMaxMessages, () => seen.waiting),
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
  const { options, payloads } = makeOptions({}, stop.signal);
  await gatherLines(ReadableStream.from([Array.from({ length: 3000 }, (_, n) => `${n}`)]), {
    ...options,
    queue: loaded(100_000, () => 5000),
    room() {
      stop.abort();
      return new Promise<void>(() => {});
    },
  });
  assertEquals(payloads.length, 3000);
});

Deno.test("gathering lines goes on though nothing leaves the queue, while that has room", async () => {
  const { options, payloads } = makeOptions();
  await gatherLines(ReadableStream.from([Array.from({ length: 3000 }, (_, n) => `${n}`)]), {
    ...options,
    queue: loaded(100_000, () => payloads.length),
    room: () => new Promise(() => {}),
  });
  assertEquals(payloads.length, 3000);
});

Deno.test("gathering lines ends at the signal though there is no room, with no message lost (X2)", async () => {
  const stop = new AbortController();
  const { options, payloads } = makeOptions({}, stop.signal);
  await gatherLines(ReadableStream.from([["a", "b", "c"]]), {
    ...options,
    queue: loaded(4, () => payloads.length),
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
    queue: loaded(100_000, () => 0),
    room: () => Promise.resolve(),
  });
  assertEquals(payloads, ["a", "b"]);
});

Deno.test("drafts are numbered from the next seq; one that no endpoint takes is left out and gets no number (P7)", () => {
  const draft = (payload: (seq: number) => string) =>
    ({ topic: "t", qos: 1, timeMs: 0, payload }) as const;
  const most = MAX_PAYLOAD_BYTES;
  const tooLarge: number[] = [];
  const messages = numbered(
    [
      draft(() => "x".repeat(most)),
      draft(() => "x".repeat(most + 1)),
      draft(() => "é".repeat(most / 2 + 1)),
      draft((seq) => `${seq}`),
    ],
    41,
    (bytes) => tooLarge.push(bytes),
  );
  assertEquals(messages.map(({ payload }) => payload.length), [most, 2]);
  assertEquals([messages[1]!.payload, tooLarge], ["42", [most + 1, most + 2]]);
});

Deno.test("sleep ends with the signal", async () => {
  const stop = new AbortController();
  const sleeping = sleep(3_600_000, stop.signal);
  stop.abort();
  await sleeping;
});
