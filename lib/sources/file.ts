/**
 * The number in a file, times a scale.
 *
 * Only a plain file of at most 4 KiB is opened: a FIFO would block until somebody writes to it, and with it a
 * thread that no time limit gives back.
 */

import { EXIT, messageOf, UserError } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { below, type Host, HOST_VIEW, isRightsError, kernelPath, rightsError } from "./host.ts";
import { type FileSpec, parseDecimal } from "./spec.ts";

/** Largest file that is read, in bytes: one page, which is what sysfs gives at most. */
const MAX_BYTES = 4096;
/** A number of some other form, perhaps with its unit. Other text is not shown: a wrong path may lead to a secret. */
const NEARLY_A_NUMBER = /^[-+.,\d\s]{1,20}(e[-+]?\d{1,3})?\s?[a-z%\xb0/]{0,8}$/i;

/**
 * Parses the number in a file and scales it.
 *
 * @returns The value, rounded to 15 digits where it was scaled, so that 23456 * 0.001 is 23.456.
 * @throws {UserError} When the text is not one finite number.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseNumber } from "./file.ts";
 *
 * assertEquals(parseNumber("23456\n", 0.001, "/sys/bus/iio/devices/iio:device0/in_temp_input"), 23.456);
 * ```
 */
export function parseNumber(text: string, scale: number, path: string): number {
  const trimmed = text.trim();
  if (trimmed === "") {
    throw fileError(path, "the file is empty", "wait for a first value there");
  }
  const number = parseDecimal(trimmed);
  const value = number === undefined ? NaN : number * scale;
  if (!Number.isFinite(value)) {
    throw fileError(
      path,
      `must hold one number: it holds ${shown(trimmed)}`,
      `look at it: cat ${path}`,
    );
  }
  return scale === 1 ? value : Number(value.toPrecision(15));
}

/**
 * Reads the number that a `file:` source names.
 *
 * @param host Where the files of the kernel are; absolute paths are taken below its root.
 * @throws {UserError} When there is no plain, small, readable file with a number in it.
 */
export async function readNumberFile(
  { name, path, scale }: FileSpec,
  host: Host,
): Promise<Reading[]> {
  return [{
    name,
    value: parseNumber(await readSmallFile(realPath(path, host)), scale, path),
  }];
}

function realPath(path: string, host: Host): string {
  if (!path.startsWith("/")) return path;
  if (host.sys !== HOST_VIEW) return below(host.sys, path);
  const guarded = kernelPath(path);
  return guarded === undefined ? path : below(HOST_VIEW, guarded);
}

async function readSmallFile(path: string): Promise<string> {
  try {
    const info = await Deno.stat(path);
    const kind = wrongKind(info);
    if (kind !== undefined) {
      throw fileError(
        path,
        `must be a file: it is ${kind}`,
        `look at it: ls -l ${path}`,
      );
    }
    if (info.size > MAX_BYTES) throw tooLarge(path);
    using file = await Deno.open(path);
    // Files of /proc and /sys do not tell their size: read one byte more than is allowed.
    const buffer = new Uint8Array(MAX_BYTES + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = await file.read(buffer.subarray(length));
      if (count === null || count === 0) break;
      length += count;
    }
    if (length > MAX_BYTES) throw tooLarge(path);
    return new TextDecoder().decode(buffer.subarray(0, length));
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (isRightsError(error)) throw rightsError(path, error);
    if (error instanceof Deno.errors.NotFound) throw notFound(path, error);
    throw fileError(path, messageOf(error), `look at it: cat ${path}`, error);
  }
}

function wrongKind(info: Deno.FileInfo): string | undefined {
  if (info.isFile) return undefined;
  if (info.isDirectory) return "a directory";
  if (info.isFifo) return "a FIFO, which would block";
  return info.isSocket ? "a socket" : "a device";
}

function tooLarge(path: string): UserError {
  return fileError(
    path,
    `must be at most ${MAX_BYTES} bytes`,
    "name a file that holds one number and nothing else",
  );
}

function notFound(path: string, cause: unknown): UserError {
  const hint = path.startsWith(`${HOST_VIEW}/`)
    ? `bind it there in the service unit: BindReadOnlyPaths=${path.slice(HOST_VIEW.length)}:${path}`
    : `look for it: ls -l ${path}`;
  return fileError(path, "file not found", hint, cause);
}

function fileError(
  path: string,
  problem: string,
  hint: string,
  cause?: unknown,
): UserError {
  return new UserError(`Cannot read a number from "${path}": ${problem}`, {
    code: "source-unreadable",
    hint,
    exitCode: EXIT.config,
    step: "source",
    cause,
  });
}

function shown(text: string): string {
  return NEARLY_A_NUMBER.test(text) ? JSON.stringify(text) : `${text.length} characters of text`;
}
