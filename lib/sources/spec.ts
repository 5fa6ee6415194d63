/**
 * The words of the `source` setting: `system`, `clock`, `self`, `stdin`, `file:NAME=PATH[*SCALE]`, `disk:NAME=PATH`, each but
 * `stdin` with `@INTERVAL` after it if it is not read at the setting `interval`.
 *
 * Pure: what a word means, what is wrong with it, and what it takes to read it.
 */

import { nearest } from "../core/text.ts";
import { LOCALTIME } from "./zone.ts";
import { ROOT_DISK_FILES } from "./disk.ts";
import { HOST_VIEW, kernelPath, PROC_FILES, ROOT_VIEW, SYS_FOLDERS } from "./host.ts";
import { GROUP_FILES } from "./meminfo.ts";

/** One entry of the `source` setting. */
export type Spec =
  | (Timed & { readonly kind: "system" | "clock" | "self" | "stdin" | "none" })
  | (Timed & FileSpec)
  | (Timed & DiskSpec);

interface Timed {
  /** Its own interval in ms, if it has one. */
  readonly intervalMs?: number;
}

/** A number in a file. */
export interface FileSpec {
  readonly kind: "file";
  /** Name of the reading. */
  readonly name: string;
  /** Path of the file, absolute or from the current folder; `*` and `?` stand for a part of a name. */
  readonly path: string;
  /** What the number is multiplied by. @default {1} */
  readonly scale: number;
}

/** A file system. */
export interface DiskSpec {
  readonly kind: "disk";
  /** What its readings are called: `disk_NAME_used_bytes`. */
  readonly name: string;
  /** A path on it. */
  readonly path: string;
}

const PLAIN = ["system", "clock", "self", "stdin", "none"] as const;
const FORMS = "system, clock, self, stdin, none, file:NAME=PATH or disk:NAME=PATH";
const FILE_FORM = "file:NAME=PATH or file:NAME=PATH*SCALE";
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** What begins like a scale and is none is not taken for a part of a path. */
const NEARLY_SCALE = /^$|^[-+.]?\d|^[-+]?(nan|inf)/i;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Parses a number as a person or a driver writes it; undefined unless it is decimal and finite. */
export function parseDecimal(text: string): number | undefined {
  const value = DECIMAL.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : undefined;
}

/**
 * Parses one entry of the `source` setting.
 *
 * PATH may hold `=`, `:`, `@` and `*`; a number after the last `*` is the scale, a duration after the last `@` the interval.
 *
 * @returns The entry, or what is wrong with it as the end of a sentence.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseSpec } from "./spec.ts";
 *
 * assertEquals(parseSpec("file:t_celsius=/sys/bus/iio/devices/iio:device0/in_temp_input*0.001@1s"), {
 *   kind: "file",
 *   name: "t_celsius",
 *   path: "/sys/bus/iio/devices/iio:device0/in_temp_input",
 *   scale: 0.001,
 *   intervalMs: 1000,
 * });
 * assertEquals(
 *   parseSpec("sytem"),
 *   'must be system, clock, self, stdin, none, file:NAME=PATH or disk:NAME=PATH: did you mean "system"?',
 * );
 * ```
 */
