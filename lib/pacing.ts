/** How far apart messages leave, so that no second holds more than a rate allows. Pure. */

/** What may leave in a second. */
export interface Rates {
  /** Messages, or undefined. */
  readonly messages: number | undefined;
  /** Bytes of topic and payload, or undefined. */
  readonly bytes: number | undefined;
}

/** Bytes a second that AWS IoT Core takes on one connection: quotas page "iot-core". */
export const AWS_BYTES_PER_S = 512 * 1024;

/** Spare, so that jitter on the way does not push two seconds' messages into one. */
const MARGIN = 1.02;

/**
 * Milliseconds from one message to the next.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { gapMs } from "./pacing.ts";
 *
 * assertEquals(gapMs(150, { messages: 100, bytes: undefined }), 10.2);
 * assertEquals(gapMs(150, { messages: undefined, bytes: undefined }), 0);
 * ```
 */
export function gapMs(bytes: number, rates: Rates): number {
  const byMessages = rates.messages === undefined ? 0 : 1000 / rates.messages;
  const byBytes = rates.bytes === undefined ? 0 : bytes * 1000 / rates.bytes;
  return Math.max(byMessages, byBytes) * MARGIN;
}

/** A gap this small is not waited for one by one: timers are no finer than 1 ms. */
const BUNCH_MS = 4;

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
      const gap = gapMs(bytes, rates);
      // Time not used is lost, but for the little that makes fast rates reachable with coarse timers.
      nextMs = Math.max(nextMs, nowMs - (gap < BUNCH_MS ? BUNCH_MS : 0)) + gap;
    },
  };
}
