/**
 * What keeps a queue within its limits: new messages are let in or left out, the oldest are dropped, those in flight only
 * where nothing else is left, because they may have been delivered. Where messages lie is the caller's business.
 */

import type { QueueOptions, TakenMessage } from "./types.ts";

/** What a queue knows of itself without asking the disk. */
export interface Counts {
  waiting: number;
  /** Bytes of topics and payloads waiting. */
  bytes: number;
  lastSeq: number;
  /** Dropped since the file was made. */
  dropped: number;
}

/** Where the messages lie. */
export interface Store {
  /** The first that waits after a `seq`. */
  oldest(after: number): Oldest | undefined;
  /** Removes one that waits. */
  remove(seq: number): void;
}

/** What is asked of the oldest message. */
export type Oldest = Pick<TakenMessage, "seq" | "bytes" | "timeMs">;

/** Drops what is beyond the limits. */
export interface Limits {
  /**
   * Lets messages in, each by `add`, and makes room for them; what is left out has its `seq` all the same, but for what is
   * handed in: with the first that finds no room it ends.
   *
   * @returns The last `seq` of those that were dropped for them, or 0.
   */
  admit(
    messages: readonly TakenMessage[],
    add: (message: TakenMessage) => void,
    isHandedIn?: boolean,
  ): number;
  /** Drops the oldest until number and bytes are within their limits; returns the last `seq` dropped, or 0. */
  dropOldest(): number;
  /** Drops what is too old; returns the last `seq` dropped, or 0. */
  dropAged(): number;
  /** Says which messages are in flight. */
  protect(isInFlight: (seq: number) => boolean): void;
}

/** No message was taken before this: its clock was not set yet. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2026, 0, 1);

/** Makes the limits of a queue; what they let in and drop is counted in `counts`. */
export function createLimits(
  { oldest, remove }: Store,
  counts: Counts,
  { maxMessages, maxBytes, maxAgeMs, full, now = Date.now }: QueueOptions,
): Limits {
  let isInFlight: (seq: number) => boolean = () => false;

  /** The oldest that is not in flight, or the oldest of all. */
  const next = (): Oldest | undefined => {
    for (let after = 0;;) {
      const row = oldest(after);
      if (row === undefined) return oldest(0);
      if (!isInFlight(row.seq)) return row;
      after = row.seq;
    }
  };
  const drop = ({ seq, bytes }: Oldest): number => {
    remove(seq);
    counts.waiting--;
    counts.bytes -= bytes;
    counts.dropped++;
    return seq;
  };
  const isTooOld = ({ timeMs }: Oldest, limitMs: number) =>
    // A message from before the clock was set has no age that could be known.
    timeMs < limitMs && timeMs >= CLOCK_UNSET_BEFORE_MS;
  const isOver = (messages = 0, bytes = 0) =>
    counts.waiting + messages > maxMessages || counts.bytes + bytes > maxBytes;
  const dropOldest = () => {
    let through = 0;
    while (isOver()) through = Math.max(through, drop(next()!));
    return through;
  };

  return {
    admit(messages, add, isHandedIn = false) {
      let through = 0;
      for (const message of messages) {
        const over = isOver(1, message.bytes);
        if (over && full === "drop-newest" && isHandedIn) break;
        counts.lastSeq = message.seq;
        if (over && full === "drop-newest") {
          counts.dropped++;
          continue;
        }
        counts.waiting++;
        counts.bytes += message.bytes;
        add(message);
        if (over) through = Math.max(through, dropOldest());
      }
      return through;
    },
    dropOldest,
    dropAged() {
      let through = 0;
      if (maxAgeMs === undefined) return through;
      const limitMs = now() - maxAgeMs;
      for (;;) {
        const row = next();
        if (row === undefined || !isTooOld(row, limitMs) || isInFlight(row.seq)) return through;
        through = Math.max(through, drop(row));
      }
    },
    protect(isOne) {
      isInFlight = isOne;
    },
  };
}
