/**
 * The main job: gather, queue, connect, publish, account for every message.
 *
 * Promises: at least once, oldest first; memory does not grow with the backlog; it never gives up on the link by
 * itself, and never hammers it. Owns no I/O of its own: queue, connections and sources come in.
 */

import type { Target } from "../core/endpoint.ts";
import type { Connection, Opening } from "../connection/mod.ts";
import { Delivery } from "./delivery.ts";
import { EXIT, type ExitCode, failureFields, UserError } from "../core/errors.ts";
import { type Draft, numbered, tooLarge } from "./drafts.ts";
import { orAborted, sleep } from "../core/wait.ts";
import { OnlineStatus } from "./online_status.ts";
import { createLink, type Link, type LinkState } from "./reconnect.ts";
import type { Logger } from "../core/log.ts";
import { Outage, type SessionEnd } from "./outage.ts";
import { AWS_BYTES_PER_S, AWS_MESSAGES_PER_S, createPacer } from "./pacer.ts";
import { packingOf } from "./packing.ts";
import type { PutOptions, PutResult, Queue } from "../queue/mod.ts";
import type { Reports } from "./reports.ts";
import type { Settings } from "../settings/mod.ts";
import { Poison } from "./poison.ts";
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
  readonly connect: (signal: AbortSignal, opening?: Opening) => Promise<Connection>;
  /**
   * Gathers messages until its input ends or the signal comes. `room` settles when something left the queue.
   */
  readonly gather: (
    tools: {
      put: (drafts: readonly Draft[], options?: PutOptions) => PutResult;
      room: (signal: AbortSignal) => Promise<void>;
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
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
}

/** How long a stopped run drains, and a session that is to be replaced awaits its PUBACKs, in ms. */
const DRAIN_MS = 5000;
/** How often a drain looks whether a new session has begun, in ms. */
const POLL_MS = 250;
/** How often it is looked whether the last PUBACK of a session that is to be replaced has come, in ms. */
const HAND_OVER_POLL_MS = 20;

/**
 * Publishes until stopped, or until the input has ended and all is delivered.
 *
 * @returns The exit code.
 */
export function runPublisher(options: PublisherOptions): Promise<ExitCode> {
  return new Run(options).run();
}

/** One run. */
class Run {
  readonly #options: PublisherOptions;
  readonly #poison = new Poison();
  readonly #pacer = createPacer();
  readonly #outage: Outage;
  readonly #link: Link;
  /** Where the broker is told whether this device is online. */
  readonly #status: OnlineStatus | undefined;
  /** Ends connecting and publishing. */
  readonly #over = new AbortController();
  /** The session that is open, and its deliveries. */
  #open: Connection | undefined;
  #delivery: Delivery | undefined;
  /** Why the last attempt failed or the last session ended. */
  #lastFailure: UserError | undefined;
  /** Why the input ended, if not well. */
  #inputFailure: UserError | undefined;
  /** When the last PUBACK came, ms of the monotonic clock. */
  #progressMs: number;
  /** Who waits for something to leave the queue. */
  readonly #waiters = new Set<() => void>();

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#outage = new Outage(options);
    this.#progressMs = options.monotonicMs();
    const { settings: { statusTopic: topic, ackTimeout: ackTimeoutMs } } = options;
    this.#status = topic === undefined
      ? undefined
      : new OnlineStatus({ ...options, topic, ackTimeoutMs });
    this.#link = createLink({
      ...options,
      connect: (signal) => this.#connect(signal),
      outage: this.#outage,
      use: (connection) => this.#use(connection),
      handOver: () => void this.#handOver(),
      onFailure: (reason) => void (this.#lastFailure = reason),
      signal: this.#over.signal,
    });
    options.onRenewal?.((isNew) => this.#link.renew(isNew));
  }

  async run(): Promise<ExitCode> {
    const { leave } = this.#options;
    const loop = this.#link.run();
    // A bug in the loop must end the run, not hang it.
    loop.catch(() => this.#over.abort());
    try {
      await this.#gather();
    } catch (error) {
      this.#over.abort();
      this.#open?.abort();
      await loop;
      throw error;
    }
    await this.#drainAtTheEnd();
    this.#over.abort();
    if (leave.aborted) this.#open?.abort();
    else await this.#end();
    await loop;
    return this.#close();
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    try {
      return await this.#options.connect(signal, this.#status?.begin());
    } catch (error) {
      throw this.#status?.failed(error) ?? error;
    }
  }

  /** Ends the session that is open. */
  async #end(): Promise<void> {
    const connection = this.#open;
    if (connection === undefined) return;
    const hasRoom = (this.#delivery?.inFlight ?? 0) < connection.facts.receiveMaximum;
    await (this.#status?.stop(connection, hasRoom, this.#options.leave) ?? connection.end());
  }

  /** Gathers until the input ends or a signal comes. */
  async #gather(): Promise<void> {
    const { gather, log, stop, leave } = this.#options;
    const signal = AbortSignal.any([stop, leave, this.#over.signal]);
    try {
      await gather({
        put: (drafts, options) => this.#put(drafts, options),
        room: (signal) => this.#room(signal),
        signal,
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // The end of the input, if not a good one: what came before it is delivered.
      log.error("source-failed", failureFields(error));
      this.#inputFailure = error;
    }
  }

  #put(drafts: readonly Draft[], options: PutOptions = {}): PutResult {
    const { settings, queue, log, reports } = this.#options;
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
    this.#delivery?.wake();
    return result;
  }

  /** Settles when something has left the queue, or the signal comes. */
  async #room(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.add(resolve);
    await orAborted(promise, signal);
    this.#waiters.delete(resolve);
  }

  #madeRoom(): void {
    for (const resolve of this.#waiters) resolve();
  }

  /** Delivers over a session until it has ended. */
  async #use(connection: Connection): Promise<SessionEnd & { reason: UserError | undefined }> {
    const { queue, reports, monotonicMs } = this.#options;
    this.#open = connection;
    if (!this.#outage.isFlapping()) reports.connected();
    const startMs = monotonicMs();
    if (await this.#status?.online(connection)) {
      return this.#left(await connection.closed, startMs, { delivered: 0, inFlight: 0 });
    }
    this.#sayAgain(connection);
    const backlog = queue.waiting.messages;
    const delivery = this.#deliver(connection);
    this.#delivery = delivery;
    if (backlog > 1) this.#tellOfDrain(delivery, backlog, startMs);
    const reason = await connection.closed;
    delivery.stop(reason !== undefined);
    return this.#left(reason, startMs, { ...delivery.counts, inFlight: delivery.inFlight });
  }

  /** A session has ended. */
  #left(reason: UserError | undefined, startMs: number, doings: Omit<SessionEnd, "ms">) {
    this.#open = this.#delivery = undefined;
    this.#status?.ended(reason);
    return { reason, ms: this.#options.monotonicMs() - startMs, ...doings };
  }

  /** Where the server did not take the status: another session tries it again after a while. */
  #sayAgain({ closed }: Connection): void {
    const ms = this.#status?.leftOutMs;
    if (ms === undefined) return;
    const over = new AbortController();
    void closed.then(() => over.abort());
    void sleep(ms, over.signal).then(() => {
      if (over.signal.aborted || this.#status?.leftOutMs === undefined) return;
      this.#link.renew(true, "to say again that this device is online");
    });
  }

  #deliver(connection: Connection): Delivery {
    const { settings, reports, isAws: isAwsName } = this.#options;
    // AWS behind a name of its user's shows by what it grants.
    const isAws = isAwsName || connection.facts.isAws;
    const bytes = isAws ? AWS_BYTES_PER_S : undefined;
    const maxRate = settings.maxRate ?? (isAws ? AWS_MESSAGES_PER_S : undefined);
    return new Delivery({
      ...this.#options,
      connection,
      poison: this.#poison,
      pacer: this.#pacer,
      reports: {
        ...reports,
        published: (message) => {
          this.#progressMs = message.atMs;
          reports.published(message);
        },
      },
      inflight: Math.max(
        1,
        Math.min(
          settings.inflight,
          connection.facts.receiveMaximum - (this.#status?.isAwaited ? 1 : 0),
        ),
      ),
      packing: packingOf(settings, connection),
      ackTimeoutMs: settings.ackTimeout,
      rates: {
        live: { messages: maxRate, bytes },
        backlog: { messages: slower(settings.drainRate, maxRate), bytes },
      },
      onAccepted: () => this.#madeRoom(),
    });
  }

  #tellOfDrain(delivery: Delivery, backlog: number, startMs: number): void {
    const { log, reports, monotonicMs } = this.#options;
    const say = this.#outage.isFlapping() ? log.debug : log.info;
    say("draining", { messages: backlog });
    const { published, publishes } = reports.totals;
    void delivery.idle().then(() => {
      const { totals } = reports;
      say("drained", {
        messages: totals.published - published,
        ...this.#packets(totals.publishes - publishes),
        ms: Math.round(monotonicMs() - startMs),
      });
    });
  }

  /** A count of PUBLISH packets for the log, where it is not that of messages. */
  #packets(publishes: number): { publishes?: number } {
    return this.#options.settings.pack === undefined ? {} : { publishes };
  }

  /** Ends the session for a new identity: its PUBACKs are awaited first. */
  async #handOver(): Promise<void> {
    const { settings, monotonicMs } = this.#options;
    const [connection, delivery] = [this.#open, this.#delivery];
    if (connection === undefined) return;
    delivery?.hold();
    const deadlineMs = monotonicMs() + Math.min(DRAIN_MS, settings.ackTimeout);
    const gone = new AbortController();
    void connection.closed.then(() => gone.abort());
    while ((delivery?.inFlight ?? 0) > 0 && !gone.signal.aborted && monotonicMs() < deadlineMs) {
      await sleep(HAND_OVER_POLL_MS, gone.signal);
    }
    await connection.end({ keepsWill: this.#status?.isSaid ?? false });
  }

  async #drainAtTheEnd(): Promise<void> {
    const { settings, queue, log, stop, leave, monotonicMs } = this.#options;
    this.#delivery?.hurry();
    if (stop.aborted || leave.aborted) {
      log.info("stopping", { waiting: queue.waiting.messages });
      const deadlineMs = monotonicMs() + DRAIN_MS;
      // Without a link nothing can be drained: the queue keeps it.
      return await this.#drain(() => this.#delivery ? deadlineMs - monotonicMs() : 0);
    }
    this.#progressMs = monotonicMs();
    const leftMs = () => this.#progressMs + settings.giveUpAfter - monotonicMs();
    await this.#drain(() => stop.aborted ? 0 : leftMs());
  }

  /** Waits until all is delivered, or no more of it can be awaited. */
  async #drain(mostMs: () => number): Promise<void> {
    const { queue, leave } = this.#options;
    const giveUp = AbortSignal.any([leave, this.#over.signal]);
    while (!giveUp.aborted) {
      const delivery = this.#delivery;
      if (queue.waiting.messages === 0 && (delivery?.isIdle() ?? true)) return;
      const leftMs = mostMs();
      if (leftMs <= 0) return;
      const enough = new AbortController();
      // Without a session, or with messages held back: until one has left the queue.
      const progress = delivery?.isIdle() === false ? delivery.idle() : this.#room(enough.signal);
      const poll = sleep(Math.min(leftMs, POLL_MS), AbortSignal.any([giveUp, enough.signal]));
      await Promise.race([progress, poll]);
      enough.abort();
    }
  }

  /** Closes the account; returns the exit code. */
  #close(): ExitCode {
    const { settings, queue, log, reports, stop } = this.#options;
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
    const { published, publishes, intake } = reports.totals;
    const code = exitCode({
      waiting,
      // What was left out of input that ended by itself, and what a disk did not take, is not "done".
      isLost: isKept && lost > 0 || !stop.aborted && reports.totals.dropped > 0,
      isKept: isKept && lost === 0,
      stopped: stop.aborted,
      lastFailure: this.#lastFailure,
    });
    const why = code === EXIT.ok || !this.#lastFailure ? {} : failureFields(this.#lastFailure);
    const say = code === EXIT.ok && lost === 0 ? log.info : log.warn;
    const dropped = reports.totals.dropped + lost;
    const packets = this.#packets(publishes);
    say("stopped", { published, ...packets, queued: waiting - lost, dropped, ...intake, ...why });
    return code === EXIT.ok ? this.#inputFailure?.exitCode ?? code : code;
  }
}

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
