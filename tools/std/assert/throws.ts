/**
 * The assertions of the `@std/assert` stand-in (see mod.ts) about errors.
 *
 * @module
 */

import { stripVTControlCharacters } from "node:util";
import { AssertionError } from "./assertion_error.ts";
import { ending } from "./message.ts";

/** A class of errors. */
// deno-lint-ignore no-explicit-any
type ErrorType<E> = abstract new (...args: any[]) => E;

/** Asserts that a function throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/**
 * Asserts that a function throws an error of a class, whose message includes
 * a text; returns it.
 */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  // deno-lint-ignore no-explicit-any
  ErrorClass: abstract new (...args: any[]) => E,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  typeOrMsg?: ErrorType<E> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const ownWords = typeof typeOrMsg === "string" ? typeOrMsg : msg;
  try {
    fn();
  } catch (error) {
    check(error, typeOrMsg, msgIncludes, ownWords, "thrown");
    return error;
  }
  throw new AssertionError(`Expected function to throw${ending(ownWords)}`);
}

/** Asserts that a function's promise rejects; returns what with. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/**
 * Asserts that a function's promise rejects with an error of a class, whose
 * message includes a text; returns it. To throw at once is not to reject.
 */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  // deno-lint-ignore no-explicit-any
  ErrorClass: abstract new (...args: any[]) => E,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  typeOrMsg?: ErrorType<E> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const ownWords = typeof typeOrMsg === "string" ? typeOrMsg : msg;
  const promise = promiseOf(fn);
  if (promise === undefined) {
    throw new AssertionError(
      `Function throws when expected to reject${ending(ownWords)}`,
    );
  }
  try {
    await promise;
  } catch (error) {
    check(error, typeOrMsg, msgIncludes, ownWords, "rejected");
    return error;
  }
  throw new AssertionError(`Expected function to reject${ending(ownWords)}`);
}

/** What a function returned, if it is a promise and nothing was thrown. */
function promiseOf(
  fn: () => PromiseLike<unknown>,
): PromiseLike<unknown> | undefined {
  try {
    const value: unknown = fn();
    return typeof value === "object" && value !== null && "then" in value &&
        typeof value.then === "function"
      ? value as PromiseLike<unknown>
      : undefined;
  } catch {
    return undefined;
  }
}

function check<E extends Error>(
  error: unknown,
  type: ErrorType<E> | string | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
  verb: string,
): void {
  if (!isErrorType(type)) return;
  if (!(error instanceof Error)) {
    throw new AssertionError(`A non-Error object was ${verb}${ending(msg)}`);
  }
  if (!(error instanceof type)) {
    throw new AssertionError(
      `Expected error to be instance of "${type.name}", but was "${error.constructor?.name}"${
        ending(msg)
      }`,
    );
  }
  if (msgIncludes === undefined) return;
  const text = stripVTControlCharacters(error.message);
  if (text.includes(stripVTControlCharacters(msgIncludes))) return;
  throw new AssertionError(
    `Expected error message to include ${JSON.stringify(msgIncludes)}, but got ${
      JSON.stringify(error.message)
    }${ending(msg)}`,
  );
}

/** Only a class of errors is looked at: of other things nothing is asked. */
function isErrorType<E>(
  type: ErrorType<E> | string | undefined,
): type is ErrorType<E> {
  return typeof type === "function" &&
    (type === Error as unknown || type.prototype instanceof Error);
}
