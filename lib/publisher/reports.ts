/**
 * What the publisher logs of messages and sources, and how often. On a terminal: a line for each message, at most one a
 * second, else a summary every 10 s. Elsewhere: the first message of each session, then a summary every 10 minutes. A
 * drop or a failing source: once a minute with a count. No timer runs while nothing waits to be logged, so that an idle
 * machine sleeps. Times are those of a monotonic clock.
 */

import type { Code } from "../core/codes.ts";
import { failureFields, type UserError } from "../core/errors.ts";
import { createRepeats, type Logger, type Repeats } from "../core/log.ts";
import type { Qos } from "../core/message.ts";

/** Milliseconds between summaries of what was published: on a terminal, and elsewhere. */
const SUMMARY_MS = { terminal: 10_000, elsewhere: 600_000 } as const;
/** On a terminal: milliseconds from line to line, on average. */
const LINE_MS = 1000;
/** How much earlier a line may come than that: at one message a second some come late, and the next ones do not. */
const EARLY_MS = 900;
/** Milliseconds between looks whether a drop or a failure is due. */
const LOOK_MS = 10_000;

/** A message that was delivered, or a pack of them. */
export interface Delivered {
  readonly topic: string;
  /** Of a pack, that of the last sample. */
  readonly seq: number;
  /** Of what a pack is made. */
  readonly of?: { readonly firstSeq: number; readonly samples: number } | undefined;
  readonly bytes: number;
  /** @default {1} */
  readonly qos?: Qos;
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
  /** @param times How often, at once. @default {1} */
  sourceFailed(source: string, error: UserError, times?: number): void;
  /** A message was refused, and is held until another one was accepted. */
  refused(seq: number, why: UserError): void;
  /** A message was set aside. */
  quarantined(message: { seq: number; topic: string }, why: string, code: Code): void;
  /** Says what is still unsaid, and waits for nothing any more. */
  flush(): void;
  /** How often each source failed. */
  readonly failures: ReadonlyMap<string, number>;
  /** Messages published and dropped so far. */
  readonly totals: {
    published: number;
    /** PUBLISH packets that they took. */
    publishes: number;
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
  const totals: Reports["totals"] = { published: 0, publishes: 0, dropped: 0 };
  const counted = new Counted(monotonicMs, every);
  const deliveries = new Deliveries(log, monotonicMs, every, isTerminal);
  const failures = new Map<string, number>();
  return {
    totals,
    failures,
    connected: () => deliveries.connected(),
    published(message) {
      totals.published += message.of?.samples ?? 1;
      totals.publishes++;
      deliveries.published(message);
    },
    dropped(n, why) {
      if (n === 0) return;
      totals.dropped += n;
      counted.add(`dropped ${why}`, n, (messages) => log.warn("dropped", { messages, cause: why }));
    },
    sourceFailed(source, error, times = 1) {
      failures.set(source, (failures.get(source) ?? 0) + times);
      // The hint tells one kind of failure of a source from another.
      counted.add(`source ${source} ${error.hint}`, times, (failures) =>
        log.warn("source-failed", {
          ...failureFields(error),
          step: "source",
          source,
          failures,
        }));
    },
    refused(seq, why) {
      counted.add(
        `refused ${why.code} ${why.reason}`,
        1,
        (messages) => log.warn("warning", { seq, ...several(messages), ...failureFields(why) }),
      );
    },
    quarantined({ seq, topic }, cause, code) {
      const isSaid = counted.add(`quarantined ${cause}`, 1, (messages) =>
        log.error("quarantined", {
          step: "publish",
          code,
          seq,
          ...several(messages),
          topic,
          cause,
          hint: "it is kept on disk and not sent again; `mqtt443 queue` counts it",
        }));
      if (!isSaid) log.debug("quarantined", { seq, topic, cause });
    },
    flush() {
      deliveries.flush();
      counted.flush();
    },
  };
}

/** The count of a line that stands for several messages, of which it names the last. */
function several(messages: number): { messages?: number } {
  return messages > 1 ? { messages } : {};
}

/** Runs an action again and again until the returned function is called. */
type Every = (ms: number, action: () => void) => () => void;

/** Delivered messages in the log: a line for some, a summary for the rest. */
class Deliveries {
  readonly #log: Logger;
  readonly #monotonicMs: () => number;
  readonly #every: Every;
  readonly #isTerminal: boolean;
  /** From summary to summary. */
  readonly #summaryMs: number;
  /** What the next summary says. */
  readonly #summary = { messages: 0, publishes: 0, bytes: 0, sinceMs: 0, lastSeq: 0 };
  /** When the next line is due, on a terminal. */
  #dueMs = 0;
  /** Packs were delivered: packets are counted besides. */
  #isPacking = false;
  /** No message was logged since the session began. */
  #isFirst = true;
  /** Ends the summaries. */
  #end: (() => void) | undefined;

