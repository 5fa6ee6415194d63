/**
 * The error of the `@std/assert` stand-in (see mod.ts).
 *
 * @module
 */

/** What is thrown when an assertion does not hold. */
export class AssertionError extends Error {
  /** Makes an error; its message is for people. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}
