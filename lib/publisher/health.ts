/**
 * Whether a run is healthy, and its state in one sentence, for the service manager. Pure, but for the clocks that come in.
 *
 * A run is healthy while waiting messages are acknowledged, or while attempts to connect begin and end in time. A long
 * outage, a slow link or a full disk is not unhealthy: a restart would mend none of them. A loop that stands still is.
 */

import type { LinkState } from "./reconnect.ts";
import type { Settings } from "../settings/mod.ts";

/** A run at one moment; durations in ms. */
export interface Vitals {
  readonly link: LinkState["at"];
  /** How long the link has been in this state. */
  readonly forMs: number;
  /** While it waits for the next attempt: how long that wait is. */
  readonly waitMs: number;
  /** For how long messages have waited without a delivery; 0 if none waits. */
  readonly owedMs: number;
}

/** The settings that say how long a thing may take. */
export type Limits = Pick<Settings, "connectTimeout" | "ackTimeout" | "packWait">;

/**
 * How late an attempt or a PUBACK may be, in ms. As long as the unit's WatchdogSec: a process that was paused for less
 * than that is not unhealthy.
 */
const SLACK_MS = 60_000;

/**
 * Why a run is unhealthy, or undefined.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { illnessOf } from "./health.ts";
 *
 * const limits = { connectTimeout: 15_000, ackTimeout: 20_000, packWait: 0 };
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
  { connectTimeout, ackTimeout, packWait }: Limits,
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
  // Twice: a silence of one ackTimeout ends the session, unless this process was suspended in it.
  const silentMs = Math.min(forMs, owedMs);
  return silentMs > packWait + 2 * ackTimeout + SLACK_MS
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
  /** Looks now; must be called more often than the shortest of the limits. */
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

  // Made from the age, so that a wall clock set in between is right.
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
