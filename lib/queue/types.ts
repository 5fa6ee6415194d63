/** The words of the queue: what goes in, what comes out, what it promises. Types alone. */

import type { Qos } from "../core/message.ts";

/** A message to be queued. */
export interface Draft {
  readonly topic: string;
  readonly qos: Qos;
  /** When it was taken, ms since the epoch. */
  readonly timeMs: number;
  /** The payload, once its `seq` is known. */
  readonly payload: (seq: number) => string;
}

/** A message in the queue. */
export interface QueuedMessage {
  readonly seq: number;
  readonly topic: string;
  readonly qos: Qos;
  readonly timeMs: number;
  readonly payload: string;
}

/** A message taken from the queue. */
export interface TakenMessage extends QueuedMessage {
  /** Bytes of the payload. */
  readonly payloadBytes: number;
  /** Bytes of topic and payload, as the limits count them. */
  readonly bytes: number;
}

/** What the queue must be told of a message that leaves it: not its payload, which would be kept in memory for that. */
export type Leaving = Pick<TakenMessage, "seq" | "bytes">;

/** What became of the drafts of one `put`. */
export interface PutResult {
  /** `seq` of the last draft. */
  readonly lastSeq: number;
  /** Drafts now in the queue. */
  readonly stored: number;
  /** Messages dropped to keep the limits, old or new. */
  readonly dropped: number;
  /** The last of the old messages dropped; 0: none was. */
  readonly droppedThrough: number;
  /** Bytes of each payload that was left out as too large; it got no `seq`. */
  readonly tooLarge: readonly number[];
}

/** Plain numbers about a queue. */
export interface QueueStats {
  readonly waiting: number;
  /** Bytes of topics and payloads waiting. */
  readonly bytes: number;
  /** When the oldest was taken, ms since the epoch. */
  readonly oldestMs: number | undefined;
  readonly quarantined: number;
  /** Dropped by a limit since the file was made. */
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

/** Messages waiting to be delivered. Every method throws {@linkcode UserError} (73) when the storage fails. */
export interface Queue {
  /**
   * Adds messages in one commit; all or nothing.
   *
   * @param afterSeq The least `seq` already given elsewhere.
   * @param isHandedIn What is handed in is kept as `durability` says or not taken: a failing storage throws, and a full
   * queue that drops the newest takes only the first ones, up to `lastSeq`.
   */
  put(drafts: readonly Draft[], afterSeq?: number, isHandedIn?: boolean): PutResult;
  /** Adds messages that have their `seq` already, from a damaged file or from memory; whatever is there stays. */
  restore(messages: readonly QueuedMessage[]): void;
  /**
   * The next messages, oldest first, after those taken before; they stay until accepted. Where they are large it is
   * fewer than `most`, though more are left; none at all means that none are left.
   */
  take(most: number): TakenMessage[];
  /** The message of that `seq`, if it waits. */
  find(seq: number): TakenMessage | undefined;
  /** Forgets messages that were delivered. */
  accept(messages: readonly Leaving[]): void;
  /** Makes what was taken and not accepted the next to be taken. */
  rewind(): void;
  /** Spares messages from being dropped while this says so: those in flight may have been delivered. */
  protect(isInFlight: (seq: number) => boolean): void;
  /** Sets a message aside that the server will not take. */
  quarantine(message: Leaving, reason: string): void;
  /** How many messages wait, and their bytes of topic and payload: what {@linkcode Queue.stats} says, without a look at the disk. */
  waiting(): { readonly messages: number; readonly bytes: number };
  stats(): QueueStats;
  /** Discards all that waits, quarantined ones too; returns how many. `seq` goes on. */
  clear(): number;
  close(): void;
}

/** A queue in a file. */
export interface DiskQueue extends Queue {
  /** What waits for other topics than this one, the topic of the oldest message first. */
  forOthers(topic: string): readonly TopicWaiting[];
}

/** What waits for one topic. */
export interface TopicWaiting {
  readonly topic: string;
  readonly messages: number;
  /** When the oldest was taken, ms since the epoch. */
  readonly sinceMs: number;
}

/** A note beside the queue file of how far messages have left it. */
export interface DeliveredMark {
  /** The last `seq` that had been noted when it was opened; 0: none. */
  readonly through: number;
  /** Notes that no message up to this one is to be sent again. */
  write(seq: number): void;
}

/** Options of {@linkcode openQueue}. */
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
  /** Where it is noted what was delivered in its turn; without it, each delivery is a commit. */
  readonly delivered?: DeliveredMark | undefined;
  /** Opens it for {@linkcode Queue.stats} alone. @default {false} */
  readonly readOnly?: boolean;
  /** Told how many messages grew too old, besides those that `put` tells of. */
  readonly onAged?: (messages: number) => void;
  /** Told how many messages were found damaged on disk; they are quarantined. */
  readonly onDamaged?: (messages: number) => void;
}
