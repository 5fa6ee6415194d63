/** The gap between two messages that keeps every second within a rate. Pure. */

/** The most that may be sent in a second. */
export interface Rates {
  /** Messages, or undefined. */
  readonly messages: number | undefined;
  /** Bytes of topic and payload, or undefined. */
  readonly bytes: number | undefined;
}

/** Messages a second that AWS IoT Core takes on one connection: the same page. */
export const AWS_MESSAGES_PER_S = 100;
/** Bytes a second that AWS IoT Core takes on one connection: quotas page "iot-core". */
export const AWS_BYTES_PER_S = 512 * 1024;

/** Spare, so that a message may arrive 100 ms late and still no second hold more than the rate: AWS discards the rest. */
const MARGIN = 1.1;

/**
 * Milliseconds from one message to the next.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { gapMs } from "./pacer.ts";
 *
 * assertEquals(gapMs(150, { messages: 100, bytes: undefined }), 11);
 * assertEquals(gapMs(150, { messages: undefined, bytes: undefined }), 0);
 * ```
 */
export function gapMs(bytes: number, rates: Rates): number {
  const byMessages = rates.messages === undefined ? 0 : 1000 / rates.messages;
  const byBytes = rates.bytes === undefined ? 0 : 1000 / wholeMessages(rates.bytes / bytes);
  return Math.max(byMessages, byBytes) * MARGIN;
}

/** Whole messages in a second: the one in which the second ends counts in full. */
function wholeMessages(perS: number): number {
  return perS < 1 ? perS : Math.floor(perS);
}

/** How late a message may leave and the next one still at its time: timers are a few ms late. */
const LATE_MS = 4;

/** Says when the next message may leave. */
export interface Pacer {
  /** Milliseconds to wait from `nowMs`; 0: now. */
  waitMs(nowMs: number): number;
  /** Notes that a message of so many bytes left. */
  sent(nowMs: number, bytes: number, rates: Rates): void;
}

/** Makes a pacer. Times are of a monotonic clock. */
export function createPacer(): Pacer {
  let nextMs = -Infinity;
  return {
    waitMs: (nowMs) => Math.max(0, nextMs - nowMs),
    sent(nowMs, bytes, rates) {
      // Unused time is lost, except the few ms that coarse timers need to reach the rate.
      nextMs = Math.max(nextMs, nowMs - LATE_MS) + gapMs(bytes, rates);
    },
  };
}
