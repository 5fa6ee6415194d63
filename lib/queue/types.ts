/** The words of the queue: what goes in, what comes out, what it promises. Types alone. */

import type { Qos } from "../core/message.ts";

/** A message to be queued. Its payload is text that names its `seq` already: see {@linkcode Queue.nextSeq}. */
export interface NewMessage {
  readonly topic: string;
  readonly qos: Qos;
  /** When it was sampled, ms since the epoch. */
  readonly timeMs: number;
  readonly payload: string;
}

/** A message in the queue. */
export interface QueuedMessage extends NewMessage {
  readonly seq: number;
}

/** A message taken from the queue. */
export interface TakenMessage extends QueuedMessage {
  /** Bytes of the payload. */
  readonly payloadBytes: number;
  /** Bytes of topic and payload, as the limits count them. */
  readonly bytes: number;
}

/** What became of the messages of one `put`. */
export interface PutResult {
  /** `seq` of the first message; the others follow it without a gap. */
  readonly firstSeq: number;
  /** The last `seq` given; with `refuse` that of the last message stored. */
  readonly lastSeq: number;
  /** Messages now in the queue. */
  readonly stored: number;
  /** Messages dropped to keep the limits, old or new. */
  readonly dropped: number;
}

/** How a `put` meets a full queue. */
export interface PutOptions {
  /**
   * With `drop-newest`: stores the first messages that have room and stops there. The others get no `seq` and are not
   * counted as dropped: whoever handed them in still has them. So with a disk that fails: memory takes none, it throws.
   *
   * @default {false}
   */
  readonly refuse?: boolean;
}

/** Plain numbers about a queue. */
export interface QueueStats {
  readonly waiting: number;
  /** Bytes of topics and payloads waiting. */
  readonly bytes: number;
  /** When the oldest was sampled, ms since the epoch. */
  readonly oldestMs: number | undefined;
  readonly quarantined: number;
  /** Dropped since the file was made. */
  readonly dropped: number;
  readonly lastSeq: number;
}

/** Those of a queue that was never made. */
export const EMPTY_STATS: QueueStats = {
  waiting: 0,
  bytes: 0,
  oldestMs: undefined,
  quarantined: 0,
  dropped: 0,
  lastSeq: 0,
};

/** A number of messages and their bytes of topic and payload. */
export interface Amount {
  readonly messages: number;
  readonly bytes: number;
}

/** Messages waiting to be delivered. The queue owns what is in flight: no other part keeps an account of it. */
export interface Queue {
  /** The `seq` that the first message of the next `put` gets. */
  readonly nextSeq: number;
  /** What waits, in flight or not. */
  readonly waiting: Amount;
  /** What counts against the limits, and these: while the disk fails, what memory holds, and what it holds at most. */
  readonly load: { readonly used: Amount; readonly most: Amount };
  /** Adds messages in one commit, all or none, and returns after it. */
  put(messages: readonly NewMessage[], options?: PutOptions): PutResult;
  /** Marks the oldest messages that are not in flight as in flight, and returns them. Fewer than `most` if they are large; none if none is left. */
  take(most: number): TakenMessage[];
  /** Ends messages in flight as delivered. Their rows go with a later commit. */
  accept(seqs: readonly number[]): void;
  /** Ends a message in flight as one that the server will not take. */
  quarantine(seq: number, reason: string): void;
  /** Returns messages in flight to the queue: these, or all at the end of a session. */
  release(seqs?: readonly number[]): void;
  stats(): QueueStats;
  /** Saves what can be saved; returns how many messages end with this process. Call it once, at the end. */
  finish(): number;
  close(): void;
}

/** What waits for one topic. */
export interface TopicWaiting {
  readonly topic: string;
  readonly messages: number;
  /** When the oldest was sampled, ms since the epoch. */
  readonly sinceMs: number;
}

/** The limits of a queue, and what it promises. */
export interface QueueOptions {
  readonly maxMessages: number;
  /** Bytes of topics and payloads. */
  readonly maxBytes: number;
  /** Age in ms, or undefined. */
  readonly maxAgeMs?: number | undefined;
  readonly full: "drop-oldest" | "drop-newest";
  readonly durability: "power" | "crash" | "none";
  /** ms since the epoch. @default Date.now */
  readonly now?: () => number;
  /** Told how many messages grew too old, besides those that `put` tells of. */
  readonly onAged?: (messages: number) => void;
  /** Told how many messages were found damaged; they are quarantined. */
  readonly onDamaged?: (messages: number) => void;
}
