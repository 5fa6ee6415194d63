/**
 * A small stand-in for `jsr:@std/assert` 1.0.19, written for this project and
 * used only where jsr.io cannot be reached (tools/deps.ts links it in).
 *
 * What it has passes and fails as the real one does, with the same types and
 * the same first line of the message; below that, the difference is shown
 * more plainly (no colours, lines only). What it leaves out is not exported,
 * so that using it is a type error: `assertIsError`, `assertNotInstanceOf`,
 * `assertNotStrictEquals`, `unimplemented` and everything unstable.
 *
 * @module
 */

export * from "./assertion_error.ts";
export * from "./basic.ts";
export * from "./compare.ts";
export * from "./equal.ts";
export * from "./object_match.ts";
export * from "./throws.ts";
