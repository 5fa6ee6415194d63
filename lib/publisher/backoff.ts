/** How long to wait before the next attempt to connect. Pure. */

/**
 * Milliseconds to wait before the next attempt when `n` attempts failed since the last good session (the one just
 * failed not counted, so n from 0): 1 s + random(0, min(maxMs - 1 s, 2^n s)). Full jitter keeps a fleet from coming back in step; the second in front
 * keeps a server that drops us at once from being hammered.
 *
 * @param random A number from 0 to 1, 1 excluded.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { backoffMs } from "./backoff.ts";
 *
 * assertEquals(backoffMs(0, 0, 120_000), 1000);
 * assertEquals(backoffMs(3, 0.5, 120_000), 5000);
 * assertEquals(backoffMs(60, 0.5, 120_000), 60_500);
 * ```
 */
export function backoffMs(n: number, random: number, maxMs: number): number {
  return Math.round(1000 + random * Math.min(Math.max(0, maxMs - 1000), 1000 * 2 ** n));
}

/** The wait after a refusal (certificate, policy): the slow end, from 75 to 100 % of the longest wait. */
export function slowBackoffMs(random: number, maxMs: number): number {
  return Math.max(1000, Math.round(maxMs * (0.75 + random / 4)));
}
