/**
 * Messages on disk that are in memory too, because they were put while nothing else was left to be taken: they need not be
 * read, and cannot be told from those that were. Pure.
 */

import type { TakenMessage } from "./types.ts";

/** Bytes kept at most: of small messages, more than lines put them ahead of those in flight. */
const MOST_BYTES = 640 * 1024;
/** Bytes that a message takes besides topic and payload, or more. */
const OVERHEAD_BYTES = 150;

/** What comes after the last message taken. */
export interface Ahead {
  /** Notes that nothing waits after the last message taken. */
  empty(lastSeq: number): void;
  /** Notes messages that were put, if nothing was put before them that must be read, and they do not become too many. */
  add(messages: readonly TakenMessage[], lastSeqBefore: number, lastSeq: number): void;
  /** The next ones; undefined: they must be read. */
  take(most: number, lastSeq: number): TakenMessage[] | undefined;
  /** Forgets all: what waits must be read. */
  forget(): void;
}

/** Makes one that knows nothing. */
export function createAhead(): Ahead {
  let messages: TakenMessage[] = [];
  let bytes = 0;
  /** All that waits after the last one taken, up to this `seq`, is here. */
  let through = -1;
  const weigh = (some: readonly TakenMessage[]) =>
    some.reduce((sum, message) => sum + message.bytes + OVERHEAD_BYTES, 0);
  const forget = () => {
    messages = [];
    bytes = 0;
    through = -1;
  };
  return {
    empty(lastSeq) {
      forget();
      through = lastSeq;
    },
    add(some, lastSeqBefore, lastSeq) {
      if (through !== lastSeqBefore) return;
      const more = weigh(some);
      if (bytes + more > MOST_BYTES) return;
      messages.push(...some);
      bytes += more;
      through = lastSeq;
    },
    take(most, lastSeq) {
      if (messages.length === 0) return through === lastSeq ? [] : undefined;
      // Not by an index: it may never be empty, and would keep all that was sent.
      const next = messages.splice(0, most);
      bytes -= weigh(next);
      return next;
    },
    forget,
  };
}
