/**
 * How the link fares: what is said of it, and how long to wait before the next attempt.
 *
 * Rules: while offline nothing is said more than once a minute; the wait grows over short sessions too and starts anew
 * only after 30 s up with a delivery; a refusal, or a link that dies each time, is retried at the slow end.
 */

import { backoffMs, slowBackoffMs } from "./backoff.ts";
import { place, presenceTopic, type Target } from "../core/endpoint.ts";
import { type Connection, tunnelLimits } from "../connection/mod.ts";
import { EXIT, failureFields, type UserError } from "../core/errors.ts";
import { createRepeats, type Logger } from "../core/log.ts";
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

/** Keeps account of attempts and sessions. */
export interface Outage {
  /** Whether sessions come and go. */
  isFlapping(): boolean;
  /** An attempt begins. */
  connecting(): void;
  /** It succeeded. */
  connected(connection: Connection): void;
  /** It failed. Returns the ms to wait. */
  failed(error: UserError): number;
  /** The session ended. Returns the ms to wait. */
  ended(reason: UserError, end: SessionEnd): number;
}

/** Options of {@linkcode createOutage}. */
export interface OutageOptions {
  readonly settings: Pick<Settings, "backoffMax" | "mqttVersion" | "clientId">;
  readonly target: Target;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonicMs: () => number;
}

/** Makes an account without failures. */
export function createOutage(options: OutageOptions): Outage {
  const { settings, target, log, random, monotonicMs } = options;
  /** Failures since the last good session. */
  let failures = 0;
  /** Sessions in a row that the other side ended early, and those of them in which nothing was taken. */
  let short = 0;
  let fruitless = 0;
  /** Lengths in ms of the last sessions that delivered something and were hung up on. */
  let lengths: number[] = [];
  const repeats = createRepeats(monotonicMs);
  const way = target.proxy && { proxy: place(target.proxy) };

  const wait = (reason: UserError): number => {
    const slow = reason.exitCode === EXIT.refused || reason.code === "proxy-forbidden" ||
      short >= LASTING;
    const ms = slow
      ? slowBackoffMs(random(), settings.backoffMax)
      : backoffMs(failures, random(), settings.backoffMax);
    failures++;
    return ms;
  };
  const retrying = (ms: number, reason: UserError) => {
    const say = repeats.due("retrying") ? log.warn : log.debug;
    say("retrying", {
      in: `${(ms / 1000).toFixed(1)}s`,
      attempt: failures + 1,
      ...way,
      ...failureFields(reason),
    });
    return ms;
  };

  return {
    isFlapping: () => short >= FLAPPING,
    connecting() {
      const say = repeats.due("connecting") ? log.info : log.debug;
      say("connecting", {
        endpoint: place(target),
        ...way,
        alpn: target.alpn ?? "none",
        clientId: target.clientId,
      });
    },
    connected({ facts }) {
      // A link that comes and goes is told of once a minute too.
      if (short < FLAPPING) repeats.reset();
      const say = repeats.due("connected") ? log.info : log.debug;
      say("connected", {
        endpoint: place(target),
        ...way,
        tls: facts.tls,
        alpn: facts.alpn ?? "none",
        sni: target.endpoint,
        peer: facts.peer,
        mqtt: settings.mqttVersion,
        ms: facts.ms,
      });
    },
    failed(error) {
      return retrying(wait(error), error);
    },
    ended(reason, end) {
      // What made sessions end early is gone.
      if (end.setAside) failures = short = fruitless = 0;
      if (end.ms >= GOOD_MS && end.delivered > 0) failures = 0;
      const early = end.ms < GOOD_MS && reason.step === "mqtt";
      short = early ? short + 1 : 0;
      fruitless = early && end.delivered === 0 && end.inFlight > 0 ? fruitless + 1 : 0;
      const isCut = reason.code === "session-hung-up" && end.delivered > 0;
      lengths = isCut ? [...lengths, end.ms].slice(-PATTERN) : [];
      const named = lengths.length === PATTERN && areAlike(lengths)
        ? nameLength(reason, end.ms, target)
        : short >= PATTERN
        ? namePattern(reason, fruitless >= PATTERN, target)
        : reason;
      // A pattern, once seen, is news.
      const what = named === reason ? "end" : fruitless >= PATTERN ? "fruitless" : "pattern";
      const say = repeats.due(what) ? log.warn : log.debug;
      const ms = wait(named);
      say("disconnected", { ...failureFields(named), in: `${(ms / 1000).toFixed(1)}s` });
      return ms;
    },
  };
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
