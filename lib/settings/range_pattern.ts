/** Bounds as a regular expression: JSON Schema can compare numbers, but not the number in a text such as `10s`. Pure. */

/** Decimals that a number with a unit may have. */
const DECIMALS = 6;

/**
 * A pattern of the numbers from `min` to `max`: of whole ones, or, with units and their factors, of those that are
 * within the bounds when multiplied.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { rangePattern } from "./range_pattern.ts";
 *
 * const seconds = new RegExp(rangePattern(1500, 60_000, { ms: 1, s: 1000 }), "u");
 * assertEquals(["1500ms", "1.5s", "60s"].filter((text) => !seconds.test(text)), []);
 * assertEquals(["1499ms", "1.49s", "60.1s", "2"].filter((text) => seconds.test(text)), []);
 * ```
 */
export function rangePattern(
  min: number,
  max: number,
  units?: Readonly<Record<string, number>>,
): string {
  const places = units ? DECIMALS : 0;
  const scale = 10n ** BigInt(places);
  const ranges = Object.entries(units ?? { "": 1 }).map(([unit, factor]) => {
    const per = BigInt(factor);
    const below = (BigInt(min) * scale + per - 1n) / per - 1n;
    const tooLow = below < 0n ? "" : `(?!${atMost(below, places)}${unit}$)`;
    return `${tooLow}${atMost(BigInt(max) * scale / per, places)}${unit}`;
  });
  return `^(?=\\d)(?:${ranges.join("|")})$`;
}

/** Numbers of at most this many units of the last place. */
function atMost(value: bigint, places: number): string {
  const digits = String(value).padStart(places, "0");
  const whole = digits.slice(0, digits.length - places).replace(/^0$/, "");
  const any = places === 0 ? "" : `(?:\\.\\d{1,${places}})?`;
  const ways = [...whole].map((digit, at) =>
    `${whole.slice(0, at)}${below(digit)}\\d{${whole.length - 1 - at}}${any}`
  );
  if (whole !== "") ways.push(`\\d{0,${whole.length - 1}}${any}`);
  const fraction = digits.slice(digits.length - places);
  ways.push(whole + (places === 0 ? "" : `(?:\\.(?=\\d)${fractionAtMost(fraction)})?`));
  return `0*(?:${ways.join("|")})`;
}

function fractionAtMost(digits: string): string {
  const [digit, rest] = [digits.charAt(0), digits.slice(1)];
  if (digit === "") return "";
  return `(?:${below(digit)}\\d{0,${rest.length}}|${digit}${fractionAtMost(rest)})?`;
}

/** The digits below one; there are none below 0. */
function below(digit: string): string {
  return digit === "0" ? "[^\\s\\S]" : `[0-${Number(digit) - 1}]`;
}
