/**
 * What the program weighs as it goes on, measured in a process of its own, whose time runs faster. One line of JSON at
 * the end.
 *
 * - `sessions MESSAGES FLAG…`: so many lines of input, with timers 200 times as fast, so that hundreds of lost sessions
 *   take a minute.
 * - `offline MESSAGES FLAG…`: without an endpoint, in a time that jumps to the next timer as soon as nothing else is to
 *   be done: two days of one sample a second take a minute.
 */

import { app } from "./lib/app.ts";
import { realWorld } from "./lib/core/process.ts";
import { openFiles } from "./tools/bench/process.ts";
import { makeEnv } from "./tests/support/command_line.ts";
import { numbered } from "./tests/support/publishing.ts";

/** What the process weighed at one moment, after garbage collection. */
export interface Weight {
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly fds: number;
  /** Timers that wait. */
  readonly timers: number;
}

/** Weighings in a run. */
let weights_n = 0; const WEIGHINGS = 12;
/** How much faster the time of sessions runs. */
const SPEED = 200;
/** Lines of input at once, and messages between two collections of garbage. */
const CHUNK = 100;

const timers = new Set<unknown>();

if (import.meta.main) {
  const [mode, ...args] = Deno.args;
  console.log(JSON.stringify(mode === "offline" ? await offline(args) : await sessions(args)));
  Deno.exit(0);
}

/** Publishes lines of input through sessions that the endpoint ends. */
function sessions([count, ...flags]: readonly string[]): Promise<Weight[]> {
  return run(Number(count), flags, { timeMs: fastTime(), input: lines(Number(count)) });
}

/** Publishes samples without a link; the last one ends it. */
function offline([count, ...flags]: readonly string[]): Promise<Weight[]> {
  return run(Number(count), flags, { timeMs: jumpingTime(), input: ReadableStream.from([]) });
}

async function run(
  messages: number,
  flags: readonly string[],
  { timeMs, input }: { timeMs: () => number; input: ReadableStream<Uint8Array<ArrayBuffer>> },
): Promise<Weight[]> {
  const weights: Weight[] = [];
  let stop = () => {};
  let collected = 0;
  await app(["publish", ...flags], {
    ...realWorld(),
    env: makeEnv(),
    err(line) {
      if (!line.startsWith("{")) return console.error(line);
      const { event, seq } = JSON.parse(line);
      if (event !== "queued") return;
      if (seq >= messages * (weights.length + 1) / WEIGHINGS) weights.push(weigh());
      if (seq >= collected + CHUNK * 10) {
        collected = seq;
        gc();
      }
      if (seq >= messages) stop();
    },
    input: () => input,
    onSignals(names, listener) {
      if (names.includes("SIGTERM")) stop = listener;
      return () => {};
    },
    monotonicMs: timeMs,
    random: () => 0,
  });
  return weights;
}

/** Lines that come as from a pipe: each chunk in a turn of its own. */
function lines(count: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  let n = 0;
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setImmediate(resolve));
      if (n >= count) return controller.close();
      const chunk = [...numbered(n + 1, Math.min(n += CHUNK, count))];
      controller.enqueue(encoder.encode(`${chunk.join("\n")}\n`));
    },
  }, { highWaterMark: 0 });
}

function gc(): void {
  (globalThis as { gc?: () => void }).gc?.();
}

function weigh(): Weight {
  for (let round = 0; round < 3; round++) gc();
  const { rss, heapUsed, heapTotal, external } = Deno.memoryUsage(); console.error(weights_n++, (rss/1048576).toFixed(0), (heapTotal/1048576).toFixed(1), (heapUsed/1048576).toFixed(1), (external/1048576).toFixed(1), Deno.readTextFileSync("/proc/self/smaps_rollup").match(/Anonymous:.*/)?.[0]);
  return {
    rssMiB: rss / 1024 ** 2,
    heapMiB: heapUsed / 1024 ** 2,
    fds: openFiles(),
    timers: timers.size,
  };
}

/** Makes timers so many times as fast; returns the clock that goes with them. */
function fastTime(): () => number {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  Object.assign(globalThis, {
    setTimeout(action: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) {
      const timer = set(() => {
        timers.delete(timer);
        action(...args);
      }, ms / SPEED);
      timers.add(timer);
      return timer;
    },
    clearTimeout(timer: ReturnType<typeof setTimeout>) {
      timers.delete(timer);
      clear(timer);
    },
  });
  return () => performance.now() * SPEED;
}

/** Makes timers come due as soon as the event loop has nothing else; returns the clock that goes with them. */
function jumpingTime(): () => number {
  let nowMs = 0;
  let lastId = 1_000_000;
  const due = new Map<number, { atMs: number; action: () => void }>();
  const clear = globalThis.clearTimeout;
  Object.assign(globalThis, {
    setTimeout(action: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) {
      const id = ++lastId;
      due.set(id, { atMs: nowMs + Math.max(0, ms), action: () => action(...args) });
      timers.add(id);
      return id;
    },
    clearTimeout(id: number) {
      timers.delete(id);
      if (!due.delete(id)) clear(id);
    },
  });
  const turn = () => {
    let next: { id: number; atMs: number; action: () => void } | undefined;
    for (const [id, timer] of due) {
      if (next === undefined || timer.atMs < next.atMs) next = { id, ...timer };
    }
    if (next !== undefined) {
      due.delete(next.id);
      timers.delete(next.id);
      nowMs = Math.max(nowMs, next.atMs);
      next.action();
    }
    setImmediate(turn);
  };
  setImmediate(turn);
  return () => nowMs;
}
