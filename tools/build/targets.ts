/** What executables are built for, and the official Deno that goes into them where there is no denort. */

import { didYouMean, quote } from "../../lib/core/text.ts";
import { EXIT, UserError } from "../../lib/core/errors.ts";

/** Version of Deno that executables carry: that of the npm packages below. */
export const DENO_VERSION = "2.9.6";

/** A kind of machine. */
export interface Target {
  /** As Deno calls it. */
  readonly name: "x86_64-unknown-linux-gnu" | "aarch64-unknown-linux-gnu";
  /** As file names call it. */
  readonly arch: "x86_64" | "arm64";
  /** As `uname -m` calls it. */
  readonly machine: "x86_64" | "aarch64";
  /** `e_machine` of its ELF files. */
  readonly elfMachine: number;
  /** Package of npm with the official Deno. */
  readonly package: string;
  /** Of the package as the registry serves it. */
  readonly integrity: string;
  /** Of the file `deno` in it. */
  readonly denoSha256: string;
}

/** All of them, in the order in which they are built. */
export const TARGETS: readonly Target[] = [
  {
    name: "x86_64-unknown-linux-gnu",
    arch: "x86_64",
    machine: "x86_64",
    elfMachine: 62,
    package: "@deno/linux-x64-glibc",
    integrity:
      "sha512-3md4TKLCuzsLDmfOoC5KN7NAZaxSVkMgm64vg6foD00JBADCpYS2/5QqXfzgnP5ZQz3iLP9vBQJtEgc116OAoQ==",
    denoSha256: "bceb5b6a6239b0b010418406d8c77a508f67cf4337d94288f1c19fe71304aab0",
  },
  {
    name: "aarch64-unknown-linux-gnu",
    arch: "arm64",
    machine: "aarch64",
    elfMachine: 183,
    package: "@deno/linux-arm64-glibc",
    integrity:
      "sha512-poqhoH9B3nYloigEMPT5t8HY+wBeiuea1An5Q7fqgJzP0SYmWsoS/oUnWO/pEiA4ofzIBy1Elt/in58xKtxEoQ==",
    denoSha256: "d08d392418df53f4e6e88a08909c0e1bccbf9adcead7232df72b6ad6075ec416",
  },
];

/**
 * The targets of these names, in the order of {@linkcode TARGETS}, each once.
 *
 * @throws {UserError} If one is unknown.
 */
export function targetsOf(names: readonly string[]): Target[] {
  const known = TARGETS.map(({ name }) => name);
  for (const name of names) {
    if ((known as string[]).includes(name)) continue;
    const hasNone = /armv[67]|^arm-|musl|windows|darwin|freebsd/.exec(name)?.[0];
    throw new UserError(
      hasNone === undefined
        ? `Unknown target ${quote(name)}${didYouMean(name, known)}`
        : `Cannot build for ${quote(name)}: ${
          /arm|musl/.test(hasNone)
            ? "Deno exists neither for 32-bit ARM nor for musl"
            : "this program is for Linux"
        }`,
      { code: "tool-failed", hint: `targets: ${known.join(", ")}`, exitCode: EXIT.usage },
    );
  }
  return TARGETS.filter(({ name }) => names.includes(name));
}

/**
 * Checks that a file is a whole executable for a target.
 *
 * @param bytes All of it.
 * @param what What it is, for the error: `denort "FILE"`.
 * @throws {UserError} If it is anything else.
 */
export function assertElf(bytes: Uint8Array, target: Target, what: string): void {
  const found = machineOf(bytes);
  if (found === target.elfMachine) {
    if (elfBytes(bytes) <= bytes.length) return;
    throw new UserError(`Cannot use ${what} for ${target.name}: it is cut`, {
      code: "tool-failed",
      hint: `it must have ${elfBytes(bytes)} bytes at least: fetch it again`,
      exitCode: EXIT.config,
    });
  }
  const why = found === undefined
    ? "it is no 64-bit ELF file"
    : `it is for ${
      TARGETS.find(({ elfMachine }) => elfMachine === found)?.machine ?? `ELF machine ${found}`
    }`;
  throw new UserError(`Cannot use ${what} for ${target.name}: ${why}`, {
    code: "tool-failed",
    hint: found === undefined
      ? `name denort of Deno ${DENO_VERSION} itself, or the zip it comes in`
      : `pass --target for that machine alone, or --denort with denort for ${target.machine} as well`,
    exitCode: EXIT.config,
  });
}

/** How long a 64-bit little-endian ELF file is at least: its section headers come last. */
function elfBytes(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [start, size, count] = [
    Number(view.getBigUint64(40, true)),
    view.getUint16(58, true),
    view.getUint16(60, true),
  ];
  return start + size * count;
}

/** `e_machine` of a 64-bit little-endian ELF file; undefined for anything else. */
export function machineOf(bytes: Uint8Array): number | undefined {
  const isElf = bytes.length >= 64 && String.fromCharCode(...bytes.subarray(0, 4)) === "\x7fELF" &&
    bytes[4] === 2 && bytes[5] === 1;
  return isElf ? bytes[18]! | bytes[19]! << 8 : undefined;
}
