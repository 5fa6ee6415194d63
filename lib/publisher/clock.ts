/**
 * The time of a sample, from a clock that may be wrong or be set while the program runs.
 *
 * Rules: a time before this program was built is marked, and so is each while the system says that no time server has set
 * the clock; a jump is logged once, with its size; no timer and no order depends on this clock.
 */

import type { Logger } from "../core/log.ts";
import type { SampleTime } from "../core/message.ts";

/** Gives the time of samples. */
export interface ClockWatch {
  /** The time of a sample taken now. */
  sampleTime(): SampleTime;
  /**
   * The time from which the age of waiting messages is counted, ms since the epoch. A jump forward or a suspend does not
   * move it: one wrong jump would make every message too old. A clock that is set for the first time does.
   */
  ageTimeMs(): number;
}

/** Options of {@linkcode createClockWatch}. */
export interface ClockOptions {
  /** The wall clock. */
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
  /** A clock before this time is wrong. */
  readonly builtAt: Date;
  /** Whether a time server has set the clock; undefined: nobody knows. @default nobody knows */
  readonly isSynchronised?: () => boolean | undefined;
  readonly log: Logger;
}

/** Change between wall clock and monotonic clock that counts as a jump, in ms. */
const JUMP_MS = 60_000;

/** Makes a watch that trusts the wall clock as it is now, if it can be right. */
export function createClockWatch(
  { now, monotonicMs, builtAt, isSynchronised = () => undefined, log }: ClockOptions,
): ClockWatch {
  const lead = () => now().getTime() - monotonicMs();
  /** Wall clock minus monotonic clock: at the last look, and when the wall clock was first plausible. */
  let lastLead = lead();
  let steadyLead = lastLead;

  const look = (): number => {
    const timeMs = now().getTime();
    const nowLead = timeMs - monotonicMs();
    const jumpMs = nowLead - lastLead;
    lastLead = nowLead;
    if (steadyLead + monotonicMs() < builtAt.getTime()) steadyLead = nowLead;
    if (Math.abs(jumpMs) > JUMP_MS) {
      log.warn("warning", {
        code: "clock-jumped",
        cause: `The clock jumped ${jumpMs > 0 ? "forward" : "back"} by ${span(jumpMs)}, to ` +
          `${new Date(timeMs).toISOString()}: it was set, or this device slept`,
        hint: "messages keep their order: go by seq where times disagree",
      });
    }
    return timeMs;
  };

  return {
    sampleTime() {
      const timeMs = look();
      const isWrong = timeMs < builtAt.getTime() || isSynchronised() === false;
      return isWrong ? { timeMs, clock: "unsynchronised" } : { timeMs };
    },
    ageTimeMs() {
      const timeMs = look();
      return Math.min(timeMs, steadyLead + monotonicMs());
    },
  };
}

/** A length of time for a sentence: the two largest units. */
function span(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
}
