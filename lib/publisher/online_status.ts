/**
 * Whether this device is online, as other clients of the broker see it: a retained message after CONNACK and before
 * DISCONNECT, and the will between them.
 *
 * Rules: nothing else stops for it. It is sent alone, before the deliveries, so that a session that ends at it is known
 * to end for it. A server that refuses it, or lets no session with it come about or live twice in a row but one without
 * it, is left alone with it for a while, which is told once; then it is tried again, at a reconnect of its own if need
 * be, and after each refusal the while is twice as long.
 */

import { type Connection, type Opening, WILL_DELAY_S } from "../connection/mod.ts";
import { VERSION } from "../core/build.ts";
import { place, type Target } from "../core/endpoint.ts";
import { EXIT, failureFields, UserError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { quote } from "../core/text.ts";
import { sleep } from "../core/wait.ts";

/** Options of {@linkcode OnlineStatus}. */
export interface OnlineStatusOptions {
  readonly topic: string;
  readonly target: Target;
  /** How long a PUBACK is awaited at most, in ms. */
  readonly ackTimeoutMs: number;
  readonly log: Logger;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
}

/** How long deliveries wait for the PUBACK of the status, and the end of a run for that of its last one, in ms. */
const ANSWER_MS = { online: 5000, offline: 2000 } as const;
/** How long it is left out after a refusal: at first, and at most, in ms. */
const PAUSE_MS = { least: 60_000, most: 24 * 3_600_000 } as const;
/** Sessions in a row that came to nothing with it, after which one without it is tried. */
const STRIKES = 2;
/** MQTT 5's reason code of a session that another client took over. */
const TAKEN_OVER = 0x8e;

/** The online status of a run, from session to session. */
export class OnlineStatus {
  readonly #options: OnlineStatusOptions;
  /** The attempt, or the session, has it. */
  #isOn = false;
  /** In this session the server may have taken it. */
  isSaid = false;
  /** The server has said so. */
  #isTaken = false;
  /** Sessions in a row that may have come to nothing for it, and why the last one did. */
  #strikes = 0;
  #why: UserError | undefined;
  #isTold = false;
  /** Until when it is left out, ms of the monotonic clock, and for how long the next time. */
  #untilMs = -Infinity;
  #pauseMs: number = PAUSE_MS.least;
  /** Until when a server that speaks MQTT 5 keeps the will of the last session to itself. */
  #resumableMs = -Infinity;

  constructor(options: OnlineStatusOptions) {
    this.#options = options;
  }

  /** An attempt begins: what CONNECT is to say. */
  begin(): Opening {
    const { topic, target: { clientId: device }, monotonicMs } = this.#options;
    this.isSaid = this.#isTaken = false;
    this.#isOn = this.#strikes < STRIKES && monotonicMs() >= this.#untilMs;
    if (!this.#isOn) return {};
    const will = { topic, payload: JSON.stringify({ device, online: false }) };
    return { will, resumes: monotonicMs() < this.#resumableMs };
  }

  /** The attempt failed. Returns the error: of a refusal that may be about the will alone, one that is soon tried again. */
  failed(error: unknown): unknown {
    if (!(error instanceof UserError)) return error;
    const isRefused = error.code === "connack-refused" && error.exitCode === EXIT.refused;
    if (!this.#isOn || !(isRefused || error.code === "connect-hung-up")) {
      this.#strikes = 0;
      return error;
    }
    this.#strike(error, isRefused);
    return isRefused ? error.with({ exitCode: EXIT.unavailable }) : error;
  }

  /**
   * CONNACK has come: says that this device is online. Settles when the server has answered, or should have.
   *
   * @returns Whether the session has ended at it.
   */
  async online(connection: Connection): Promise<boolean> {
    if (!this.#isOn) {
      if (this.#strikes >= STRIKES) this.#leaveOut(this.#why!);
      return false;
    }
    this.isSaid = true;
    const ms = Math.min(ANSWER_MS.online, this.#options.ackTimeoutMs);
    const answer = this.#send(connection, { online: true }).then((refused) => {
      if (refused === undefined) return this.#take();
      this.isSaid = false;
      this.#leaveOut(refused);
    });
    const outcome = await within(connection, answer, ms);
    if (outcome === undefined) return false;
    if (outcome === "late") this.#leaveOut(this.#silence(ms));
    else if (outcome.ended !== undefined) this.#strike(outcome.ended);
    return outcome !== "late";
  }

  /** Whether its PUBACK is still to come: it is one more message in flight. */
  get isAwaited(): boolean {
    return this.isSaid && !this.#isTaken;
  }

  /** How long the session that is open goes on without it, in ms; undefined: it has it. */
  get leftOutMs(): number | undefined {
    return this.#isTaken ? undefined : this.#untilMs - this.#options.monotonicMs();
  }

  /**
   * The session is to end, for good: says so, and ends it.
   *
   * @param hasRoom Whether the server takes one more message now.
   * @param leave Waits no longer.
   */
  async stop(connection: Connection, hasRoom: boolean, leave: AbortSignal): Promise<void> {
    if (this.isSaid && hasRoom) {
      const answer = this.#send(connection, { online: false, reason: "stopped" });
      await within(connection, answer, ANSWER_MS.offline, leave);
    }
    await connection.end({ keepsWill: this.isSaid && !hasRoom });
  }

  /** The session has ended. */
  ended(reason: UserError | undefined): void {
    const isOwn = this.#isOn && reason?.reason !== TAKEN_OVER;
    this.#resumableMs = isOwn ? this.#options.monotonicMs() + WILL_DELAY_S * 1000 : -Infinity;
  }

  /** Publishes it. Settles at PUBACK, with the reason if that refuses; never if the session ends first. */
  #send(
    connection: Connection,
    content: { readonly online: boolean; readonly reason?: string },
  ): Promise<UserError | undefined> {
    const { topic, target, now } = this.#options;
    const { promise, resolve } = Promise.withResolvers<UserError | undefined>();
    const payload = JSON.stringify({
      device: target.clientId,
      ...content,
      time: now().toISOString(),
      ...(content.online && { version: VERSION }),
    });
    connection.publish({ topic, payload, qos: 1, retain: true }, resolve);
    return promise;
  }

  #take(): void {
    this.#isTaken = true;
    this.#isTold = false;
    this.#strikes = 0;
    this.#untilMs = -Infinity;
    this.#pauseMs = PAUSE_MS.least;
  }

  #silence(ms: number): UserError {
    const { topic, target } = this.#options;
    return new UserError(
      `No PUBACK from ${place(target)} for the status on ${quote(topic)} in ${ms / 1000} s`,
      { code: "no-puback", hint: "", exitCode: EXIT.unavailable, step: "publish" },
    );
  }

  /** @param isSure Whether the server named no other cause than what the session is and says. */
  #strike(why: UserError, isSure = false): void {
    this.#why = why;
    this.#strikes = isSure || this.#isTold ? STRIKES : this.#strikes + 1;
  }

  #leaveOut(why: UserError): void {
    const { topic, log, monotonicMs } = this.#options;
    this.#strikes = 0;
    this.#untilMs = monotonicMs() + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS.most);
    if (this.#isTold) return;
    this.#isTold = true;
    log.warn("warning", {
      ...failureFields(why),
      step: "publish",
      code: "status-refused",
      cause: `the status on ${quote(topic)} is left out for now: ${why.message}`,
      hint: `AWS: the policy must allow iot:Publish and iot:RetainPublish on topic/${topic} ` +
        "(`mqtt443 doctor --policy` prints it); another broker: its access rules, and whether " +
        "it keeps retained messages; nothing else waits for it",
    });
  }
}

/** What comes first: the answer, the end of the session, or the end of the wait. */
async function within(
  connection: Connection,
  answer: Promise<unknown>,
  ms: number,
  leave?: AbortSignal,
): Promise<"late" | { readonly ended: UserError | undefined } | undefined> {
  const waiting = new AbortController();
  const signal = leave ? AbortSignal.any([leave, waiting.signal]) : waiting.signal;
  const outcome = await Promise.race([
    answer.then(() => undefined),
    connection.closed.then((ended) => ({ ended })),
    sleep(ms, signal).then(() => "late" as const),
  ]);
  waiting.abort();
  return outcome;
}
