/** How a setting's text becomes a value: durations, sizes, numbers, choices. Pure. */

/** Parses one setting's text. @throws {RangeError} with the rule as its message (`must be …`). */
export type Parser<T> = (text: string) => T;

const DURATION_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const SIZE_BYTES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/**
 * Parses a duration such as `250ms`, `10s`, `5m`, `2h` to milliseconds, within bounds.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { duration } from "./values.ts";
 *
 * assertEquals(duration("100ms", "24h")("1.5s"), 1500);
 * assertThrows(() => duration("100ms", "24h")("0s"), RangeError, "from 100ms to 24h");
 * ```
 */
export function duration(min: string, max: string): Parser<number> {
  return bounded(withUnit(DURATION_MS), min, max, "a duration with its unit (250ms, 10s, 5m, 2h)");
}

/** Parses a size such as `512KiB` or `64MiB` to bytes, within bounds. */
export function size(min: string, max: string): Parser<number> {
  return bounded(withUnit(SIZE_BYTES), min, max, "a size with its unit (512KiB, 64MiB)");
}

/** Parses a whole number within bounds. */
export function integer(min: number, max: number): Parser<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      throw new RangeError(`must be a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

/** Parses one of a few words. */
export function choice<const T extends string>(words: readonly T[]): Parser<T> {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new RangeError(`must be ${words.join(" or ")}`);
    return found;
  };
}

/** Adds the word `none`, which is undefined. */
export function orNone<T>(parse: Parser<T>): Parser<T | undefined> {
  return (text) => {
    if (text === "none") return undefined;
    try {
      return parse(text);
    } catch (error) {
      throw new RangeError(`${(error as RangeError).message}, or none`);
    }
  };
}

/** A text that a check finds nothing wrong with. */
export function checked(problem: (text: string) => string | undefined): Parser<string> {
  return (text) => {
    const found = problem(text);
    if (found !== undefined) throw new RangeError(found);
    return text;
  };
}

/** A duration in the largest unit that says it exactly: `1500` is `1.5s`, `100001` is `100001ms`. */
export function formatDuration(ms: number): string {
  return inUnits(ms, DURATION_MS, { exactly: true });
}

/** A size in the largest unit that says it exactly: `67108864` is `64MiB`. */
export function formatSize(bytes: number): string {
  return inUnits(bytes, SIZE_BYTES, { exactly: true });
}

/** A size for people, to two decimals: `1234567` is `1.18MiB`. */
export function roundSize(bytes: number): string {
  return inUnits(bytes, SIZE_BYTES, { exactly: false });
}

function inUnits(
  value: number,
  units: Record<string, number>,
  { exactly }: { exactly: boolean },
): string {
  const entries = Object.entries(units);
  const rounded = (factor: number) => Number((value / factor).toFixed(2));
  const [unit, factor] =
    entries.findLast(([, factor]) =>
      value >= factor && (!exactly || rounded(factor) * factor === value)
    ) ?? entries[0]!;
  return `${rounded(factor)}${unit}`;
}

function withUnit(units: Record<string, number>): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,15}(?:\.\d{1,6})?)([A-Za-z]+)$/.exec(text);
    const factor = match && Object.hasOwn(units, match[2]!) ? units[match[2]!]! : NaN;
    return match ? Math.round(Number(match[1]) * factor) : NaN;
  };
}

function bounded(
  parse: (text: string) => number,
  min: string,
  max: string,
  form: string,
): Parser<number> {
  return (text) => {
    const value = parse(text);
    if (Number.isNaN(value)) throw new RangeError(`must be ${form} from ${min} to ${max}`);
    if (value < parse(min) || value > parse(max)) {
      throw new RangeError(`must be from ${min} to ${max}`);
    }
    return value;
  };
}

/** A time without its fraction of a second: `2026-11-23T03:24:45Z`. */
export function toSeconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
