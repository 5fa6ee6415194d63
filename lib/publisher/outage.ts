/**
 * What is logged of the link, and how long to wait before the next attempt.
 *
 * Rules: while offline nothing is logged more than once a minute; the wait grows over short sessions too and starts anew
 * only after 30 s up with a delivery; a refusal, or a link that dies each time, is retried at the slow end.
 */

import { backoffMs, slowBackoffMs } from "./backoff.ts";
import { place, presenceTopic, type Target } from "../core/endpoint.ts";
import { type Connection, tunnelLimits } from "../connection/mod.ts";
import { EXIT, failureFields, type UserError } from "../core/errors.ts";
import { createRepeats, type Logger, type Repeats } from "../core/log.ts";
import type { Settings } from "../settings/mod.ts";

/** A session this long, with a delivery in it, was a good one. */
const GOOD_MS = 30_000;
/** Short sessions in a row that make a pattern, which is named. */
const PATTERN = 3;
/**
 * Short sessions in a row from which on it is the slow end. AWS's Device Advisor ends five, and judges how the waits
 * between them grow within 300 s.
 */
const LASTING = 6;
/** Short sessions in a row from which on the link is flapping. */
const FLAPPING = 2;

/** Lengths of sessions that differ by no more are one length: in ms, and as a part of it. */
const ALIKE = { ms: 1500, part: 0.1 } as const;
/** A shorter session ends for other reasons than its length, in ms. */
const LEAST_LENGTH_MS = 5000;

/** What an ended session was like. */
export interface SessionEnd {
  /** How long it was open. */
  readonly ms: number;
  readonly delivered: number;
  readonly inFlight: number;
  /** The message that ended sessions was found, and set aside. */
  readonly setAside?: boolean;
}

/** Options of {@linkcode Outage}. */
export interface OutageOptions {
  readonly settings: Pick<Settings, "backoffMax" | "mqttVersion" | "clientId">;
  readonly target: Target;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonicMs: () => number;
}

/** The account of attempts and sessions: what is logged of them, and how long to wait. */
export class Outage {
  readonly #options: OutageOptions;
  readonly #repeats: Repeats;
  /** Failures since the last good session. */
  #failures = 0;
  /** Sessions in a row that the other side ended early. */
  #short = 0;
  /** Those of them in which nothing was acknowledged. */
  #fruitless = 0;
  /** Lengths in ms of the last sessions that delivered something and were hung up on. */
  #lengths: number[] = [];

  constructor(options: OutageOptions) {
    this.#options = options;
    this.#repeats = createRepeats(options.monotonicMs);
  }

  /** Whether sessions come and go. */
  isFlapping(): boolean {
    return this.#short >= FLAPPING;
  }

