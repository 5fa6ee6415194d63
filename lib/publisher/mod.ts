/**
 * The main job: gather, queue, connect, publish, account for every message.
 *
 * Promises: at least once, oldest first; memory does not grow with the backlog; it never gives up on the link by
 * itself, and never hammers it. Owns no I/O of its own: queue, connections and sources come in.
 */

import type { Target } from "../core/endpoint.ts";
import type { Connection } from "../connection/mod.ts";
import { type Delivery, startDelivery } from "./delivery.ts";
import { EXIT, type ExitCode, failureFields, UserError } from "../core/errors.ts";
import { tooLarge } from "./gather.ts";
import { sleep } from "../core/wait.ts";
import { createLink, type LinkState } from "./reconnect.ts";
import type { Logger } from "../core/log.ts";
import { createOutage } from "./outage.ts";
import { AWS_BYTES_PER_S, createPacer } from "./pacer.ts";
import type { Draft, PutResult, Queue } from "../queue/mod.ts";
import type { Reports } from "./reports.ts";
import type { Settings } from "../settings/mod.ts";
import { createSuspicion } from "./poison.ts";
export { type ClockWatch, createClockWatch } from "./clock.ts";
export { gatherLines, gatherTicks } from "./gather.ts";
export { createOutage } from "./outage.ts";
export { createReports, type Reports } from "./reports.ts";
export { openService, type Service, type ServiceOptions } from "./systemd.ts";

/** What a run works with. */
export interface PublisherOptions {
  readonly settings: Settings;
  readonly target: Target;
  /** Whether AWS IoT Core's limits apply. */
  readonly isAws: boolean;
  readonly queue: Queue;
  readonly log: Logger;
  readonly reports: Reports;
  /** Opens one session. */
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  /**
   * Gathers messages until its input ends or the signal comes. `room` settles when something left the queue.
   */
  readonly gather: (
    tools: {
      put: (drafts: readonly Draft[], isHandedIn?: boolean) => PutResult;
      room: () => Promise<void>;
      signal: AbortSignal;
    },
  ) => Promise<void>;
  /** Is given what to call when there may be a new identity, with whether it is another than the one in use. */
  readonly onRenewal?: (renew: (isNew: boolean) => void) => void;
  /** Told of each state that the link comes to. */
  readonly onLink?: ((state: LinkState) => void) | undefined;
  /** First signal: stop gathering and drain. */
  readonly stop: AbortSignal;
  /** Second signal: leave at once. */
  readonly leave: AbortSignal;
  /** From 0 to 1. */
  readonly random: () => number;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
}

/** How long a stopped run drains, and a session that is to be replaced awaits its PUBACKs, in ms. */
const DRAIN_MS = 5000;

/**
 * Publishes until stopped, or until the input has ended and all is delivered.
 *
 * @returns The exit code.
 */
