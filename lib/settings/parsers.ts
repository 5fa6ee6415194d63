/** How a setting's text becomes a value: durations, sizes, numbers, choices. Pure. */

import { DURATION_MS, SIZE_BYTES } from "../core/text.ts";

/** Parses one setting's text. @throws {RangeError} with the rule as its message (`must be …`). */
export type Parser<T> = (text: string) => T;

/**
 * Parses a duration such as `250ms`, `10s`, `5m`, `2h` to milliseconds, within bounds.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { duration } from "./parsers.ts";
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
