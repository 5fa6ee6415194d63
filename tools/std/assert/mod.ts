/**
 * A stand-in for `jsr:@std/assert` 1.0.19, written for this project: see tools/deps.ts.
 *
 * Values are equal here if `node:util` says so of their structure. The real package also takes 0 for -0, and an object
 * without a prototype for a plain one: no test of this project needs that.
 *
 * @module
 */

import { AssertionError } from "node:assert";
import { diff, isDeepStrictEqual, stripVTControlCharacters } from "node:util";

/** Asserts that a value is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw failure(msg);
}

/** Asserts that two values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  // `-` is actual, `+` is expected.
  const lines = diff(textOf(expected).split("\n"), textOf(actual).split("\n"))
    .map(([sign, line]) => `${sign < 0 ? "-" : sign > 0 ? "+" : " "}   ${line}`);
  const text = lines.join("\n");
  throw failure(`Values are not equal${ending(msg)}\n\n    [Diff] Actual / Expected\n\n${text}\n`);
}

/** Asserts that two numbers are close: by default to a ten-millionth. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance: number = Math.abs(expected) * 1e-7,
): void {
  order(Math.abs(expected - actual) <= tolerance, [actual, `within ${tolerance} of`, expected]);
}

/** Asserts that one value is greater than another. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  order(actual > expected, [actual, ">", expected], msg);
}

/** Asserts that one value is greater than another or equal. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  order(actual >= expected, [actual, ">=", expected], msg);
}

/** Asserts that one value is less than another. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  order(actual < expected, [actual, "<", expected], msg);
}

/** Asserts that one value is less than another or equal. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  order(actual <= expected, [actual, "<=", expected], msg);
}

/** Asserts that a text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  order(expected.test(actual), [actual, "to match", expected], msg);
}

/** Asserts that a text does not match a pattern. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  order(!expected.test(actual), [actual, "not to match", expected], msg);
}

/** Asserts that a text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  order(actual.includes(expected), [actual, "to contain", expected], msg);
}

// deno-lint-ignore no-explicit-any
type Class<T> = abstract new (...args: any[]) => T;

/** Asserts that a value is an instance of a class. */
export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Class<T>,
  msg?: string,
): asserts actual is T {
  order(actual instanceof expectedType, [actual, "to be an instance of", expectedType], msg);
}

/** Asserts that a function throws; returns what it threw. */
export function assertThrows(fn: () => unknown): unknown;
/** Asserts that a function throws an error of a class, whose message includes a text; returns it. */
export function assertThrows<E extends Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  ErrorClass?: Class<Error>,
  msgIncludes?: string,
  msg?: string,
): unknown {
  try {
    fn();
  } catch (error) {
    return checked(error, ErrorClass, msgIncludes, msg);
  }
  throw failure(`Expected function to throw${ending(msg)}`);
}

/** Asserts that a function's promise rejects; returns what with. */
export function assertRejects(fn: () => PromiseLike<unknown>): Promise<unknown>;
/** Asserts that it rejects with an error of a class, whose message includes a text; returns it. */
export function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: Class<Error>,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  // What it throws at once is no rejection, and fails the test.
  const promise = fn();
  try {
    await promise;
  } catch (error) {
    return checked(error, ErrorClass, msgIncludes, msg);
  }
  throw failure(`Expected function to reject${ending(msg)}`);
}

function checked(
  error: unknown,
  ErrorClass: Class<Error> | undefined,
  msgIncludes = "",
  msg?: string,
): unknown {
  if (ErrorClass === undefined) return error;
  assertInstanceOf(error, ErrorClass, msg);
  const text = stripVTControlCharacters(error.message);
  assertStringIncludes(text, stripVTControlCharacters(msgIncludes), msg);
  return error;
}

function order(holds: boolean, [actual, is, expected]: [unknown, string, unknown], msg?: string) {
  if (!holds) throw failure(`Expected ${textOf(actual)} ${is} ${textOf(expected)}${ending(msg)}`);
}

function failure(message: string): AssertionError {
  return new AssertionError({ message });
}

function ending(msg?: string): string {
  return msg ? `: ${msg}` : ".";
}

/** A text as it is; of another value all of it, in an order that does not depend on how it was made. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : Deno.inspect(value, {
    ...{ depth: Infinity, iterableLimit: Infinity, strAbbreviateSize: Infinity },
    ...{ sorted: true, trailingComma: true, compact: false },
  });
}
