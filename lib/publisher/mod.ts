/**
 * The main job: gather, queue, connect, publish, account for every message.
 *
 * Promises: at least once, oldest first; memory does not grow with the backlog; it never gives up on the link by
 * itself, and never hammers it. Owns no I/O of its own: queue, connections and sources come in.
 */

import type { Target } from "../core/endpoint.ts";
import type { Connection } from "../connection/mod.ts";
import { Delivery } from "./delivery.ts";
import { EXIT, type ExitCode, failureFields, UserError } from "../core/errors.ts";
import { type Draft, numbered, tooLarge } from "./drafts.ts";
import { sleep } from "../core/wait.ts";
import { createLink, type LinkState } from "./reconnect.ts";
import type { Logger } from "../core/log.ts";
import { createOutage } from "./outage.ts";
import { AWS_BYTES_PER_S, AWS_MESSAGES_PER_S, createPacer } from "./pacer.ts";
import type { PutOptions, PutResult, Queue } from "../queue/mod.ts";
import type { Reports } from "./reports.ts";
import type { Settings } from "../settings/mod.ts";
import { Poison } from "./poison.ts";
export { type ClockWatch, createClockWatch } from "./clock.ts";
export { type Draft, lineDraft, numbered } from "./drafts.ts";
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
      put: (drafts: readonly Draft[], options?: PutOptions) => PutResult;
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
  const poison = new Poison();
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

  const put = (drafts: readonly Draft[], options: PutOptions = {}) => {
    const messages = numbered(drafts, queue.nextSeq, (bytes) => {
      // Whoever handed it in is told.
      if (options.refuse) return;
      // The one message of the run: there is nothing else to do.
      if (settings.message !== undefined) throw tooLarge(bytes);
      reports.sourceFailed("payload", tooLarge(bytes));
    });
    const result = queue.put(messages, options);
    const { dropped, stored, lastSeq } = result;
    reports.dropped(dropped, "the queue is full");
    log.debug("queued", { messages: stored, seq: lastSeq });
    delivery?.wake();
    return result;
  };

  const session = async (connection: Connection) => {
    open = connection;
    if (!outage.isFlapping()) reports.connected();
    const backlog = queue.waiting.messages;
    const inflight = Math.min(settings.inflight, connection.facts.receiveMaximum);
    // AWS behind a name of its user's shows by what it grants.
    const isAws = options.isAws || connection.facts.isAws;
    const bytes = isAws ? AWS_BYTES_PER_S : undefined;
    const maxRate = settings.maxRate ?? (isAws ? AWS_MESSAGES_PER_S : undefined);
    const startMs = monotonicMs();
    const current = new Delivery({
      ...options,
      connection,
      poison,
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
        live: { messages: maxRate, bytes },
        backlog: { messages: slower(settings.drainRate, maxRate), bytes },
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
    return { reason, ms: monotonicMs() - startMs, ...current.counts, inFlight: current.inFlight };
  };

  const handOver = async () => {
    const [connection, current] = [open, delivery];
    if (connection === undefined || current === undefined) return;
    current.hold();
    const deadlineMs = monotonicMs() + Math.min(DRAIN_MS, settings.ackTimeout);
    const gone = new AbortController();
    void connection.closed.then(() => gone.abort());
    while (current.inFlight > 0 && !gone.signal.aborted && monotonicMs() < deadlineMs) {
      await sleep(HAND_OVER_POLL_MS, gone.signal);
    }
    await connection.end();
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
      if (queue.waiting.messages === 0 && (delivery?.isIdle() ?? true)) return true;
      const leftMs = mostMs();
      if (leftMs <= 0) return false;
      const enough = new AbortController();
      // Without a session, or with messages held back: until one has left the queue.
      const progress = delivery?.isIdle() === false ? delivery.idle() : onRoom.promise;
      const poll = sleep(Math.min(leftMs, POLL_MS), AbortSignal.any([giveUp, enough.signal]));
      await Promise.race([progress, poll]);
      enough.abort();
    }
    return queue.waiting.messages === 0;
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
    log.info("stopping", { waiting: queue.waiting.messages });
    const deadlineMs = monotonicMs() + DRAIN_MS;
    // Without a link nothing can be drained: the queue keeps it.
    await drain(() => delivery ? deadlineMs - monotonicMs() : 0);
  } else {
    progressMs = monotonicMs();
    await drain(() => stop.aborted ? 0 : progressMs + settings.giveUpAfter - monotonicMs());
  }
  over.abort();
  if (leave.aborted) open?.abort();
  else await open?.end();
  await loop;
  const waiting = queue.waiting.messages;
  const lost = queue.finish();
  const isKept = settings.durability !== "none";
  if (lost > 0 && isKept) {
    log.error("dropped", {
      messages: lost,
      step: "queue",
      code: "queue-lost",
      cause: "they waited in memory, as the disk took no more, and end with this process",
      hint: "free some space for the state directory (`df -h`)",
    });
  }
  reports.flush();
  const { published, intake } = reports.totals;
  const dropped = reports.totals.dropped + lost;
  const code = exitCode({
    waiting,
    // What was left out of input that ended by itself, and what a disk did not take, is not "done".
    isLost: isKept && lost > 0 || !stop.aborted && reports.totals.dropped > 0,
    isKept: isKept && lost === 0,
    stopped: stop.aborted,
    lastFailure,
  });
  const why = code === EXIT.ok || lastFailure === undefined ? {} : failureFields(lastFailure);
  const say = code === EXIT.ok && lost === 0 ? log.info : log.warn;
  say("stopped", { published, queued: waiting - lost, dropped, ...intake, ...why });
  return code === EXIT.ok ? inputFailure?.exitCode ?? code : code;
}

/** How often a drain looks whether a new session has begun, in ms. */
const POLL_MS = 250;
/** How often it is looked whether the last PUBACK of a session that is to be replaced has come, in ms. */
const HAND_OVER_POLL_MS = 20;

/** What a run's end means. */
function exitCode(
  { waiting, isLost, isKept, stopped, lastFailure }: {
    waiting: number;
    isLost: boolean;
    isKept: boolean;
    stopped: boolean;
    lastFailure: UserError | undefined;
  },
): ExitCode {
  if (isLost) return EXIT.cannotCreate;
  if (waiting === 0 || stopped) return EXIT.ok;
  if (isKept) return EXIT.kept;
  return lastFailure?.exitCode === EXIT.refused ? EXIT.refused : EXIT.unavailable;
}

function slower(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