export function parseSpec(text: string): Spec | string {
  const [, word, number, unit] = /^(.*)@(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/s.exec(text) ?? [, text];
  const spec = parseWord(word!);
  if (number === undefined || typeof spec === "string") return spec;
  if (spec.kind === "none") return "must be none without an interval";
  if (spec.kind === "stdin") return "must be stdin without an interval: each line is one message";
  const intervalMs = Math.round(Number(number) * UNIT_MS[unit!]!);
  return intervalMs >= 100 && intervalMs <= 24 * UNIT_MS.h!
    ? { ...spec, intervalMs }
    : `must have an interval from 100ms to 24h: current interval is "${number}${unit}"`;
}

function parseWord(text: string): Spec | string {
  for (const kind of PLAIN) if (text === kind) return { kind };
  const [, kind] = /^(file|disk):/.exec(text) ?? [];
  if (kind === undefined) return unknownSource(text);
  const form = kind === "file" ? FILE_FORM : "disk:NAME=PATH";
  const rest = text.slice("file:".length);
  const equals = rest.indexOf("=");
  if (equals === -1) return `must be ${form}: "=" is missing`;
  const name = rest.slice(0, equals);
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
    return `must be ${form}: NAME must be letters, digits and _, and not start with a digit: ` +
      `current NAME is "${name}"`;
  }
  const value = rest.slice(equals + 1);
  const star = kind === "file" ? value.lastIndexOf("*") : -1;
  const after = value.slice(star + 1);
  const scale = star === -1 ? undefined : parseDecimal(after);
  if (star !== -1 && scale === undefined && NEARLY_SCALE.test(after)) {
    return `must be ${form}: SCALE must be a finite number such as 0.001: ` +
      `current SCALE is "${after}"`;
  }
  const path = scale === undefined ? value : value.slice(0, star);
  const problem = pathProblem(path, kind === "file");
  if (problem !== undefined) return `must be ${form}: PATH ${problem}`;
  return kind === "file" ? { kind, name, path, scale: scale ?? 1 } : { kind: "disk", name, path };
}

function pathProblem(path: string, mayBeGlob: boolean): string | undefined {
  if (path === "") return "is empty";
  if (path.includes("\0")) return "must not hold NUL";
  if (!mayBeGlob) return undefined;
  const folder = globFolder(path);
  return folder === "/" || folder === "/proc"
    ? `must name the folder that it looks in: "${folder}" would be all that there is`
    : undefined;
}

/** The folder in which a path with `*` or `?` begins to be looked for; undefined for one without. */
export function globFolder(path: string): string | undefined {
  const steps = path.split("/");
  const first = steps.findIndex((step) => /[*?]/.test(step));
  return first === -1
    ? undefined
    : steps.slice(0, first).join("/") || (path[0] === "/" ? "/" : ".");
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
    const key = "name" in spec ? `${spec.kind}:${spec.name}` : spec.kind;
    if (seen.has(key)) {
      return "name" in spec
        ? `must not give the name "${spec.name}" to two ${spec.kind}s`
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
      for (const path of [ROOT_VIEW, ...ROOT_DISK_FILES]) paths.add(path);
      for (const path of KERNEL_PATHS) paths.add(`${HOST_VIEW}${path}`);
    } else if (spec.kind === "clock") paths.add(LOCALTIME);
    else if (spec.kind === "file" || spec.kind === "disk") {
      const path = spec.kind === "file" ? globFolder(spec.path) ?? spec.path : spec.path;
      const guarded = kernelPath(path);
      paths.add(guarded === undefined ? path : `${HOST_VIEW}${guarded}`);
    }
  }
  return [...paths];
}

const KERNEL_PATHS = [...PROC_FILES, ...GROUP_FILES, ...SYS_FOLDERS];

/** Kinds of `--allow-sys` that a process with scoped permissions must be given for these sources. */
export function sourceSysKinds(specs: readonly string[]): string[] {
  const kinds = new Set(specs.map((text) => {
    const spec = parseSpec(text);
    return typeof spec === "string" ? undefined : spec.kind;
  }));
  return [
    ...kinds.has("system") ? ["loadavg", "systemMemoryInfo", "osUptime"] : [],
    ...kinds.has("system") || kinds.has("disk") ? ["statfs"] : [],
  ];
}

function unknownSource(text: string): string {
  const rule = `must be ${FORMS}`;
  const head = text.toLowerCase().split(/[:=@]/)[0]!.slice(0, 20);
  const near = nearest(head, [...PLAIN, "file", "disk"]);
  if (near === undefined) return rule;
  const form = near === "file" || near === "disk" ? `${near}:NAME=PATH` : near;
  return `${rule}: did you mean "${form}"?`;
}
