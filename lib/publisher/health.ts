/**
 * Whether a run is well, and how it fares in one sentence: for who watches it from outside. Pure, but for the clocks
 * that come in.
 *
 * Well is: a session in which what waits is being delivered, or attempts to have one that begin and end when they
 * should. So a long outage, a slow link or a full disk is no illness, as starting anew would mend none of them; a loop
 * that turns no more is one.
 */

import type { LinkState } from "./reconnect.ts";
import type { Settings } from "../settings/mod.ts";

/** What is known of a run at one moment; durations in ms. */
export interface Vitals {
  readonly link: LinkState["at"];
  /** How long the link has been so. */
  readonly forMs: number;
  /** Where it waits for the next attempt: for how long it means to. */
  readonly waitMs: number;
  /** For how long messages have waited without a delivery; 0 if none waits. */
  readonly owedMs: number;
}

/** The settings that say how long a thing may take. */
export type Limits = Pick<Settings, "connectTimeout" | "ackTimeout">;

/**
 * How late a thing may be, in ms. As long as the unit's WatchdogSec: what is late because this process was kept from
 * running for less than that must not count.
 */
const SLACK_MS = 60_000;

/**
 * What ails a run, or undefined.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { illnessOf } from "./health.ts";
 *
 * const limits = { connectTimeout: 15_000, ackTimeout: 20_000 };
 * const outage = { link: "waiting", forMs: 30_000, waitMs: 120_000, owedMs: 7 * 86_400_000 } as const;
 * assertEquals(illnessOf(outage, limits), undefined);
 * assertEquals(
 *   illnessOf({ ...outage, forMs: 200_000 }, limits),
 *   "the next attempt to connect is 80 s late",
 * );
 * ```
 */
export function illnessOf(
  { link, forMs, waitMs, owedMs }: Vitals,
  { connectTimeout, ackTimeout }: Limits,
): string | undefined {
  if (link === "waiting") {
    const lateMs = forMs - waitMs;
    return lateMs > SLACK_MS ? `the next attempt to connect is ${seconds(lateMs)} late` : undefined;
  }
  if (link === "connecting") {
    return forMs > connectTimeout + SLACK_MS
      ? `an attempt to connect has taken ${seconds(forMs)}, of ${seconds(connectTimeout)} at most`
      : undefined;
  }
  // Twice: a silence of one ackTimeout ends the session, unless this process slept in it.
  const silentMs = Math.min(forMs, owedMs);
  return silentMs > 2 * ackTimeout + SLACK_MS
    ? `messages wait, and none was acknowledged for ${seconds(silentMs)} of a session`
    : undefined;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

/** What is counted of a run. */
export interface Counts {
  readonly waiting: number;
  readonly published: number;
  readonly dropped: number;
}

/** Watches a run. */
export interface Health {
  /** The link has come to another state. */
  link(state: LinkState): void;
  /** Looks now; to be called again and again, more often than the shortest of the limits. */
  look(counts: Counts): { readonly illness: string | undefined; readonly status: string };
}

/** Options of {@linkcode createHealth}. */
export interface HealthOptions {
  readonly limits: Limits;
  /** Where the link goes: `host:port`. */
  readonly place: string;
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
}

/** Starts watching a run whose first attempt to connect is about to begin. */
export function createHealth({ limits, place, now, monotonicMs }: HealthOptions): Health {
  let state: LinkState = { at: "connecting" };
  let sinceMs = monotonicMs();
  /** Since when there is no session, once there was one or an attempt failed. */
  let offlineMs: number | undefined;
  let cause: string | undefined;
  let published = 0;
  /** Since when messages wait without a delivery. */
  let owedMs: number | undefined;

  // From the age: a wall clock that was set in between then counts.
  const time = (atMs: number) => {
    const date = new Date(now().getTime() + atMs - monotonicMs());
    return date.toISOString().replace(/\.\d+/, "");
  };
  const fare = () => {
    if (state.at === "open") return `Connected to ${place} since ${time(sinceMs)}`;
    const next = state.at === "waiting"
      ? `, next attempt at ${time(sinceMs + state.ms)}`
      : `, connecting to ${place}`;
    if (offlineMs === undefined) return `Not connected yet${next}`;
    return `Offline since ${time(offlineMs)}${next}${cause === undefined ? "" : ` (${cause})`}`;
  };
  return {
    link(next) {
      const wasOpen = state.at === "open";
      state = next;
      sinceMs = monotonicMs();
      if (next.at === "open") {
        offlineMs = cause = undefined;
      } else if (next.at === "waiting") {
        if (wasOpen || next.reason !== undefined) offlineMs ??= sinceMs;
        cause = next.reason?.message ?? cause;
      }
    },
    look(counts) {
      const nowMs = monotonicMs();
      if (counts.waiting === 0) owedMs = undefined;
      else if (counts.published > published) owedMs = nowMs;
      else owedMs ??= nowMs;
      published = counts.published;
      const illness = illnessOf({
        link: state.at,
        forMs: nowMs - sinceMs,
        waitMs: state.at === "waiting" ? state.ms : 0,
        owedMs: owedMs === undefined ? 0 : nowMs - owedMs,
      }, limits);
      const numbers =
        `${counts.waiting} waiting, ${counts.published} published, ${counts.dropped} dropped`;
      return {
        illness,
        status: `${illness === undefined ? "" : `STUCK: ${illness}. `}${fare()}; ${numbers}`,
      };
    },
  };
}
