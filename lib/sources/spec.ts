/**
 * The words of the `source` setting: `system`, `clock`, `stdin`, `none`, `file:NAME=PATH[*SCALE]`.
 *
 * Pure: what a word means, what is wrong with it, and what it takes to read it.
 */

import { nearest } from "../core/text.ts";
import { ROOT_DISK_FILE } from "./disk.ts";
import { HOST_VIEW, kernelPath, PROC_FILES } from "./host.ts";

/** One entry of the `source` setting. */
export type Spec =
  | { readonly kind: "system" | "clock" | "stdin" | "none" }
  | FileSpec;

/** A number in a file. */
export interface FileSpec {
  readonly kind: "file";
  /** Name of the reading. */
  readonly name: string;
  /** Path of the file, absolute or from the current folder. */
  readonly path: string;
  /** What the number is multiplied by. @default {1} */
  readonly scale: number;
}

const PLAIN = ["system", "clock", "stdin", "none"] as const;
const FILE_FORM = "file:NAME=PATH or file:NAME=PATH*SCALE";
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Parses a number as a person or a driver writes it; undefined unless it is decimal and finite. */
export function parseDecimal(text: string): number | undefined {
  const value = DECIMAL.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : undefined;
}

/**
 * Parses one entry of the `source` setting.
 *
 * PATH may hold `=`, `:` and `*`; what follows the last `*` is the scale.
 *
 * @returns The entry, or what is wrong with it as the end of a sentence.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseSpec } from "./spec.ts";
 *
 * assertEquals(parseSpec("file:temperature_celsius=/sys/bus/iio/devices/iio:device0/in_temp_input*0.001"), {
 *   kind: "file",
 *   name: "temperature_celsius",
 *   path: "/sys/bus/iio/devices/iio:device0/in_temp_input",
 *   scale: 0.001,
 * });
 * assertEquals(parseSpec("sytem"), 'must be system, clock, stdin, none or file:NAME=PATH: did you mean "system"?');
 * ```
 */
export function parseSpec(text: string): Spec | string {
  for (const kind of PLAIN) if (text === kind) return { kind };
  if (!text.startsWith("file:")) return unknownSource(text);
  const rest = text.slice("file:".length);
  const equals = rest.indexOf("=");
  if (equals === -1) return `must be ${FILE_FORM}: "=" is missing`;
  const name = rest.slice(0, equals);
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
    return `must be ${FILE_FORM}: NAME must be letters, digits and _, and not start with a digit: ` +
      `current NAME is "${name}"`;
  }
  const star = rest.lastIndexOf("*");
  const path = rest.slice(equals + 1, star > equals ? star : undefined);
  if (path === "") return `must be ${FILE_FORM}: PATH is empty`;
  if (path.includes("\0")) {
    return `must be ${FILE_FORM}: PATH must not hold NUL`;
  }
  if (star <= equals) return { kind: "file", name, path, scale: 1 };
  const scale = parseDecimal(rest.slice(star + 1));
  if (scale === undefined) {
    return `must be ${FILE_FORM}: SCALE must be a finite number such as 0.001: ` +
      `current SCALE is "${rest.slice(star + 1)}"`;
  }
  return { kind: "file", name, path, scale };
}

/** What is wrong with one entry of the `source` setting, as the end of a sentence, or undefined. */
export function sourceProblem(spec: string): string | undefined {
  const parsed = parseSpec(spec);
  return typeof parsed === "string" ? parsed : undefined;
}

/**
 * What is wrong with a list of sources whose entries are right one by one, as the end of a sentence, or
 * undefined. `stdin` stands alone, no source comes twice, no two files give one name.
 */
export function sourcesProblem(specs: readonly string[]): string | undefined {
  if (specs.length === 0) return "must name at least one source";
  const seen = new Set<string>();
  for (const text of specs) {
    const spec = parseSpec(text);
    if (typeof spec === "string") continue;
    if (spec.kind === "stdin" && specs.some((other) => other !== "stdin")) {
      return "must be stdin alone: each line is one message, other sources have an interval";
    }
    if (spec.kind === "none" && specs.length > 1) return "must be none alone";
    const key = spec.kind === "file" ? `file:${spec.name}` : spec.kind;
    if (seen.has(key)) {
      return spec.kind === "file"
        ? `must not give the name "${spec.name}" to two files`
        : `must not hold "${key}" twice`;
    }
    seen.add(key);
  }
  return undefined;
}

/**
 * Files and folders that a process with scoped permissions must be allowed to read for these sources.
 *
 * What lies below /proc and /sys is named below {@linkcode HOST_VIEW}: no grant lets such a process read it in its
 * own place. A grant for a folder reaches through the symlinks in it, as Deno looks at the path it is asked for.
 */
export function sourcePaths(specs: readonly string[]): string[] {
  const paths = new Set<string>();
  for (const text of specs) {
    const spec = parseSpec(text);
    if (typeof spec === "string") continue;
    if (spec.kind === "system") {
      paths.add(ROOT_DISK_FILE);
      for (const path of KERNEL_PATHS) paths.add(`${HOST_VIEW}${path}`);
    } else if (spec.kind === "file") {
      const guarded = kernelPath(spec.path);
      paths.add(guarded === undefined ? spec.path : `${HOST_VIEW}${guarded}`);
    }
  }
  return [...paths];
}

const KERNEL_PATHS = [
  ...PROC_FILES,
  "/sys/class/thermal",
  "/sys/class/hwmon",
];

/** Kinds of `--allow-sys` that a process with scoped permissions must be given for these sources. */
export function sourceSysKinds(specs: readonly string[]): string[] {
  return specs.includes("system") ? ["loadavg", "systemMemoryInfo", "osUptime", "statfs"] : [];
}

function unknownSource(text: string): string {
  const rule = "must be system, clock, stdin, none or file:NAME=PATH";
  const head = text.toLowerCase().split(/[:=]/)[0]!.slice(0, 20);
  const near = nearest(head, [...PLAIN, "file"]);
  if (near === undefined) return rule;
  return `${rule}: did you mean "${near === "file" ? "file:NAME=PATH" : near}"?`;
}
