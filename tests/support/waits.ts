/**
 * How a series of waits between attempts looks to who judges it: AWS's Device Advisor passes jitter, warns of strict
 * doubling and fails what is constant or linear, or sooner than a second after the server hung up.
 *
 * Its way of telling them apart is not published; this one is strict: a tenth off the pattern is still the pattern.
 */

/** What a series is. */
export type Verdict = "too-soon" | "constant" | "linear" | "doubling" | "not-growing" | "jitter";

/** Shares by which waits may differ and still be the same. */
const SAME = 0.1;

/** Judges waits in ms, of which there must be four or more. */
export function judgeWaits(waitsMs: readonly number[]): Verdict {
  if (waitsMs.length < 4) {
    throw new RangeError(`Cannot judge ${waitsMs.length} waits: 4 are needed`);
  }
  if (waitsMs.some((ms) => ms < 1000)) return "too-soon";
  if (Math.max(...waitsMs) <= Math.min(...waitsMs) * (1 + SAME)) return "constant";
  const steps = waitsMs.slice(1).map((ms, index) => ms - waitsMs[index]!);
  if (steps.every((step) => Math.abs(step - steps[0]!) <= SAME * steps[0]!)) return "linear";
  const isDouble = (ms: number, index: number) => Math.abs(ms / waitsMs[index]! - 2) <= 2 * SAME;
  if (waitsMs.slice(1).every(isDouble)) return "doubling";
  const third = Math.ceil(waitsMs.length / 3);
  return Math.max(...waitsMs.slice(-third)) > Math.max(...waitsMs.slice(0, third))
    ? "jitter"
    : "not-growing";
}
