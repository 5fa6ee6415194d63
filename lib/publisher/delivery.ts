/**
 * One session's deliveries: takes messages from the queue, keeps the window full, accepts what was acknowledged.
 *
 * Rules: never more in flight than the window, nor than half a MiB and one message; the next message leaves inside the
 * PUBACK of an earlier one, so there is no stall between batches; a message is accepted only when it was delivered, and
 * acknowledgements that come together are accepted in one commit. Owns no I/O; what a loss means is suspicion.ts's
 * business.
 */

import { type Connection, explainSilence } from "../connection/mod.ts";
import type { Target } from "../core/endpoint.ts";
import { failureFields, UserError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Pacer, Rates } from "./pacer.ts";
import type { Leaving, Queue, TakenMessage } from "../queue/mod.ts";
import type { Reports } from "./reports.ts";
import type { Suspicion } from "./poison.ts";

/** Messages read from the queue at once. */
const TAKE = 32;
/** Bytes after which no more are sent until some are acknowledged: a window of large messages would fill the memory. */
const MOST_FLYING_BYTES = 512 * 1024;
/**
 * Messages refused one after the other, none taken between, after which others to the same topics are held back, or,
 * where the reason may pass, the session is ended.
 */
const MOST_REFUSED = 3;
/** Why a message that ends sessions is set aside. */
const ENDS_SESSIONS = "the session ended each time it was sent alone, and the endpoint took others";

/** How late a timer is after which this process has slept, or was kept from running, in ms. */
const LATE_MS = 1000;

