/**
 * One session's deliveries: takes messages from the queue, keeps the window full, accepts what was acknowledged.
 *
 * Rules: never more in flight than the window, nor than half a MiB and one message; the next message leaves inside the
 * PUBACK of an earlier one, so there is no stall between batches; a message is accepted only when it was delivered. The
 * queue knows what is in flight, and poison.ts what a loss or a refusal means. Owns no I/O.
 */

import { type Connection, explainSilence } from "../connection/mod.ts";
import type { Code } from "../core/codes.ts";
import type { Target } from "../core/endpoint.ts";
import type { UserError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Queue, TakenMessage } from "../queue/mod.ts";
import type { Pacer, Rates } from "./pacer.ts";
import type { Poison } from "./poison.ts";
import type { Reports } from "./reports.ts";

/** Messages taken from the queue at once. */
const TAKE = 32;
/** Bytes after which no more are sent until some are acknowledged: a window of large messages would fill the memory. */
const MOST_FLYING_BYTES = 512 * 1024;
/** Why a message that ends sessions is set aside. */
const ENDS_SESSIONS = "the session ended each time it was sent alone, and the endpoint took others";
/** How late a timer is after which this process has slept, or was kept from running, in ms. */
const LATE_MS = 1000;

/** What one session's delivery works with. */
export interface DeliveryOptions {
  readonly connection: Connection;
  readonly queue: Queue;
  readonly poison: Poison;
  readonly pacer: Pacer;
  readonly reports: Reports;
  readonly log: Logger;
  readonly target: Target;
  /** Most messages in flight. */
  readonly inflight: number;
  readonly ackTimeoutMs: number;
  /** Rates while no backlog waits, and while one does. */
  readonly rates: { readonly live: Rates; readonly backlog: Rates };
  /** Called when messages have left the queue. */
  readonly onAccepted: () => void;
  /** Milliseconds. */
  readonly monotonicMs: () => number;
}

/** One PUBLISH, of one message or more. */
interface Packet
  extends Pick<TakenMessage, "topic" | "qos" | "payload" | "payloadBytes" | "bytes"> {
  /** Of the messages in it, oldest first. */
  readonly seqs: readonly number[];
}

/** A PUBLISH sent and not acknowledged yet. Without its payload, which the queue still has. */
interface Flight extends Pick<Packet, "seqs" | "topic" | "qos" | "payloadBytes" | "bytes"> {
  readonly sentMs: number;
}

/** The deliveries of one session. */
export class Delivery {
  readonly #options: DeliveryOptions;
  /** In the order of sending. Design: an array, as the tables that a Map leaves behind hold all it ever held until the next full garbage collection. */
  readonly #flying: Flight[] = [];
  #flyingBytes = 0;
  /** Acknowledged, and to be accepted at the end of this turn. */
  #acknowledged: number[] = [];
  #accepting: ReturnType<typeof setImmediate> | undefined;
  /** Taken and not sent yet, the next one last. */
  #ready: TakenMessage[] = [];
  /** Taken, and held back by the account of blame. */
  #held: number[] = [];
  /** Nothing was left to take. */
  #isDrained = false;
  /** Ended. */
  #isStopped = false;
  /** Nothing more is sent: the session is to be replaced. */
  #isOnHold = false;
  /** The window is being filled: with QoS 0 a message may be delivered while it is sent. */
  #isFilling = false;
  /** Ended by us, for no fault of what is in flight. */
  #gaveUp = false;
  #lastRefusal: UserError | undefined;
  #pauseTimer: ReturnType<typeof setTimeout> | undefined;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  /** When that should fire. */
  #ackDueMs = 0;
  /** When the last PUBACK came that was next in turn. */
  #inTurnMs = -Infinity;
  #onIdle: PromiseWithResolvers<void> | undefined;
  /** Messages delivered in this session, and whether one was set aside for ending it. */
  readonly counts = { delivered: 0, setAside: false };

  /** Starts delivering. */
  constructor(options: DeliveryOptions) {
    this.#options = options;
    options.poison.begin();
    this.#fill();
  }

  /** Packets in flight. */
  get inFlight(): number {
    return this.#flying.length;
  }

  /** Looks for new messages; to be called after each `put`. */
  wake(): void {
    this.#isDrained = false;
    this.#fill();
  }

  /** Sends nothing more; what is in flight is still acknowledged. */
  hold(): void {
    this.#isOnHold = true;
  }

