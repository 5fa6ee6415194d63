/**
 * What the messages of the `@std/assert` stand-in (see mod.ts) are made of.
 *
 * @module
 */

import { diff } from "node:util";

/** The end of a sentence: the caller's own words, if any. */
export function ending(msg?: string): string {
  return msg ? `: ${msg}` : ".";
}

/** The two values line by line: `-` is actual, `+` is expected. */
export function difference(actual: unknown, expected: unknown): string {
  const lines = diff(textLines(expected), textLines(actual))
    .map(([sign, line]) => `${sign < 0 ? "-" : sign > 0 ? "+" : " "}   ${line}`);
  return ["", "", "    [Diff] Actual / Expected", "", "", ...lines, ""]
    .join("\n");
}

function textLines(value: unknown): string[] {
  return (typeof value === "string" ? value : format(value)).split("\n");
}

/** The whole value, in an order that does not depend on how it was made. */
export function format(value: unknown): string {
  return Deno.inspect(value, {
    depth: Infinity,
    sorted: true,
    trailingComma: true,
    compact: false,
    iterableLimit: Infinity,
    getters: true,
    strAbbreviateSize: Infinity,
  });
}