export async function runPublisher(options: PublisherOptions): Promise<ExitCode> {
  const { settings, queue, log, reports, stop, leave, monotonicMs } = options;
  const suspicion = createSuspicion();
  const pacer = createPacer();
  const outage = createOutage(options);
  /** Ends connecting and publishing. */
  const over = new AbortController();
  let delivery: Delivery | undefined;
  let open: Connection | undefined;
  let lastFailure: UserError | undefined;
  let inputFailure: UserError | undefined;
  let progressMs = monotonicMs();
  let onRoom = Promise.withResolvers<void>();
  const madeRoom = () => {
    onRoom.resolve();
    onRoom = Promise.withResolvers();
  };

  const put = (drafts: readonly Draft[], isHandedIn = false) => {
    const result = queue.put(drafts, 0, isHandedIn);
    for (const bytes of isHandedIn ? [] : result.tooLarge) {
      // The one message of the run: there is nothing else to do.
      if (settings.message !== undefined) throw tooLarge(bytes);
      reports.sourceFailed("payload", tooLarge(bytes));
    }
    reports.dropped(result.dropped, "the queue is full");
    log.debug("queued", { messages: result.stored, seq: result.lastSeq });
    delivery?.wake(result.droppedThrough);
    return result;
  };

  const session = async (connection: Connection) => {
    open = connection;
    if (!outage.isFlapping()) reports.connected();
    const backlog = queue.stats().waiting;
    const inflight = Math.min(settings.inflight, connection.facts.receiveMaximum);
    const bytes = options.isAws ? AWS_BYTES_PER_S : undefined;
    const startMs = monotonicMs();
    const current = startDelivery({
      ...options,
      connection,
      suspicion,
      pacer,
      reports: {
        ...reports,
        published(message) {
          progressMs = message.atMs;
          reports.published(message);
        },
      },
      inflight,
      ackTimeoutMs: settings.ackTimeout,
      rates: {
        live: { messages: settings.maxRate, bytes },
        backlog: { messages: slower(settings.drainRate, settings.maxRate), bytes },
      },
      onAccepted: madeRoom,
    });
    delivery = current;
    if (backlog > 1) {
      const say = outage.isFlapping() ? log.debug : log.info;
      say("draining", { messages: backlog });
      const total = reports.totals.published;
      void current.idle().then(() => {
        const messages = reports.totals.published - total;
        say("drained", { messages, ms: Math.round(monotonicMs() - startMs) });
      });
    }
    const reason = await connection.closed;
    open = delivery = undefined;
    current.stop(reason !== undefined);
    return { reason, ms: monotonicMs() - startMs, ...current.counts };
  };

  const handOver = async () => {
    const [connection, current] = [open, delivery];
    if (connection === undefined || current === undefined) return;
    current.hold();
    const deadlineMs = monotonicMs() + Math.min(DRAIN_MS, settings.ackTimeout);
    const gone = new AbortController();
    void connection.closed.then(() => gone.abort());
    while (current.counts.inFlight > 0 && !gone.signal.aborted && monotonicMs() < deadlineMs) {
      await sleep(HAND_OVER_POLL_MS, gone.signal);
    }
    await endSession(connection, current);
  };

  const link = createLink({
    ...options,
    outage,
    use: session,
    handOver: () => void handOver(),
    onFailure: (reason) => void (lastFailure = reason),
    signal: over.signal,
  });
  options.onRenewal?.(link.renew);

  /** Waits until all is delivered, or no more of it can be awaited; returns whether all was. */
  const drain = async (mostMs: () => number): Promise<boolean> => {
    const giveUp = AbortSignal.any([leave, over.signal]);
    while (!giveUp.aborted) {
      if (queue.stats().waiting === 0 && (delivery?.isIdle() ?? true)) return true;
      const leftMs = mostMs();
      if (leftMs <= 0) return false;
      const enough = new AbortController();
      // Without a session, or with messages held back: until one has left the queue.
      const progress = delivery?.isIdle() === false ? delivery.idle() : onRoom.promise;
      const poll = sleep(Math.min(leftMs, POLL_MS), AbortSignal.any([giveUp, enough.signal]));
      await Promise.race([progress, poll]);
      enough.abort();
    }
    return queue.stats().waiting === 0;
  };

  const loop = link.run();
  // A bug in the loop must end the run, not hang it.
  loop.catch(() => over.abort());
  const enough = AbortSignal.any([stop, leave, over.signal]);
  // Who waits for room must hear of the end.
  enough.addEventListener("abort", madeRoom);
  try {
    await options.gather({ put, room: () => onRoom.promise, signal: enough });
  } catch (error) {
    if (!(error instanceof UserError)) {
      over.abort();
      open?.abort();
      await loop;
      throw error;
    }
    // The end of the input, if not a good one: what came before it is delivered.
    log.error("source-failed", failureFields(error));
    inputFailure = error;
  }
  if (stop.aborted || leave.aborted) {
    log.info("stopping", { waiting: queue.stats().waiting });
    const deadlineMs = monotonicMs() + DRAIN_MS;
    // Without a link nothing can be drained: the queue keeps it.
    await drain(() => delivery ? deadlineMs - monotonicMs() : 0);
  } else {
    progressMs = monotonicMs();
    await drain(() => stop.aborted ? 0 : progressMs + settings.giveUpAfter - monotonicMs());
  }
  over.abort();
  if (open) await endSession(open, delivery);
  await loop;
  const { waiting } = queue.stats();
  reports.flush();
  // Without a disk, what was not delivered is gone.
  const isKept = settings.durability !== "none";
  const { published, dropped, intake } = reports.totals;
  const lost = isKept ? 0 : waiting;
  const code = exitCode({
    waiting,
    stopped: stop.aborted,
    durability: settings.durability,
    lastFailure,
  });
  const why = code === EXIT.ok || lastFailure === undefined ? {} : failureFields(lastFailure);
  const say = code === EXIT.ok && lost === 0 ? log.info : log.warn;
  say("stopped", { published, queued: waiting - lost, dropped: dropped + lost, ...intake, ...why });
  return code === EXIT.ok ? inputFailure?.exitCode ?? code : code;
}

/** How often a drain looks whether a new session has begun, in ms. */
const POLL_MS = 250;
/** How often it is looked whether the last PUBACK of a session that is to be replaced has come, in ms. */
const HAND_OVER_POLL_MS = 20;

/** Ends a session in good order, if it can: with messages in flight MQTT.js would wait for them. */
async function endSession(connection: Connection, delivery: Delivery | undefined): Promise<void> {
  if (delivery?.counts.inFlight === 0) await connection.end();
  else connection.abort();
}

/** What a run's end means. */
function exitCode(
  { waiting, stopped, durability, lastFailure }: {
    waiting: number;
    stopped: boolean;
    durability: Settings["durability"];
    lastFailure: UserError | undefined;
  },
): ExitCode {
  if (waiting === 0 || stopped) return EXIT.ok;
  if (durability !== "none") return EXIT.kept;
  return lastFailure?.exitCode === EXIT.refused ? EXIT.refused : EXIT.unavailable;
}

function slower(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
