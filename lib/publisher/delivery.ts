/**
 * One session's deliveries: keeps the window full, accepts what was acknowledged.
 *
 * Rules: never more in flight than the window, nor than half a MiB and one message; the next message leaves inside the
 * PUBACK of an earlier one, so there is no stall between batches; a message is accepted only when it was delivered. The
 * queue knows what is in flight, supply.ts what is next, and poison.ts what a loss or a refusal means. Owns no I/O.
 */

import { type Connection, explainSilence } from "../connection/mod.ts";
import type { Code } from "../core/codes.ts";
import type { Target } from "../core/endpoint.ts";
import type { UserError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Queue } from "../queue/mod.ts";
import type { Pacer, Rates } from "./pacer.ts";
import type { Packet, Packing } from "./packing.ts";
import type { Poison } from "./poison.ts";
import type { Reports } from "./reports.ts";
import { Supply } from "./supply.ts";

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
  /** How messages share a PUBLISH; undefined: each has its own. */
  readonly packing?: Packing | undefined;
  /** Most packets in flight. */
  readonly inflight: number;
  readonly ackTimeoutMs: number;
  /** Rates while no backlog waits, and while one does. */
  readonly rates: { readonly live: Rates; readonly backlog: Rates };
  /** Called when messages have left the queue. */
  readonly onAccepted: () => void;
  /** Milliseconds. */
  readonly monotonicMs: () => number;
}

/** A PUBLISH sent and not acknowledged yet. Without its payload, which the queue still has. */
interface Flight extends Omit<Packet, "payload"> {
  readonly sentMs: number;
}

/** The deliveries of one session. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #supply: Supply;
  /** In the order of sending. Design: an array, as the tables that a Map leaves behind hold all it ever held until the next full garbage collection. */
  readonly #flying: Flight[] = [];
  #flyingBytes = 0;
  /** Acknowledged, and to be accepted at the end of this turn. */
  #acknowledged: number[] = [];
  #accepting: ReturnType<typeof setImmediate> | undefined;
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
  /** Sends the pack that waits for others. */
  #packTimer: ReturnType<typeof setTimeout> | undefined;
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
    this.#supply = new Supply(options.queue, options.poison, options.packing);
    options.poison.begin();
    this.#fill();
  }

  /** Packets in flight. */
  get inFlight(): number {
    return this.#flying.length;
  }

  /** Looks for new messages; to be called after each `put`. */
  wake(): void {
    const nowMs = this.#options.monotonicMs();
    this.#supply.wake(nowMs);
    this.#fill(nowMs);
  }

  /** Lets nothing wait for others any more. */
  hurry(): void {
    this.#supply.hurry();
    this.#fill();
  }

  /** Sends nothing more; what is in flight is still acknowledged. */
  hold(): void {
    this.#isOnHold = true;
  }

  /** Whether nothing is in flight and nothing waits, but in a pack for others. */
  isIdle(): boolean {
    return this.#isTried() && !this.#supply.hasHeld;
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
    for (const timer of [this.#pauseTimer, this.#packTimer, this.#ackTimer]) clearTimeout(timer);
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
      const packet = this.#supply.next(nowMs, this.#flying.length === 0);
      if (packet === undefined) return this.#awaitPack(nowMs);
      this.#send(packet, nowMs);
    }
  }

  #awaitPack(nowMs: number): void {
    const waitMs = this.#supply.waitMs(nowMs);
    if (waitMs === undefined) return;
    this.#packTimer ??= setTimeout(() => {
      this.#packTimer = undefined;
      this.#fill();
    }, waitMs);
  }

  #pause(waitMs: number): void {
    this.#pauseTimer ??= setTimeout(() => {
      this.#pauseTimer = undefined;
      this.#fill();
    }, waitMs);
  }

  #send(packet: Packet, nowMs: number): void {
    const { connection, pacer, rates, ackTimeoutMs } = this.#options;
    const { seqs, topic, qos, payloadBytes, bytes, isPack } = packet;
    const flight: Flight = { seqs, topic, qos, payloadBytes, bytes, isPack, sentMs: nowMs };
    this.#flying.push(flight);
    this.#flyingBytes += bytes;
    pacer.sent(nowMs, bytes, this.#supply.hasMore ? rates.backlog : rates.live);
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
    const { seqs, topic, qos, payloadBytes, sentMs, isPack } = flight;
    const seq = seqs.at(-1)!;
    this.counts.delivered += seqs.length;
    const of = isPack ? { firstSeq: seqs[0]!, samples: seqs.length } : undefined;
    reports.published({
      topic,
      seq,
      qos,
      of,
      bytes: payloadBytes,
      ms: nowMs - sentMs,
      atMs: nowMs,
    });
    this.#acknowledged.push(...seqs);
    // PUBACKs that arrive in one turn are accepted together after it. (A timer would wake the process once more.)
    this.#accepting ??= setImmediate(() => this.#accept());
    if (poison.accepted(seq)) this.#supply.takeAgain();
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

  #refuse(flight: Flight, why: UserError & { transient: boolean }): void {
    const { poison, reports } = this.#options;
    const { topic, seqs } = flight;
    const seq = seqs[0]!;
    if (seqs.length > 1) {
      poison.split(seqs.at(-1)!);
      this.#supply.split(seqs);
      return this.#fill();
    }
    this.#lastRefusal = why;
    const sentence = poison.refused({ seq, topic }, why.transient);
    if (sentence === "quarantine") this.#quarantine(flight, why.message, why.code);
    else this.#supply.hold(seq);
    if (sentence === "hold" && !why.transient) reports.refused(seq, why);
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
    if (this.#lastRefusal !== undefined && this.#supply.hasHeld) {
      return this.#giveUp(this.#lastRefusal);
    }
    this.#onIdle?.resolve();
    this.#onIdle = undefined;
  }

  #isTried(): boolean {
    return this.#supply.isEmpty && this.#flying.length === 0 && this.#acknowledged.length === 0;
  }
}