  /** An attempt begins. */
  connecting(): void {
    const { target, log } = this.#options;
    const say = this.#repeats.due("connecting") ? log.info : log.debug;
    const alpn = target.alpn ?? "none";
    say("connecting", { ...this.#way(), alpn, clientId: target.clientId });
  }

  /** It succeeded. */
  connected({ facts }: Connection): void {
    const { settings, target, log } = this.#options;
    // A link that comes and goes is logged once a minute, too.
    if (!this.isFlapping()) this.#repeats.reset();
    const say = this.#repeats.due("connected") ? log.info : log.debug;
    say("connected", {
      ...this.#way(),
      tls: facts.tls,
      alpn: facts.alpn ?? "none",
      sni: target.endpoint,
      peer: facts.peer,
      mqtt: settings.mqttVersion,
      ms: facts.ms,
    });
  }

  /** It failed. Returns the ms to wait. */
  failed(error: UserError): number {
    const { target, log } = this.#options;
    const ms = this.#wait(error);
    const say = this.#repeats.due("retrying") ? log.warn : log.debug;
    say("retrying", {
      in: inSeconds(ms),
      attempt: this.#failures + 1,
      ...(target.proxy && { proxy: place(target.proxy) }),
      ...failureFields(error),
    });
    return ms;
  }

  /** The session ended. Returns the ms to wait. */
  ended(reason: UserError, end: SessionEnd): number {
    const { log } = this.#options;
    this.#count(reason, end);
    const named = this.#name(reason, end);
    // A pattern, once seen, is news.
    const isFruitless = this.#fruitless >= PATTERN;
    const what = named === reason ? "end" : isFruitless ? "fruitless" : "pattern";
    const say = this.#repeats.due(what) ? log.warn : log.debug;
    const ms = this.#wait(named);
    say("disconnected", { ...failureFields(named), in: inSeconds(ms) });
    return ms;
  }

  #count(reason: UserError, end: SessionEnd): void {
    // What made sessions end early is gone.
    if (end.setAside) this.#failures = this.#short = this.#fruitless = 0;
    if (end.ms >= GOOD_MS && end.delivered > 0) this.#failures = 0;
    const isEarly = end.ms < GOOD_MS && reason.step === "mqtt";
    const isFruitless = isEarly && end.delivered === 0 && end.inFlight > 0;
    const isCut = reason.code === "session-hung-up" && end.delivered > 0;
    this.#short = isEarly ? this.#short + 1 : 0;
    this.#fruitless = isFruitless ? this.#fruitless + 1 : 0;
    this.#lengths = isCut ? [...this.#lengths, end.ms].slice(-PATTERN) : [];
  }

  /** The reason, with the pattern that it is part of. */
  #name(reason: UserError, { ms }: SessionEnd): UserError {
    const { target } = this.#options;
    if (this.#lengths.length === PATTERN && areAlike(this.#lengths)) {
      return nameLength(reason, ms, target);
    }
    if (this.#short < PATTERN) return reason;
    return namePattern(reason, this.#fruitless >= PATTERN, target);
  }

  #wait(reason: UserError): number {
    const { settings: { backoffMax }, random } = this.#options;
    const isSlow = reason.exitCode === EXIT.refused || reason.code === "proxy-forbidden" ||
      this.#short >= LASTING;
    const ms = isSlow
      ? slowBackoffMs(random(), backoffMax)
      : backoffMs(this.#failures, random(), backoffMax);
    this.#failures++;
    return ms;
  }

  #way(): { endpoint: string; proxy?: string } {
    const { target } = this.#options;
    return {
      endpoint: place(target),
      ...(target.proxy && { proxy: place(target.proxy) }),
    };
  }
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}

/** The likely cause of sessions that end early again and again. */
function namePattern(reason: UserError, fruitless: boolean, target: Target): UserError {
  // What the server said, or was seen to do, is the cause; a guess is for where nothing was.
  if (reason.code !== "session-hung-up") {
    return reason.with({ message: `${reason.message}, ${PATTERN} times or more in a row` });
  }
  if (fruitless) {
    return reason.with({
      message: `${reason.message}, ${PATTERN} times or more right after a PUBLISH`,
      hint:
        `the policy most likely lacks iot:Publish on this topic (\`mqtt443 settings\` shows it), or another ` +
        `device uses client id "${target.clientId}"; ` +
        `watch ${presenceTopic("disconnected", target)}`,
    });
  }
  return reason.with({
    message: `${reason.message}, ${PATTERN} times or more soon after connecting`,
    hint: (target.proxy === undefined
      ? "most likely another"
      : `most likely ${tunnelLimits(target)}; if not, another`) +
      ` device uses client id "${target.clientId}": give each its own --client-id; ` +
      `watch ${presenceTopic("disconnected", target)}`,
  });
}

function areAlike(lengthsMs: readonly number[]): boolean {
  const [least, most] = [Math.min(...lengthsMs), Math.max(...lengthsMs)];
  return least >= LEAST_LENGTH_MS && most - least <= Math.max(ALIKE.ms, most * ALIKE.part);
}

/** The cause of sessions that do their work and end each after the same time. */
function nameLength(reason: UserError, ms: number, target: Target): UserError {
  const who = target.proxy === undefined
    ? "a firewall, load balancer or broker with a limit"
    : `${tunnelLimits(target)}; else a firewall or broker with a limit`;
  return reason.with({
    message: `${reason.message}; it ends each time after about ${Math.round(ms / 1000)} s`,
    hint:
      `something ends each connection after that time: ${who}; what was not acknowledged is sent ` +
      `again; ask who runs the network and the broker; or another device uses client id "${target.clientId}" ` +
      "and comes back as regularly",
  });
}
