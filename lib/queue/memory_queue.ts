/**
 * A queue in memory: for durability `none`, for what waits while the disk fails, and for dry runs. It promises what the one
 * on disk does, but for outliving the process.
 */

import { numbered, TAKE_BYTES, weighed } from "./drafts.ts";
import { type Counts, createLimits, type Limits } from "./limits.ts";
import type {
  Draft,
  Leaving,
  PutResult,
  Queue,
  QueuedMessage,
  QueueOptions,
  QueueStats,
  TakenMessage,
} from "./types.ts";

/** Places of messages that have left before they are cut off, where they are most of all. */
const CUT_OVER = 1000;
/** Stands in such a place, so that the message itself leaves the memory. */
const GONE = {
  seq: 0,
  topic: "",
  qos: 0,
  timeMs: 0,
  payload: "",
  payloadBytes: 0,
  bytes: 0,
} as const;

/** Messages in memory, oldest first. */
export class MemoryQueue implements Queue {
  readonly #options: QueueOptions;
  readonly #counts: Counts = { waiting: 0, bytes: 0, lastSeq: 0, dropped: 0 };
  readonly #limits: Limits;
  /** In the order of their `seq`; before the head they have left. */
  #messages: TakenMessage[] = [];
  #head = 0;
  /** `seq` of the last message taken; 0 after a rewind. */
  #cursor = 0;
  #quarantined = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
    const store = {
      oldest: (after: number) => this.#messages[this.#placeAfter(after)],
      remove: (seq: number) => void this.#remove(seq),
    };
    this.#limits = createLimits(store, this.#counts, options);
  }

  put(drafts: readonly Draft[], afterSeq = 0, isHandedIn = false): PutResult {
    const counts = this.#counts;
    const { messages, tooLarge } = numbered(drafts, Math.max(counts.lastSeq, afterSeq));
    const { dropped } = counts;
    counts.lastSeq = Math.max(counts.lastSeq, afterSeq);
    let stored = 0;
    const aged = this.#limits.dropAged();
    const through = this.#limits.admit(messages, (message) => {
      this.#messages.push(message);
      stored++;
    }, isHandedIn);
    return {
      lastSeq: counts.lastSeq,
      stored,
      dropped: counts.dropped - dropped,
      droppedThrough: Math.max(aged, through),
      tooLarge,
    };
  }

  restore(messages: readonly QueuedMessage[]): void {
    const counts = this.#counts;
    for (const message of messages) {
      if (this.find(message.seq) !== undefined) continue;
      const taken = weighed(message);
      this.#messages.splice(this.#placeAfter(message.seq), 0, taken);
      counts.waiting++;
      counts.bytes += taken.bytes;
      counts.lastSeq = Math.max(counts.lastSeq, message.seq);
    }
    this.#limits.dropOldest();
  }

  take(most: number): TakenMessage[] {
    const { dropped } = this.#counts;
    this.#limits.dropAged();
    const aged = this.#counts.dropped - dropped;
    if (aged > 0) this.#options.onAged?.(aged);
    const from = this.#placeAfter(this.#cursor);
    let to = from;
    for (let bytes = 0; to < from + most && to < this.#messages.length && bytes < TAKE_BYTES;) {
      bytes += this.#messages[to++]!.bytes;
    }
    if (to > from) this.#cursor = this.#messages[to - 1]!.seq;
    return this.#messages.slice(from, to);
  }

  find(seq: number): TakenMessage | undefined {
    const message = this.#messages[this.#placeAfter(seq - 1)];
    return message?.seq === seq ? message : undefined;
  }

  accept(messages: readonly Leaving[]): void {
    for (const { seq } of messages) this.#leave(seq);
  }

  rewind(): void {
    this.#cursor = 0;
  }

  protect(isInFlight: (seq: number) => boolean): void {
    this.#limits.protect(isInFlight);
  }

  quarantine({ seq }: Leaving): void {
    if (this.#leave(seq)) this.#quarantined++;
  }

  waiting(): { messages: number; bytes: number } {
    return { messages: this.#counts.waiting, bytes: this.#counts.bytes };
  }

  stats(): QueueStats {
    return {
      ...this.#counts,
      oldestMs: this.#messages[this.#head]?.timeMs,
      quarantined: this.#quarantined,
    };
  }

  clear(): number {
    const discarded = this.#counts.waiting + this.#quarantined;
    this.#messages = [];
    this.#head =
      this.#quarantined =
      this.#counts.waiting =
      this.#counts.bytes =
        0;
    return discarded;
  }

  close(): void {}

  /** The place of the first message that waits after a `seq`. */
  #placeAfter(seq: number): number {
    let low = this.#head;
    for (let high = this.#messages.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (this.#messages[middle]!.seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Removes a message and counts it out, if it waits. */
  #leave(seq: number): boolean {
    const message = this.#remove(seq);
    if (message === undefined) return false;
    this.#counts.waiting--;
    this.#counts.bytes -= message.bytes;
    return true;
  }

  #remove(seq: number): TakenMessage | undefined {
    const place = this.#placeAfter(seq - 1);
    const message = this.#messages[place];
    if (message?.seq !== seq) return undefined;
    // The oldest leave first: nearly always there is nothing to move.
    if (place > this.#head) {
      this.#messages.splice(place, 1);
      return message;
    }
    this.#messages[this.#head++] = GONE;
    if (this.#head > CUT_OVER && this.#head * 2 > this.#messages.length) {
      this.#messages.splice(0, this.#head);
      this.#head = 0;
    }
    return message;
  }
}