/** What one session's delivery works with. */
export interface DeliveryOptions {
  readonly connection: Connection;
  readonly queue: Queue;
  readonly suspicion: Suspicion;
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

/** The deliveries of one session. */
export interface Delivery {
  /**
   * Looks for new messages; call it after each `put`.
   *
   * @param droppedThrough The last `seq` that the put dropped, or 0.
   */
  wake(droppedThrough: number): void;
  /** Sends nothing more; what is in flight is still acknowledged. */
  hold(): void;
  /** Whether nothing is in flight and nothing waits. */
  isIdle(): boolean;
  /** Settles when {@linkcode Delivery.isIdle} is true for the first time from now. Rejects when the queue fails. */
  idle(): Promise<void>;
  /**
   * Ends it: makes what was not acknowledged the next to be taken.
   *
   * @param isLost Whether the session was lost, and not ended by us.
   */
  stop(isLost: boolean): void;
  /** Messages delivered in this session, those in flight, and whether one was set aside for ending it. */
  readonly counts: { delivered: number; inFlight: number; setAside: boolean };
}

/** A message sent and not acknowledged yet. Without its payload, which the queue still has. */
interface Flight extends Omit<TakenMessage, "payload" | "qos" | "timeMs"> {
  readonly sentMs: number;
}

/** Starts delivering. */
export function startDelivery(options: DeliveryOptions): Delivery {
  const { connection, queue, suspicion, pacer, reports, log, target } = options;
  const { monotonicMs, ackTimeoutMs, rates } = options;
  /**
   * In the order of sending. An array: the tables that a Map leaves behind as it changes point to each other, and with
   * them all it ever held stays in memory until the next full garbage collection.
   */
  const flying: Flight[] = [];
  let flyingBytes = 0;
  /** The last `seq` sent: what comes after it cannot be in flight. */
  let sentThrough = 0;
  /** Refused since the last one that was taken. */
  const refused = new Map<number, Flight>();
  /** Refused once before another was taken: refused again, they are to blame, not the server. */
  const onTrial = new Set<number>();
  /** Refused for a reason that may pass: the next session sends them again. */
  const postponed = new Set<number>();
  let postponedInARow = 0;
  let lastRefusal: UserError | undefined;
  /** Ended by us, for no fault of what is in flight. */
  let gaveUp = false;
  let ready: TakenMessage[] = [];
  /** The oldest that is under suspicion. */
  let passedOver: TakenMessage | undefined;
  let acknowledged: Flight[] = [];
  let drained = false;
  let stopped = false;
  let held = false;
  let filling = false;
  let pauseTimer: ReturnType<typeof setTimeout> | undefined;
  let accepting: ReturnType<typeof setImmediate> | undefined;
  let ackTimer: ReturnType<typeof setTimeout> | undefined;
  /** When it should fire. */
  let ackDueMs = 0;
  let onIdle: PromiseWithResolvers<void> | undefined;
  /** When the last PUBACK came that was next in turn. */
  let inTurnMs = -Infinity;
  const counts = { delivered: 0, inFlight: 0, setAside: false };

  const giveUp = (why: UserError) => {
    gaveUp = true;
    connection.abort(why);
  };
  /** Runs what may meet a failing queue; such a failure ends the session. */
  const guarded = (action: () => void) => {
    if (stopped) return;
    try {
      action();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      giveUp(error);
    }
  };
  /** The next message; after it, `ready` is empty only if no other waits. */
  const next = (): TakenMessage | undefined => {
    for (;;) {
      const message = ready.pop();
      if (ready.length === 0 && !drained) {
        ready = queue.take(TAKE).reverse();
        // Not by their number: a take may leave out what the queue owes.
        drained = ready.length === 0;
        if (message === undefined) continue;
      }
      if (message === undefined) return undefined;
      if (isHeldBack(message)) continue;
      if (!suspicion.isPassedOver(message.seq)) return message;
      passedOver ??= message;
    }
  };
  /** Where only suspects wait, the oldest is sent after all: it may be taken by now. */
  const lastResort = (): TakenMessage | undefined => {
    if (flying.length > 0 || acknowledged.length > 0) return undefined;
    const message = passedOver;
    passedOver = undefined;
    return message;
  };
  const isSent = (seq: number) =>
    seq <= sentThrough &&
    (flying.some((flight) => flight.seq === seq) || acknowledged.some((one) => one.seq === seq));
  const isHeldBack = ({ seq, topic }: TakenMessage) =>
    isSent(seq) || refused.has(seq) || postponed.has(seq) ||
    (refused.size >= MOST_REFUSED && refused.values().some((other) => other.topic === topic));
  const fill = (nowMs = monotonicMs()) => {
    // With QoS 0 a message may be delivered while it is being sent.
    if (filling) return;
    filling = true;
    try {
      fillWindow(nowMs);
    } finally {
      filling = false;
    }
    noteEnd();
  };
  const hasRoom = () =>
    flying.length < Math.min(options.inflight, suspicion.window()) &&
    flyingBytes < MOST_FLYING_BYTES;
  const fillWindow = (nowMs: number) => {
    while (!stopped && !held && hasRoom()) {
      const waitMs = pacer.waitMs(nowMs);
      if (waitMs > 0) {
        pauseTimer ??= setTimeout(() => {
          pauseTimer = undefined;
          guarded(() => fill());
        }, waitMs);
        return;
      }
      const message = next() ?? lastResort();
      if (message === undefined) return;
      send(message, nowMs);
    }
  };
  const send = (message: TakenMessage, nowMs: number) => {
    const { seq, topic, payloadBytes, bytes } = message;
    const flight = { seq, topic, payloadBytes, bytes, sentMs: nowMs };
    flying.push(flight);
    flyingBytes += bytes;
    sentThrough = Math.max(sentThrough, seq);
    counts.inFlight = flying.length;
    pacer.sent(nowMs, bytes, ready.length > 0 ? rates.backlog : rates.live);
    connection.publish(message, (why) => guarded(() => settle(flight, why)));
    if (ackTimer === undefined) awaitAck(ackTimeoutMs);
  };
  const settle = (flight: Flight, why: (UserError & { transient: boolean }) | undefined) => {
    const index = flying.indexOf(flight);
    if (index < 0) return;
    const nowMs = monotonicMs();
    if (index === 0) {
      // Servers acknowledge in order, so on a slow link the wait for one begins with the PUBACK before it. A PUBACK out
      // of turn says nothing of those it overtook.
      inTurnMs = nowMs;
      flying.shift();
    } else {
      flying.splice(index, 1);
    }
    flyingBytes -= flight.bytes;
    counts.inFlight = flying.length;
    if (why !== undefined) return refuse(flight, why);
    counts.delivered++;
    postponedInARow = 0;
    const { seq, topic, payloadBytes, sentMs } = flight;
    reports.published({ topic, seq, bytes: payloadBytes, ms: nowMs - sentMs, atMs: nowMs });
    acknowledged.push(flight);
    // Acknowledgements of one packet arrive in one turn; they leave the queue together after it. (A timer would wake the
    // process once more for each message.)
    accepting ??= setImmediate(() => guarded(accept));
    onTrial.delete(seq);
    const retry = suspicion.delivered(seq);
    if (retry || refused.size > 0) takeAgain();
    fill(nowMs);
  };
  /** Begins with the oldest again, for what was passed over. */
  const takeAgain = () => {
    for (const seq of refused.keys()) onTrial.add(seq);
    refused.clear();
    queue.rewind();
    ready = [];
    passedOver = undefined;
    drained = false;
  };
  const refuse = (flight: Flight, why: UserError & { transient: boolean }) => {
    const { seq } = flight;
    lastRefusal = why;
    if (why.transient) {
      postponed.add(seq);
      if (++postponedInARow === MOST_REFUSED) return giveUp(why);
    } else if (onTrial.delete(seq)) {
      quarantine(flight, why.message);
    } else {
      refused.set(seq, flight);
      log.warn("warning", { seq, ...failureFields(why) });
    }
    fill();
  };
  const accept = () => {
    accepting = undefined;
    const batch = acknowledged;
    acknowledged = [];
    queue.accept(batch);
    options.onAccepted();
    noteEnd();
  };
  const quarantine = (message: Leaving & { topic: string }, why: string) => {
    queue.quarantine(message, why);
    log.error("quarantined", {
      step: "publish",
      seq: message.seq,
      topic: message.topic,
      cause: why,
      hint: "it is kept on disk and not sent again; `mqtt443 queue` counts it",
    });
    options.onAccepted();
  };
  const awaitAck = (ms: number) => {
    ackDueMs = monotonicMs() + ms;
    ackTimer = setTimeout(checkAcks, ms);
  };
  const checkAcks = () => {
    ackTimer = undefined;
    const [oldest] = flying;
    if (stopped || oldest === undefined) return;
    // A process that slept hears its timers before its socket: what came meanwhile is read first.
    if (monotonicMs() - ackDueMs > LATE_MS) return awaitAck(LATE_MS);
    const leftMs = Math.max(oldest.sentMs, inTurnMs) + ackTimeoutMs - monotonicMs();
    if (leftMs <= 0) return connection.abort(explainSilence("PUBACK", ackTimeoutMs, target));
    awaitAck(leftMs);
  };
  /** When all has been tried: notes that it is done, or tries what was refused again later. */
  const noteEnd = () => {
    if (!isTried() || pauseTimer !== undefined) return;
    if (lastRefusal !== undefined && !isIdle()) return giveUp(lastRefusal);
    onIdle?.resolve();
    onIdle = undefined;
  };
  const isTried = () =>
    drained && ready.length === 0 && flying.length === 0 && acknowledged.length === 0;
  const isIdle = () => isTried() && refused.size === 0 && postponed.size === 0;

  queue.protect(isSent);
  guarded(() => fill());
  return {
    counts,
    wake: (droppedThrough) =>
      guarded(() => {
        if (droppedThrough > 0) ready = ready.filter(({ seq }) => seq > droppedThrough);
        drained = false;
        fill();
      }),
    hold: () => void (held = true),
    isIdle,
    idle() {
      if (isIdle()) return Promise.resolve();
      onIdle ??= Promise.withResolvers<void>();
      return onIdle.promise;
    },
    stop(isLost) {
      stopped = true;
      queue.protect(() => false);
      clearTimeout(pauseTimer);
      clearTimeout(ackTimer);
      clearImmediate(accepting);
      try {
        queue.accept(acknowledged);
        const blamed = isLost && !gaveUp ? suspicion.lost(flying.map(({ seq }) => seq)) : undefined;
        const message = blamed === undefined ? undefined : queue.find(blamed);
        if (message !== undefined) {
          quarantine(message, ENDS_SESSIONS);
          counts.setAside = true;
        }
      } catch {
        // They are sent again: a repeat, not a loss. The failure itself comes back with the next put or take.
      }
      queue.rewind();
      options.onAccepted();
    },
  };
}
