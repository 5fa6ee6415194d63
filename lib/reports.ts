/**
 * What the publisher says, and how often: above one message a second a summary every 10 s, a drop or a failing source
 * once a minute with its count. While nothing is unsaid no timer runs, so that an idle machine sleeps. Owns no I/O;
 * times are of a monotonic clock.
 */

import type { UserError } from "./errors.ts";
import type { Logger } from "./log.ts";

/** Milliseconds between summaries of what was published, and between looks whether something else is due. */
const SUMMARY_MS = 10_000;
/** Messages no closer than this are told one by one: one a second, with some jitter. */
const ONE_BY_ONE_MS = 900;
/** Milliseconds between two lines that say the same. */
export const REPEAT_MS = 60_000;

/** A message that was delivered. */
export interface Delivered {
  readonly topic: string;
  readonly seq: number;
  readonly bytes: number;
  /** From sending to PUBACK. */
  readonly ms: number;
  /** When that came, ms of the monotonic clock. */
  readonly atMs: number;
}

/** Says what happened, not too often. */
export interface Reports {
  published(message: Delivered): void;
  dropped(count: number, why: string): void;
  sourceFailed(source: string, error: UserError): void;
  /** Says what is still unsaid, and waits for nothing any more. */
  flush(): void;
  /** Messages published and dropped so far. */
  readonly totals: { published: number; dropped: number };
}

/**
 * Makes the reports of one run.
 *
 * @param every Runs an action again and again until the returned function is called; without it, what was not said at
 * once is said at the end.
 */
export function createReports(
  log: Logger,
  monotonicMs: () => number,
  every: (ms: number, action: () => void) => () => void = () => () => {},
): Reports {
  const totals = { published: 0, dropped: 0 };
  const summary = { messages: 0, bytes: 0, sinceMs: 0, lastSeq: 0 };
  let lastMs = -Infinity;
  const often = createRepeats(monotonicMs);
  const unsaid = new Map<string, { readonly total: number; readonly say: Say }>();
  let unlook: (() => void) | undefined;

  /** The last of a kind has none after it that would say it. */
  const look = () => {
    unlook ??= every(SUMMARY_MS, () => {
      sayPublished();
      for (const key of [...unsaid.keys()].filter(often.due)) sayCount(key);
      if (unsaid.size === 0) endLook();
    });
  };
  const endLook = () => {
    unlook?.();
    unlook = undefined;
  };
  const sayPublished = () => {
    if (summary.messages === 0) return;
    log.info("published", {
      messages: summary.messages,
      bytes: summary.bytes,
      seq: summary.lastSeq,
      ms: Math.round(monotonicMs() - summary.sinceMs),
    });
    summary.messages = summary.bytes = 0;
  };
  const count = (key: string, n: number, say: Say) => {
    unsaid.set(key, { total: (unsaid.get(key)?.total ?? 0) + n, say });
    if (often.due(key)) sayCount(key);
    else look();
  };
  const sayCount = (key: string) => {
    const { total, say } = unsaid.get(key)!;
    unsaid.delete(key);
    say(total);
  };

  return {
    totals,
    published({ topic, seq, bytes, ms, atMs: nowMs }) {
      totals.published++;
      if (summary.messages === 0 && nowMs - lastMs >= ONE_BY_ONE_MS) {
        log.info("published", { topic, seq, bytes, ms: Math.round(ms) });
        lastMs = nowMs;
        return;
      }
      lastMs = nowMs;
      if (summary.messages === 0) summary.sinceMs = nowMs;
      summary.messages++;
      summary.bytes += bytes;
      summary.lastSeq = seq;
      look();
    },
    dropped(n, why) {
      if (n === 0) return;
      totals.dropped += n;
      count(`dropped ${why}`, n, (messages) => log.warn("dropped", { messages, cause: why }));
    },
    sourceFailed(source, error) {
      count(`source ${source}`, 1, (failures) =>
        log.warn("source-failed", {
          step: "source",
          source,
          failures,
          cause: error.message,
          hint: error.hint,
        }));
    },
    flush() {
      endLook();
      sayPublished();
      for (const key of [...unsaid.keys()]) sayCount(key);
    },
  };
}

/** Says a line with a count. */
type Say = (total: number) => void;

/** Remembers what was said when. */
export interface Repeats {
  /** Whether this may be said now; if so, it counts as said. */
  due(key: string): boolean;
  /** Forgets what was said. */
  reset(): void;
}

/** Makes a memory of what was said, with {@linkcode REPEAT_MS} between two of a kind. */
export function createRepeats(monotonicMs: () => number): Repeats {
  const saidMs = new Map<string, number>();
  return {
    due(key) {
      const nowMs = monotonicMs();
      if (nowMs - (saidMs.get(key) ?? -Infinity) < REPEAT_MS) return false;
      saidMs.set(key, nowMs);
      return true;
    },
    reset: () => saidMs.clear(),
  };
}
