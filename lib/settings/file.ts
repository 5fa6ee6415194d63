/** The settings file: finds it, checks its owner, reads and parses it. */

import stripJsonComments from "strip-json-comments";
import { messageOf, settingsError, UserError } from "../core/errors.ts";
import { guardFile } from "../core/file_guard.ts";
import type { Layer } from "./types.ts";
import { quote } from "../core/text.ts";
import { grantHint, placeHint } from "../core/build.ts";
import { CONFIG_PATHS } from "./places.ts";

/** Larger than any settings file; a wrong path may lead to one. */
const MAX_CONFIG_BYTES = 1024 * 1024;

const SAMPLE = "`mqtt443 help settings` shows a sample";

/**
 * Parses a settings file: JSON with comments, trailing commas and a `$schema` that only editors read.
 *
 * @throws {UserError} If it is not one JSON object.
 */
export function fileLayer(path: string, text: string): Layer {
  // Spaces take the place of comments: lines stay where they were.
  const json = stripJsonComments(text.replace(/^\uFEFF/, ""), { trailingCommas: true });
  let values: unknown;
  try {
    values = JSON.parse(json);
  } catch (cause) {
    throw settingsError(
      "wrong-settings-file",
      `Cannot read settings file ${quote(path)}: ${jsonProblem(json, cause)}`,
      `correct it; ${SAMPLE}`,
      { cause },
    );
  }
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw settingsError(
      "wrong-settings-file",
      `Cannot use settings file ${quote(path)}: must hold one JSON object`,
      `write {"endpoint": "HOST"}; ${SAMPLE}`,
    );
  }
  const { $schema: _, ...settings } = values as Record<string, unknown>;
  return { origin: "file", name: path, values: settings };
}

/**
 * Reads the named settings file, or the first of {@linkcode CONFIG_PATHS} that exists.
 *
 * @throws {UserError} If it cannot be read, or others may write to it.
 */
export function readConfig(named: string | undefined): { path: string; text: string } | undefined {
  if (named !== undefined) return { path: named, text: readText(named) };
  for (const path of CONFIG_PATHS) {
    try {
      Deno.statSync(path);
    } catch {
      // Absent, or not granted because it was absent when the grants were made.
      continue;
    }
    return { path, text: readText(path) };
  }
  return undefined;
}

function readText(path: string): string {
  try {
    const { size, isFile } = Deno.statSync(path);
    if (!isFile) throw new Error("it is not a regular file");
    if (size > MAX_CONFIG_BYTES) {
      throw new Error(
        `it has ${size} bytes, and no settings file has more than ${MAX_CONFIG_BYTES}`,
      );
    }
    const found = guardFile(path, { isSecret: false });
    if (found) {
      throw settingsError(
        "settings-not-safe",
        `Cannot use settings file ${quote(path)}: ${found.problem}`,
        found.hint,
      );
    }
    return decode(Deno.readFileSync(path));
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const isDenied = cause instanceof Deno.errors.NotCapable;
    const why = isDenied
      ? "this process was not granted to read there"
      : cause instanceof Deno.errors.NotFound
      ? "file not found"
      : messageOf(cause);
    throw settingsError(
      "wrong-settings-file",
      `Cannot read settings file ${quote(path)}: ${why}`,
      isDenied ? grantHint("settings") : `${placeHint("settings")}; ${SAMPLE}`,
      { cause },
    );
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    const text = new TextDecoder().decode(bytes);
    const line = text.slice(0, text.indexOf("\uFFFD")).split("\n").length;
    throw new Error(`line ${line} is not valid UTF-8`);
  }
}

/** Where and why the text is not JSON, without quoting it: a wrong path may lead to a secret. */
function jsonProblem(text: string, cause: unknown): string {
  if (cause instanceof RangeError) return "nested too deep";
  const why = (cause as Error).message.split(/ in JSON| after JSON|, (?:\.\.\.)?"/)[0]!;
  return `not JSON: line ${badLine(text)}: ${why}`;
}

/** The line of the first wrong character: V8 does not always report it, so a binary search finds it. */
function badLine(text: string): number {
  let [good, bad] = [0, text.length];
  while (good + 1 < bad) {
    const middle = (good + bad) >> 1;
    if (mayGoOn(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  return text.slice(0, bad).trimEnd().split("\n").length;
}

/** Whether a text is valid JSON, or the beginning of some. */
function mayGoOn(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const { message } = error as Error;
    const position = /at position (\d+)/.exec(message)?.[1];
    return /end of JSON input|^Unterminated/.test(message) || Number(position) >= text.length;
  }
}
