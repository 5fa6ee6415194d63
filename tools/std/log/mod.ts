/**
 * A small stand-in for `jsr:@std/log` 0.224.14, written for this project and
 * used only where jsr.io cannot be reached (tools/deps.ts links it in).
 *
 * What it has, it has with the types and the behaviour of the real package:
 * levels, records, loggers and the base class of handlers. What it leaves out
 * is not exported, so that using it is a type error: every ready-made handler
 * (console, file, rotating file), the formatters, `setup`, `getLogger` and the
 * functions that log without a logger.
 *
 * @module
 */

export * from "./base_handler.ts";
export * from "./levels.ts";
export * from "./logger.ts";
