/**
 * A small stand-in for `jsr:@std/cli` 1.0.32, written for this project and
 * used only where jsr.io cannot be reached (tools/deps.ts links it in).
 *
 * It has `parseArgs` alone. What it leaves out is not exported, so that using
 * it is a type error: `promptSecret`, `unicodeWidth` and everything unstable.
 *
 * @module
 */

export * from "./parse_args.ts";