  constructor(log: Logger, monotonicMs: () => number, every: Every, isTerminal: boolean) {
    this.#log = log;
    this.#monotonicMs = monotonicMs;
    this.#every = every;
    this.#isTerminal = isTerminal;
    this.#summaryMs = isTerminal ? SUMMARY_MS.terminal : SUMMARY_MS.elsewhere;
  }

  connected(): void {
    this.#isFirst = true;
  }

  published({ topic, seq, of, bytes, ms, atMs }: Delivered): void {
    const hasLine = this.#isDue(atMs);
    this.#isPacking ||= of !== undefined;
    this.#isFirst = false;
    const say = hasLine ? this.#log.info : this.#log.debug;
    say("published", {
      topic,
      seq: of === undefined ? seq : `${of.firstSeq}-${seq}`,
      samples: of?.samples,
      bytes,
      ms: Math.round(ms),
    });
    if (hasLine) return;
    const summary = this.#summary;
    if (summary.messages === 0) summary.sinceMs = atMs;
    summary.messages += of?.samples ?? 1;
    summary.publishes++;
    summary.bytes += bytes;
    summary.lastSeq = seq;
    this.#end ??= this.#every(this.#summaryMs, () => this.#saySummary());
  }

  flush(): void {
    this.#saySummary();
    this.#endSummaries();
  }

  #isDue(nowMs: number): boolean {
    if (!this.#isTerminal) return this.#isFirst;
    if (this.#end !== undefined || nowMs < this.#dueMs - EARLY_MS) return false;
    this.#dueMs = Math.max(this.#dueMs, nowMs) + LINE_MS;
    return true;
  }

  #saySummary(): void {
    const { messages, publishes, bytes, lastSeq, sinceMs } = this.#summary;
    if (messages > 0) {
      const ms = Math.round(this.#monotonicMs() - sinceMs);
      const packets = this.#isPacking ? { publishes } : {};
      this.#log.info("published", { messages, ...packets, bytes, seq: lastSeq, ms });
    }
    this.#summary.messages = this.#summary.publishes = this.#summary.bytes = 0;
    // Packets that come faster than lines may go on in summaries.
    if (!this.#isTerminal || publishes <= this.#summaryMs / LINE_MS) this.#endSummaries();
  }

  #endSummaries(): void {
    this.#end?.();
    this.#end = undefined;
  }
}

/** Writes the line of one kind of event, with its count. */
type Say = (total: number) => void;

/** Events of many kinds: of each kind one line a minute, with the count since the last one. */
class Counted {
  readonly #often: Repeats;
  readonly #every: Every;
  readonly #unsaid = new Map<string, { readonly total: number; readonly say: Say }>();
  /** Ends the looks. */
  #end: (() => void) | undefined;

  constructor(monotonicMs: () => number, every: Every) {
    this.#often = createRepeats(monotonicMs);
    this.#every = every;
  }

  /** Counts events; returns whether their line was written at once. */
  add(kind: string, n: number, say: Say): boolean {
    this.#unsaid.set(kind, { total: (this.#unsaid.get(kind)?.total ?? 0) + n, say });
    if (this.#often.due(kind)) {
      this.#say(kind);
      return true;
    }
    // No later event of this kind may come that would write the line.
    this.#end ??= this.#every(LOOK_MS, () => this.#look());
    return false;
  }

  flush(): void {
    this.#endLooks();
    for (const kind of [...this.#unsaid.keys()]) this.#say(kind);
  }

  #look(): void {
    for (const kind of [...this.#unsaid.keys()].filter(this.#often.due)) this.#say(kind);
    if (this.#unsaid.size === 0) this.#endLooks();
  }

  #endLooks(): void {
    this.#end?.();
    this.#end = undefined;
  }

  #say(kind: string): void {
    const { total, say } = this.#unsaid.get(kind)!;
    this.#unsaid.delete(kind);
    say(total);
  }
}
