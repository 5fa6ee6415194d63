/**
 * The assertions of the `@std/assert` stand-in (see mod.ts) that compare two
 * values.
 *
 * @module
 */

import { AssertionError } from "./assertion_error.ts";
import { equal } from "./equal.ts";
import { difference, ending, format } from "./message.ts";

/** Asserts that two values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(
    `Values are not equal${ending(msg)}\n${difference(actual, expected)}`,
  );
}

/** Asserts that two values are not deeply equal. */
export function assertNotEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (!equal(actual, expected)) return;
  throw new AssertionError(
    `Expected actual: ${format(actual)} not to be: ${format(expected)}${ending(msg)}`,
  );
}

/** Asserts that two values are the same one. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  const text = format(actual);
  throw new AssertionError(
    text === format(expected)
      ? `Values have the same structure but are not reference-equal${ending(msg)}\n\n${
        text.replaceAll(/^/gm, "    ")
      }\n`
      : `Values are not strictly equal${ending(msg)}\n${difference(actual, expected)}`,
  );
}

/** Asserts that two numbers are close: by default to a ten-millionth. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance: number = isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7,
  msg?: string,
): void {
  const delta = Math.abs(expected - actual);
  if (Object.is(actual, expected) || delta <= tolerance) return;
  const [is, wanted, far, most] = [actual, expected, delta, tolerance].map(
    (n) => Number.isInteger(n) ? n : n.toExponential(),
  );
  throw new AssertionError(
    `Expected actual: "${is}" to be close to "${wanted}": ` +
      `delta "${far}" is greater than "${most}"${ending(msg)}`,
  );
}

/** Asserts that one value is greater than another. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  order(actual > expected, actual, ">", expected, msg);
}

/** Asserts that one value is greater than another or equal. */
export function assertGreaterOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  order(actual >= expected, actual, ">=", expected, msg);
}

/** Asserts that one value is less than another. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  order(actual < expected, actual, "<", expected, msg);
}

/** Asserts that one value is less than another or equal. */
export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  order(actual <= expected, actual, "<=", expected, msg);
}

/** An array, or something like one that is an object. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;

/** Asserts that an array has every element of another. */
export function assertArrayIncludes<T>(
  actual: ArrayLikeArg<T>,
  expected: ArrayLikeArg<T>,
  msg?: string,
): void {
  const present = Array.from(actual);
  const missing = Array.from(expected).filter((wanted) =>
    !present.some((element) => equal(wanted, element))
  );
  if (missing.length === 0) return;
  throw new AssertionError(
    `Expected actual: "${format(actual)}" to include: "${format(expected)}"${
      ending(msg)
    }\nmissing: ${format(missing)}`,
  );
}

function order(
  holds: boolean,
  actual: unknown,
  sign: string,
  expected: unknown,
  msg?: string,
): void {
  if (holds) return;
  throw new AssertionError(
    msg ?? `Expect ${format(actual)} ${sign} ${format(expected)}`,
  );
}
