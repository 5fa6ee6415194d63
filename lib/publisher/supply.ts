/**
 * What is sent next in a session: messages taken from the queue, but for those that poison.ts holds back, one by one or
 * packed.
 *
 * Rules: oldest first; a pack holds consecutive messages of one topic and QoS; it waits for others only where nothing is
 * under suspicion and no backlog waits, and for as long as packing says. Owns no I/O and no timer.
 */

import type { Queue, TakenMessage } from "../queue/mod.ts";
import { MOST_SAMPLES, Pack, type Packet, type Packing } from "./packing.ts";
import type { Poison } from "./poison.ts";

/** Messages taken from the queue at once. */
const TAKE = 32;
/** A pack holds at most this part of what the queue may: what is in flight cannot be dropped for newer messages. */
const PART = 4;

/** What is sent next in a session. */
export class Supply {
  readonly #queue: Queue;
  readonly #poison: Poison;
  readonly #packing: Packing | undefined;
  /** How long a message may wait for others, ms. */
  #mostWaitMs: number;
  /** Taken and not sent yet, the next one last. */
  #ready: TakenMessage[] = [];
  /** Taken, and held back by the account of blame. */
  #held: number[] = [];
  /** Nothing was left to take. */
  #isDrained = false;
  /** Taken before the ready ones, and waits for others. */
  #pack: Pack | undefined;
  /** When the pack leaves at the latest, ms of the monotonic clock. */
  #dueMs = 0;
  /** When the first message came after the last ones were taken; what waited before this session has waited enough. */
  #wokenMs = -Infinity;

  constructor(queue: Queue, poison: Poison, packing: Packing | undefined) {
    this.#queue = queue;
    this.#poison = poison;
    this.#packing = packing;
    this.#mostWaitMs = packing?.waitMs ?? 0;
  }

  /** Nothing is left to be sent now, but for what is held and a pack that waits. */
  get isEmpty(): boolean {
    return this.#isDrained && this.#ready.length === 0;
  }

  /** Some is held until another message is taken, or for the next session. */
  get hasHeld(): boolean {
    return this.#held.length > 0;
  }

  /** Others wait after the packet that {@linkcode Supply.next} gave last. */
  get hasMore(): boolean {
    return this.#ready.length > 0;
  }

  /** How long the pack that waits may still wait, ms; undefined: there is none. */
  waitMs(nowMs: number): number | undefined {
    return this.#pack && this.#dueMs - nowMs;
  }

  /** There may be new messages. */
  wake(nowMs: number): void {
    if (this.isEmpty) this.#wokenMs = nowMs;
    this.#isDrained = false;
  }

  /** From now on nothing waits for others. */
  hurry(): void {
    this.#mostWaitMs = 0;
    this.#dueMs = -Infinity;
  }

  /** The next PUBLISH. @param isIdle Whether nothing is in flight: where only suspects wait, the oldest is sent then. */
  next(nowMs: number, isIdle: boolean): Packet | undefined {
    const packing = this.#packing;
    for (let message = this.#next(); message !== undefined; message = this.#next()) {
      if (packing === undefined) return alone(message);
      if (this.#pack !== undefined) {
        if (this.#pack.seqs.length < this.#most && this.#pack.add(message)) continue;
        this.#ready.push(message);
        return this.#close();
      }
      this.#pack = Pack.begin(message, packing);
      if (this.#pack === undefined) return alone(message);
      this.#dueMs = this.#wokenMs + this.#mostWaitMs;
      if (this.#most === 1 || !this.#poison.mayShare(message.seq)) return this.#close();
    }
    if (this.#pack !== undefined) return this.#dueMs <= nowMs ? this.#close() : undefined;
    const message = isIdle ? this.#lastResort() : undefined;
    return message && ((packing && Pack.begin(message, packing)?.close()) ?? alone(message));
  }

  /** Holds a message back that was refused. */
  hold(seq: number): void {
    this.#held.push(seq);
    // What it holds goes one by one now.
    if (this.#pack !== undefined) this.#putBack([]);
  }

  /** Takes the messages of a packet that was refused back, to be sent one by one. */
  split(seqs: readonly number[]): void {
    this.#putBack(seqs);
  }

  /** Begins with the oldest again, for what was held. */
  takeAgain(): void {
    const again = Map.groupBy(this.#held, (seq) => !this.#poison.isPostponed(seq));
    this.#held = again.get(false) ?? [];
    this.#putBack(again.get(true) ?? []);
  }

  /** Gives these and all that was not sent back to the queue. */
  #putBack(seqs: readonly number[]): void {
    this.#queue.release([
      ...seqs,
      ...this.#pack?.seqs ?? [],
      ...this.#ready.map(({ seq }) => seq),
    ]);
    this.#pack = undefined;
    this.#ready = [];
    this.#isDrained = false;
  }

  /** The next message that may be sent; after it, `#ready` is empty only if no other waits. */
  #next(): TakenMessage | undefined {
    for (;;) {
      const message = this.#ready.pop();
      if (this.#ready.length === 0 && !this.#isDrained) {
        this.#ready = this.#queue.take(TAKE).reverse();
        this.#isDrained = this.#ready.length === 0;
        if (message === undefined) continue;
      }
      if (message === undefined || this.#poison.next(message)) return message;
      this.#held.push(message.seq);
    }
  }

  #lastResort(): TakenMessage | undefined {
    const seq = this.#poison.lastResort(this.#held);
    if (seq === undefined) return undefined;
    this.#held.splice(this.#held.indexOf(seq), 1);
    this.#queue.release([seq]);
    return this.#queue.take(1)[0];
  }

  #close(): Packet {
    const pack = this.#pack!;
    this.#pack = undefined;
    return pack.close();
  }

  get #most(): number {
    return Math.min(MOST_SAMPLES, Math.max(1, Math.floor(this.#queue.load.most.messages / PART)));
  }
}

/** A message in a packet of its own, as it is. */
function alone({ seq, topic, qos, payload, payloadBytes, bytes }: TakenMessage): Packet {
  return { seqs: [seq], topic, qos, payload, payloadBytes, bytes, isPack: false };
}
