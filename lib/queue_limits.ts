/**
 * What keeps a queue within its limits: the oldest messages are dropped, those in flight only where nothing else is left,
 * because they may have been delivered. Runs inside its caller's transaction.
 */

import type { Statements } from "./queue_schema.ts";
import type { QueueOptions } from "./queue_types.ts";

/** What a queue knows of itself without asking the disk. */
export interface Counts {
  waiting: number;
  /** Bytes of topics and payloads waiting. */
  bytes: number;
  lastSeq: number;
  /** Dropped since the file was made. */
  dropped: number;
}

/** Drops what is beyond the limits. */
export interface Limits {
  /** Drops the oldest until number and bytes are within their limits; returns the last `seq` dropped, or 0. */
  dropOldest(): number;
  /** Drops what is too old; returns the last `seq` dropped, or 0. */
  dropAged(): number;
  /** Says which messages are in flight. */
  protect(isInFlight: (seq: number) => boolean): void;
}

/** No message was taken before this: its clock was not set yet. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2026, 0, 1);

interface OldestRow {
  readonly seq: number;
  readonly bytes: number;
  readonly timeMs: number;
}

/** Makes the limits of a queue; what they drop is counted in `counts`. */
export function createLimits(
  { oldest, deleteRange }: Pick<Statements, "oldest" | "deleteRange">,
  counts: Counts,
  { maxMessages, maxBytes, maxAgeMs, now = Date.now }: QueueOptions,
): Limits {
  let isInFlight: (seq: number) => boolean = () => false;

  /** The oldest that is not in flight, or the oldest of all. */
  const next = (): OldestRow | undefined => {
    for (let after = 0;;) {
      const row = oldest.get(after) as OldestRow | undefined;
      if (row === undefined) return oldest.get(0) as OldestRow | undefined;
      if (!isInFlight(row.seq)) return row;
      after = row.seq;
    }
  };
  const drop = ({ seq, bytes }: OldestRow): number => {
    deleteRange.run(seq, seq);
    counts.waiting--;
    counts.bytes -= bytes;
    counts.dropped++;
    return seq;
  };
  const isTooOld = ({ timeMs }: OldestRow, limitMs: number) =>
    // A message from before the clock was set has no age that could be known.
    timeMs < limitMs && timeMs >= CLOCK_UNSET_BEFORE_MS;

  return {
    dropOldest() {
      let through = 0;
      while (counts.waiting > maxMessages || counts.bytes > maxBytes) {
        through = Math.max(through, drop(next()!));
      }
      return through;
    },
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
