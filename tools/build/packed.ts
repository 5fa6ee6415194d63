/**
 * The self-extracting executable: a POSIX sh header, then the bundle and Deno, each compressed. header.sh has what happens
 * at a start; this file fills in its gaps. The same input gives the same bytes.
 */

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { BUNDLE_FLAGS } from "./fresh.ts";
import { passedNames } from "../shared/environment.ts";
import { MALLOC, V8_FLAGS } from "./v8_flags.ts";
import { sha256 } from "./npm_deno.ts";
import { grantFlags } from "../../lib/settings/grants.ts";
import type { Grants } from "../../lib/core/build.ts";
import { DENO_VERSION, type Target } from "./targets.ts";

/** Where install.sh unpacks the runtime for all users. */
export const SYSTEM_DIR = "/usr/local/lib/mqtt443";

/** What goes into it. */
export interface PackedOptions {
  readonly target: Pick<Target, "machine">;
  /** Of the program. */
  readonly version: string;
  readonly code: string;
  /** Executable of Deno. */
  readonly deno: Uint8Array;
  readonly grants: Grants;
  /** Where install.sh unpacks the runtime for all users. @default SYSTEM_DIR */
  readonly systemDir?: string;
}

/**
 * What Deno runs a bundle with besides the grants: nothing is looked for around it, and nothing fetched.
 */
export const RUN_FLAGS: readonly string[] = [
  ...BUNDLE_FLAGS,
  ...["--cached-only", "--deny-import"],
  V8_FLAGS,
];

/** Makes it. */
export async function packed(options: PackedOptions): Promise<Uint8Array> {
  const js = new TextEncoder().encode(options.code);
  const [packedJs, packedDeno] = await Promise.all([packedBytes(js), packedBytes(options.deno)]);
  const sums = { js: sha256(js), deno: sha256(options.deno) };
  const digest = sha256(new TextEncoder().encode(`${sums.js} ${sums.deno}`)).slice(0, 16);
  const template = await Deno.readTextFile(new URL("header.sh", import.meta.url));
  const header = settled((length) =>
    filled(template, {
      VERSION: options.version,
      DENO: DENO_VERSION,
      MACHINE: options.target.machine,
      ID: `mqtt443-${options.version}-${digest}`,
      // tail counts from 1.
      JS_START: length + 1,
      JS_PACKED: packedJs.length,
      JS_BYTES: js.length,
      JS_SUM: sums.js,
      DENO_START: length + packedJs.length + 1,
      DENO_BYTES: options.deno.length,
      DENO_SUM: sums.deno,
      ALL_BYTES: length + packedJs.length + packedDeno.length,
      PASSED: passedNames(options.grants.env).join(" | "),
      MALLOC: Object.entries(MALLOC).map(([name, value]) => `${name}=${value}`).join(" "),
      SYSTEM_DIR: options.systemDir ?? SYSTEM_DIR,
      FLAGS: [...RUN_FLAGS, ...grantFlags(options.grants)].map(quoted).join(" "),
    })
  );
  return concatenated([header, packedJs, packedDeno]);
}

/**
 * The first lines of an executable alone, for a package that lays out the runtime itself: they unpack nothing.
 *
 * @param head The executable's first bytes, the header among them.
 * @param systemDir Where the package lays it out.
 */
export function launcherOf(head: Uint8Array, systemDir: string): string {
  const start = /^js_start=(\d+) /m.exec(new TextDecoder("latin1").decode(head))?.[1];
  if (start === undefined || Number(start) > head.length) {
    throw new Error("Cannot make a launcher: this is no executable that unpacks itself");
  }
  return new TextDecoder().decode(head.subarray(0, Number(start) - 1))
    .replace(/^all_bytes=\d+$/m, "all_bytes=0")
    .replace(`base1='${SYSTEM_DIR}'`, `base1='${systemDir}'`);
}

/** A text for sh, as it is. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** gzip without name and time. */
function packedBytes(bytes: Uint8Array): Promise<Uint8Array> {
  return promisify(gzip)(bytes, { level: 9 });
}

/** A text that tells its own length. */
function settled(make: (length: number) => string): Uint8Array {
  let bytes = new TextEncoder().encode(make(0));
  // A digit more may make it longer, once or twice.
  for (let tries = 0; tries < 9; tries++) {
    const next = new TextEncoder().encode(make(bytes.length));
    if (next.length === bytes.length) return next;
    bytes = next;
  }
  throw new Error("The header has no length of its own");
}

function filled(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replace(/@([A-Z_]+)@/g, (gap, name) => String(values[name] ?? gap));
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