  /** Whether nothing is in flight and nothing waits. */
  isIdle(): boolean {
    return this.#isTried() && this.#held.length === 0;
  }

  /** Settles when {@linkcode Delivery.isIdle} is true for the first time from now. */
  idle(): Promise<void> {
    if (this.isIdle()) return Promise.resolve();
    return (this.#onIdle ??= Promise.withResolvers<void>()).promise;
  }

  /** Ends it: what was not acknowledged goes back to the queue. @param isLost Whether the session was not ended by us. */
  stop(isLost: boolean): void {
    const { poison, queue } = this.#options;
    this.#isStopped = true;
    clearTimeout(this.#pauseTimer);
    clearTimeout(this.#ackTimer);
    this.#accept();
    const flights = [...this.#flying];
    const blamed = isLost && !this.#gaveUp
      ? poison.lost(flights.flatMap(({ seqs }) => seqs))
      : undefined;
    const flight = flights.find(({ seqs }) => seqs[0] === blamed);
    if (flight !== undefined) {
      this.#quarantine(flight, ENDS_SESSIONS, "session-hung-up");
      this.counts.setAside = true;
    }
    queue.release();
  }

  #fill(nowMs: number = this.#options.monotonicMs()): void {
    if (this.#isFilling) return;
    this.#isFilling = true;
    try {
      this.#fillWindow(nowMs);
    } finally {
      this.#isFilling = false;
    }
    this.#noteEnd();
  }

  #fillWindow(nowMs: number): void {
    const { inflight, poison, pacer } = this.#options;
    while (!this.#isStopped && !this.#isOnHold) {
      const isFull = this.#flying.length >= Math.min(inflight, poison.window) ||
        this.#flyingBytes >= MOST_FLYING_BYTES;
      if (isFull) return;
      const waitMs = pacer.waitMs(nowMs);
      if (waitMs > 0) return this.#pause(waitMs);
      const packet = this.#nextPacket();
      if (packet === undefined) return;
      this.#send(packet, nowMs);
    }
  }

  #pause(waitMs: number): void {
    this.#pauseTimer ??= setTimeout(() => {
      this.#pauseTimer = undefined;
      this.#fill();
    }, waitMs);
  }

