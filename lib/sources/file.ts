/**
 * The number in a file, times a scale.
 *
 * A unit may stand behind the number, as in the kernel's own files (`1234 kB`, `23456 mC`): where the name of the reading
 * says a unit, the number is brought to it. A path with `*` or `?` must match one file; it is looked for at each reading, as
 * what it stands for (`hwmon3`) goes to another device after an unplug.
 *
 * Only a plain file of at most 4 KiB is opened: a FIFO would block until somebody writes to it, and with it a
 * thread that no time limit gives back.
 */

import { EXIT, messageOf, UserError } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { below, type Host, HOST_VIEW, isRightsError, kernelPath, rightsError } from "./host.ts";
import { globSource } from "./names.ts";
import { type FileSpec, globFolder, parseDecimal } from "./spec.ts";

/** Largest file that is read, in bytes: one page, which is what sysfs gives at most. */
const MAX_BYTES = 4096;
/** A number of some other form, perhaps with its unit. Other text is not shown: a wrong path may lead to a secret. */
const NEARLY_A_NUMBER = /^[-+.,\d\s]{1,20}(e[-+]?\d{1,3})?\s?[a-z%\xb0/]{0,8}$/i;
/** A number with its unit, which may be followed by a word (`8.0 GT/s PCIe`). */
const WITH_UNIT =
  /^([-+.\d]+(?:e[-+]?\d+)?)\s?([a-zA-Z%\xb0\xb5\u03bc][a-zA-Z/\xb0]{0,7})(?: [a-zA-Z]{1,8})?$/;

/** What a unit is in the one that a name ends with, before `_total`. */
const UNITS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  bytes: {
    B: 1,
    kB: 1024,
    KB: 1024,
    KiB: 1024,
    MB: 1024 ** 2,
    MiB: 1024 ** 2,
    GB: 1024 ** 3,
    GiB: 1024 ** 3,
  },
  celsius: { C: 1, "\xb0C": 1, mC: 0.001 },
  volts: { V: 1, mV: 0.001, uV: 1e-6 },
  amperes: { A: 1, mA: 0.001, uA: 1e-6 },
  watts: { W: 1, mW: 0.001, uW: 1e-6 },
  hertz: { Hz: 1, kHz: 1000, KHz: 1000, MHz: 1e6, GHz: 1e9 },
  seconds: { s: 1, ms: 0.001, us: 1e-6, ns: 1e-9 },
  ratio: { "%": 0.01 },
  percent: { "%": 1 },
  rpm: { rpm: 1, RPM: 1 },
};

/**
 * Parses the number in a file and scales it.
 *
 * @param name Name of the reading, which may end with a unit.
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
export function parseNumber(text: string, scale: number, path: string, name = ""): number {
  const trimmed = text.trim();
  if (trimmed === "") {
    throw fileError(path, "the file is empty", "wait for a first value there");
  }
  const [, digits = trimmed, unit] = WITH_UNIT.exec(trimmed) ?? [];
  const number = parseDecimal(digits);
  const factor = number === undefined ? 1 : factorOf(unit, name, path) * scale;
  const value = number === undefined ? NaN : number * factor;
  if (!Number.isFinite(value)) {
    throw fileError(
      path,
      `must hold one number: it holds ${shown(trimmed)}`,
      `look at it: cat ${path}`,
    );
  }
  return factor === 1 ? value : Number(value.toPrecision(15));
}

function factorOf(unit: string | undefined, name: string, path: string): number {
  const [wanted] = /[a-z]+$/.exec(name.replace(/_total$/, "")) ?? [""];
  const units = UNITS[wanted!];
  if (unit === undefined || units === undefined) return 1;
  const factor = units[unit];
  if (factor !== undefined) return factor;
  throw fileError(
    path,
    `must be in ${wanted}, as the name "${name}" says: its unit is "${unit}"`,
    "give it the name of its unit, as in flow_bytes, or one without a unit",
  );
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
  const real = realPath(path, host);
  const found = globFolder(path) === undefined ? real : await onlyMatch(real, path);
  return [{ name, value: parseNumber(await readSmallFile(found), scale, path, name) }];
}

/** The one file that a path with `*` or `?` stands for. @param shown The path as it was given. */
async function onlyMatch(path: string, shown: string): Promise<string> {
  const [first, ...steps] = path.split("/");
  let found = [first!];
  try {
    for (const step of steps) {
      if (!/[*?]/.test(step)) found = found.map((folder) => `${folder}/${step}`);
      else found = (await Promise.all(found.map((folder) => matches(folder, step)))).flat();
    }
  } catch (error) {
    if (isRightsError(error)) throw rightsError(globFolder(path)!, error);
    throw error;
  }
  // What has no such file in it is no match: /sys/class/hwmon/hwmon*/fan1_input.
  const files = [];
  for (const file of found) if (await isThere(file)) files.push(file);
  if (files.length === 1) return files[0]!;
  const names = files.slice(0, 3).map((file) => file.slice(path.length - shown.length));
  throw fileError(
    shown,
    files.length === 0
      ? "no file matches"
      : `must match one file: it matches ${files.length} (${names.join(", ")}${
        files.length > 3 ? ", …" : ""
      })`,
    `look for it: ls -ld ${shown}`,
  );
}

async function matches(folder: string, pattern: string): Promise<string[]> {
  const wanted = new RegExp(`^${globSource(pattern)}$`);
  try {
    const names = await Array.fromAsync(Deno.readDir(folder === "" ? "/" : folder));
    return names.filter(({ name }) => wanted.test(name) && (name[0] !== "." || pattern[0] === "."))
      .map(({ name }) => `${folder}/${name}`).sort();
  } catch (error) {
    if (isRightsError(error)) throw error;
    return [];
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (isRightsError(error)) throw rightsError(path, error);
    return false;
  }
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
