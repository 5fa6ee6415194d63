/**
 * What the publisher says, and how often. On a terminal: a line a message, at most one a second, else a summary every
 * 10 s. Elsewhere: the first message of each session, then a summary every 10 minutes. A drop or a failing source once
 * a minute with its count. While nothing is unsaid no timer runs, so that an idle machine sleeps. Owns no I/O; times are
 * of a monotonic clock.
 */

import type { UserError } from "../core/errors.ts";
import { createRepeats, type Logger } from "../core/log.ts";

/** Milliseconds between summaries of what was published: on a terminal, and elsewhere. */
const SUMMARY_MS = { terminal: 10_000, elsewhere: 600_000 } as const;
/** On a terminal: milliseconds from line to line, on average. */
const LINE_MS = 1000;
/** How much earlier a line may come than that: at one message a second some come late, and the next ones do not. */
const EARLY_MS = 900;
/** Milliseconds between looks whether a drop or a failure is due. */
const LOOK_MS = 10_000;
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
  /** A session begins. */
  connected(): void;
  published(message: Delivered): void;
  dropped(count: number, why: string): void;
  /** @param kind What is counted apart of one source. */
  sourceFailed(source: string, error: UserError, kind?: string): void;
  /** Says what is still unsaid, and waits for nothing any more. */
  flush(): void;
  /** Messages published and dropped so far. */
  readonly totals: {
    published: number;
    dropped: number;
    /** Of lines handed in, where there is a socket for them. */
    intake?: { handedIn: number; refused: number };
  };
}

/**
 * Makes the reports of one run.
 *
 * @param every Runs an action again and again until the returned function is called; without it, what was not said at
 * once is said at the end.
 * @param isTerminal Whether somebody watches the log.
 */
export function createReports(
  log: Logger,
  monotonicMs: () => number,
  every: (ms: number, action: () => void) => () => void = () => () => {},
  isTerminal = false,
): Reports {
  const totals: Reports["totals"] = { published: 0, dropped: 0 };
  const summary = { messages: 0, bytes: 0, sinceMs: 0, lastSeq: 0 };
  const summaryMs = isTerminal ? SUMMARY_MS.terminal : SUMMARY_MS.elsewhere;
  /** When the next line is due, on a terminal. */
  let dueMs = 0;
  /** No message was told since the session began. */
  let isFirst = true;
  const often = createRepeats(monotonicMs);
  const unsaid = new Map<string, { readonly total: number; readonly say: Say }>();
  let unlook: (() => void) | undefined;
  let unsummarise: (() => void) | undefined;

  /** The last of a kind has none after it that would say it. */
  const look = () => {
    unlook ??= every(LOOK_MS, () => {
      for (const key of [...unsaid.keys()].filter(often.due)) sayCount(key);
      if (unsaid.size === 0) endLook();
    });
  };
  const endLook = () => {
    unlook?.();
    unlook = undefined;
  };
  const isDue = (nowMs: number) => {
    if (!isTerminal) return isFirst;
    if (unsummarise !== undefined || nowMs < dueMs - EARLY_MS) return false;
    dueMs = Math.max(dueMs, nowMs) + LINE_MS;
    return true;
  };
  const saySummary = () => {
    const { messages, bytes, lastSeq, sinceMs } = summary;
    if (messages > 0) {
      const ms = Math.round(monotonicMs() - sinceMs);
      log.info("published", { messages, bytes, seq: lastSeq, ms });
    }
    summary.messages = summary.bytes = 0;
    // Messages that come faster than lines may are told by summaries alone.
    if (!isTerminal || messages <= summaryMs / LINE_MS) endSummaries();
  };
  const endSummaries = () => {
    unsummarise?.();
    unsummarise = undefined;
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
    connected: () => void (isFirst = true),
    published({ topic, seq, bytes, ms, atMs: nowMs }) {
      totals.published++;
      const isTold = isDue(nowMs);
      isFirst = false;
      const say = isTold ? log.info : log.debug;
      say("published", { topic, seq, bytes, ms: Math.round(ms) });
      if (isTold) return;
      if (summary.messages === 0) summary.sinceMs = nowMs;
      summary.messages++;
      summary.bytes += bytes;
      summary.lastSeq = seq;
      unsummarise ??= every(summaryMs, saySummary);
    },
    dropped(n, why) {
      if (n === 0) return;
      totals.dropped += n;
      count(`dropped ${why}`, n, (messages) => log.warn("dropped", { messages, cause: why }));
    },
    sourceFailed(source, error, kind = "") {
      count(`source ${source} ${kind}`, 1, (failures) =>
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
      saySummary();
      endSummaries();
      for (const key of [...unsaid.keys()]) sayCount(key);
    },
  };
}

/** Says a line with a count. */
type Say = (total: number) => void;