  /** Makes the next PUBLISH of the next messages: of one. */
  #nextPacket(): Packet | undefined {
    const message = this.#next() ?? this.#lastResort();
    if (message === undefined) return undefined;
    const { seq, topic, qos, payload, payloadBytes, bytes } = message;
    return { seqs: [seq], topic, qos, payload, payloadBytes, bytes };
  }

  /** The next message that may be sent; after it, `#ready` is empty only if no other waits. */
  #next(): TakenMessage | undefined {
    const { poison, queue } = this.#options;
    for (;;) {
      const message = this.#ready.pop();
      if (this.#ready.length === 0 && !this.#isDrained) {
        this.#ready = queue.take(TAKE).reverse();
        this.#isDrained = this.#ready.length === 0;
        if (message === undefined) continue;
      }
      if (message === undefined || poison.next(message)) return message;
      this.#held.push(message.seq);
    }
  }

  /** Where only suspects wait, the oldest is sent after all. */
  #lastResort(): TakenMessage | undefined {
    const { poison, queue } = this.#options;
    const seq = this.#flying.length > 0 ? undefined : poison.lastResort(this.#held);
    if (seq === undefined) return undefined;
    this.#held.splice(this.#held.indexOf(seq), 1);
    queue.release([seq]);
    return queue.take(1)[0];
  }

  #send(packet: Packet, nowMs: number): void {
    const { connection, pacer, rates, ackTimeoutMs } = this.#options;
    const { seqs, topic, qos, payloadBytes, bytes } = packet;
    const flight: Flight = { seqs, topic, qos, payloadBytes, bytes, sentMs: nowMs };
    this.#flying.push(flight);
    this.#flyingBytes += bytes;
    pacer.sent(nowMs, bytes, this.#ready.length > 0 ? rates.backlog : rates.live);
    connection.publish(packet, (why) => this.#settle(flight, why));
    if (this.#ackTimer === undefined) this.#awaitAck(ackTimeoutMs);
  }

  /** The PUBACK has come, with a reason if it refuses. */
  #settle(flight: Flight, why: (UserError & { transient: boolean }) | undefined): void {
    const index = this.#flying.indexOf(flight);
    if (this.#isStopped || index < 0) return;
    const { poison, reports, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    // Servers acknowledge in order, so on a slow link the wait for one begins with the PUBACK before it. A PUBACK out of
    // turn says nothing of those it overtook.
    if (index === 0) {
      this.#inTurnMs = nowMs;
      this.#flying.shift();
    } else {
      this.#flying.splice(index, 1);
    }
    this.#flyingBytes -= flight.bytes;
    if (why !== undefined) return this.#refuse(flight, why);
    const { seqs, topic, qos, payloadBytes, sentMs } = flight;
    const seq = seqs.at(-1)!;
    this.counts.delivered += seqs.length;
    reports.published({ topic, seq, qos, bytes: payloadBytes, ms: nowMs - sentMs, atMs: nowMs });
    this.#acknowledged.push(...seqs);
    // PUBACKs that arrive in one turn are accepted together after it. (A timer would wake the process once more.)
    this.#accepting ??= setImmediate(() => this.#accept());
    if (poison.accepted(seq)) this.#takeAgain();
    this.#fill(nowMs);
  }

  #accept(): void {
    clearImmediate(this.#accepting);
    this.#accepting = undefined;
    this.#options.queue.accept(this.#acknowledged);
    this.#acknowledged = [];
    this.#options.onAccepted();
    this.#noteEnd();
  }

  /** Begins with the oldest again, for what was held. */
  #takeAgain(): void {
    const { queue, poison } = this.#options;
    const again = Map.groupBy(this.#held, (seq) => !poison.isPostponed(seq));
    queue.release([...again.get(true) ?? [], ...this.#ready.map(({ seq }) => seq)]);
    this.#held = again.get(false) ?? [];
    this.#ready = [];
    this.#isDrained = false;
  }

  #refuse(flight: Flight, why: UserError & { transient: boolean }): void {
    const { poison, reports } = this.#options;
    const { topic, seqs } = flight;
    this.#lastRefusal = why;
    const sentence = poison.refused({ seq: seqs[0]!, topic }, why.transient);
    if (sentence === "quarantine") this.#quarantine(flight, why.message, why.code);
    else this.#held.push(...seqs);
    if (sentence === "hold" && !why.transient) reports.refused(seqs[0]!, why);
    if (sentence === "end") return this.#giveUp(why);
    this.#fill();
  }

  #quarantine({ seqs, topic }: Flight, why: string, code: Code): void {
    const { queue, reports, onAccepted } = this.#options;
    for (const seq of seqs) queue.quarantine(seq, why);
    reports.quarantined({ seq: seqs[0]!, topic }, why, code);
    onAccepted();
  }

  #giveUp(why: UserError): void {
    this.#gaveUp = true;
    this.#options.connection.abort(why);
  }

  #awaitAck(ms: number): void {
    this.#ackDueMs = this.#options.monotonicMs() + ms;
    this.#ackTimer = setTimeout(() => this.#checkAcks(), ms);
  }

  #checkAcks(): void {
    const { connection, ackTimeoutMs, monotonicMs, target } = this.#options;
    this.#ackTimer = undefined;
    const [oldest] = this.#flying;
    if (this.#isStopped || oldest === undefined) return;
    // A process that slept hears its timers before its socket: what came meanwhile is read first.
    if (monotonicMs() - this.#ackDueMs > LATE_MS) return this.#awaitAck(LATE_MS);
    const leftMs = Math.max(oldest.sentMs, this.#inTurnMs) + ackTimeoutMs - monotonicMs();
    if (leftMs <= 0) {
      return connection.abort(explainSilence("PUBACK", ackTimeoutMs, target, connection.doings()));
    }
    this.#awaitAck(leftMs);
  }

  /** When all has been tried: notes that it is done, or tries what was refused again in another session. */
  #noteEnd(): void {
    if (this.#isStopped || !this.#isTried() || this.#pauseTimer !== undefined) return;
    if (this.#lastRefusal !== undefined && this.#held.length > 0) {
      return this.#giveUp(this.#lastRefusal);
    }
    this.#onIdle?.resolve();
    this.#onIdle = undefined;
  }

  #isTried(): boolean {
    return this.#isDrained && this.#ready.length === 0 && this.#flying.length === 0 &&
      this.#acknowledged.length === 0;
  }
}
