/**
 * The kinds of settings: how a text becomes a value, what is allowed in words, and as JSON Schema. Each rule is said
 * once, here or in the row that passes it: the words, the schema and the parser are made from the same bounds. Pure.
 */

import { DURATION_MS, formatDuration, formatSize, SIZE_BYTES } from "../core/text.ts";
import { rangePattern } from "./range_pattern.ts";

/** A JSON Schema (draft 2020-12), or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** What values a setting takes. */
export interface Kind<T> {
  /** From text to value. @throws {RangeError} with the rule as its message (`must be …`) */
  readonly parse: (text: string) => T;
  /** What is allowed, in a few words. */
  readonly allowed: string;
  /** Stands for the value in help texts. */
  readonly placeholder: string;
  /** From value back to text, where the value alone says too little (ms, bytes). */
  readonly format?: (value: number) => string;
  /** The word `none`, and null in the file, mean: no value. */
  readonly mayBeNone?: boolean;
  /** Where it is not given, there is no value. */
  readonly isOptional?: boolean;
  /** The file may hold a list of texts. */
  readonly mayBeList?: boolean;
  /** What the settings file may hold. */
  readonly schema: () => JsonSchema;
}

/**
 * A duration such as `250ms`, `10s`, `5m`, `2h` within bounds; its value is in milliseconds.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { duration } from "./parsers.ts";
 *
 * const interval = duration("100ms", "24h");
 * assertEquals(interval.parse("1.5s"), 1500);
 * assertEquals(interval.allowed, "100ms-24h");
 * assertThrows(() => interval.parse("0s"), RangeError, "from 100ms to 24h");
 * ```
 */
export function duration(min: string, max: string): Kind<number> {
  const form = "a duration with its unit (250ms, 10s, 5m, 2h)";
  return { ...withUnit(DURATION_MS, min, max, form, "DURATION"), format: formatDuration };
}

/** A size such as `512KiB` or `64MiB` within bounds; its value is in bytes. */
export function size(min: string, max: string): Kind<number> {
  const form = "a size with its unit (512KiB, 64MiB)";
  return { ...withUnit(SIZE_BYTES, min, max, form, "SIZE"), format: formatSize };
}

/** A whole number within bounds. */
export function integer<T extends number = number>(
  min: number,
  max: number,
  placeholder = "N",
): Kind<T> {
  return {
    parse: (text) => {
      const value = /^\d+$/.test(text) ? Number(text) : NaN;
      if (value >= min && value <= max) return value as T;
      throw new RangeError(`must be a whole number from ${min} to ${max}`);
    },
    allowed: max - min === 1 ? `${min} or ${max}` : `${min}-${max}`,
    placeholder,
    schema: () => ({
      type: ["integer", "string"],
      minimum: min,
      maximum: max,
      pattern: rangePattern(min, max),
    }),
  };
}

/** One of a few words. */
export function choice<const T extends string>(placeholder: string, words: readonly T[]): Kind<T> {
  const allowed = words.join(", ").replace(/, ([^,]*)$/, " or $1");
  return {
    parse: (text) => {
      const found = words.find((word) => word === text);
      if (found === undefined) throw new RangeError(`must be ${allowed}`);
      return found;
    },
    allowed,
    placeholder,
    // A word that is a number may stand without quotes.
    schema: () => ({
      enum: words.flatMap((word) => String(Number(word)) === word ? [word, Number(word)] : [word]),
    }),
  };
}

/** Adds the word `none`, whose value is undefined. */
export function orNone<T>(kind: Kind<T>): Kind<T | undefined> {
  return {
    ...kind,
    parse: (text) => {
      if (text === "none") return undefined;
      try {
        return kind.parse(text);
      } catch (error) {
        throw new RangeError(`${(error as RangeError).message}, or none`);
      }
    },
    allowed: `${kind.allowed}, or none`,
    mayBeNone: true,
    schema: () => ({ anyOf: [{ enum: ["none", null] }, kind.schema()] }),
  };
}

/** Undefined where it is not given; there is no word for that. */
export function optional<T>(kind: Kind<T>): Kind<T | undefined> {
  return { ...kind, isOptional: true };
}

/**
 * A text in which a check finds nothing wrong.
 *
 * @param problem What is wrong, as the end of a sentence.
 * @param schema The same rule as a JSON Schema of strings. A number in the file is taken as its digits.
 */
export function checked(
  placeholder: string,
  problem: (text: string) => string | undefined,
  { allowed, ...schema }: JsonSchema & { readonly allowed: string },
): Kind<string> {
  return {
    parse: (text) => {
      const found = problem(text);
      if (found !== undefined) throw new RangeError(found);
      return text;
    },
    allowed,
    placeholder,
    schema: () => ({ type: ["string", "number"], ...schema }),
  };
}

function withUnit(
  units: Readonly<Record<string, number>>,
  min: string,
  max: string,
  form: string,
  placeholder: string,
): Kind<number> {
  const read = (text: string) => {
    const [, number, unit = ""] = /^(\d+(?:\.\d{1,6})?)([A-Za-z]+)$/.exec(text) ?? [];
    return Object.hasOwn(units, unit) ? Number(number) * units[unit]! : NaN;
  };
  const [least, most] = [read(min), read(max)];
  return {
    parse: (text) => {
      const value = read(text);
      if (value >= least && value <= most) return Math.round(value);
      throw new RangeError(`must be ${Number.isNaN(value) ? `${form} ` : ""}from ${min} to ${max}`);
    },
    allowed: `${min}-${max}`,
    placeholder,
    schema: () => ({ type: "string", pattern: rangePattern(least, most, units) }),
  };
}
