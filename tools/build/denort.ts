/**
 * denort, the runtime that `deno compile` puts a program into, looked for as Deno does: `DENORT_BIN`, Deno's cache, a
 * download by Deno itself. What is found must be a whole ELF file for the target; that it is denort shows when what is
 * made of it is tried (trial.ts), since Deno takes any file for it.
 */

import { crc32, inflateRawSync } from "node:zlib";
import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";
import { assertElf, DENO_VERSION, machineOf, type Target, TARGETS } from "./targets.ts";

/** How long the server with denort may take to answer at all, in ms. */
const KNOCK_MS = 5000;

/** denort, and the file it was found in. */
export interface DenortFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** denort, or `download`: Deno has to fetch it. */
export type Denort = DenortFile | "download";

/**
 * Reads denort from a file, or from the zip it comes in.
 *
 * @throws {UserError} If there is none in it.
 */
export async function readDenort(
  path: string,
  hint = `fetch denort-<target>.zip of Deno ${DENO_VERSION} again, and name it as it came`,
): Promise<DenortFile> {
  const what = `denort ${quote(path)}`;
  try {
    const bytes = await Deno.readFile(path);
    if (machineOf(bytes) !== undefined) return { path, bytes };
    if (bytes[0] === 0x50 && bytes[1] === 0x4b) return { path, bytes: unzipped(bytes, "denort") };
    throw new Error("it is neither an ELF file nor a zip");
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound ? "file not found" : messageOf(cause);
    throw new UserError(`Cannot use ${what}: ${why}`, {
      code: "tool-failed",
      hint,
      exitCode: EXIT.config,
      cause,
    });
  }
}

/** The target that a denort is for; undefined where it is for none that is built. */
export function targetOf({ bytes }: DenortFile): Target | undefined {
  const machine = machineOf(bytes);
  return TARGETS.find(({ elfMachine }) => elfMachine === machine);
}

/** Where to look. */
export interface DenortSearch {
  /** Files that were named by `--denort`. */
  readonly named: readonly DenortFile[];
  /** `DENORT_BIN`. */
  readonly variable: string | undefined;
  readonly denoDir: string;
  readonly knockMs?: number;
}

/**
 * Finds denort for a target.
 *
 * @throws {UserError} If what is named or cached is unusable; or, with `unavailable`, nothing is there and the download
 * cannot be reached.
 */
export async function findDenort(target: Target, search: DenortSearch): Promise<Denort> {
  const { named, variable, denoDir, knockMs = KNOCK_MS } = search;
  const fitting = named.find((denort) => targetOf(denort) === target) ?? named[0] ??
    (variable ? await readDenort(variable) : undefined);
  if (fitting !== undefined) {
    assertElf(fitting.bytes, target, `denort ${quote(fitting.path)}`);
    return fitting;
  }
  const file = `release/v${DENO_VERSION}/denort-${target.name}.zip`;
  const cached = `${denoDir}/dl/${file}`;
  if (await Deno.stat(cached).then(() => true, () => false)) {
    const denort = await readDenort(cached, "remove it: Deno then fetches it again");
    assertElf(denort.bytes, target, `denort ${quote(cached)}`);
    return denort;
  }
  // Where packets are swallowed, Deno would try for minutes.
  const url = `https://dl.deno.land/${file}`;
  try {
    const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(knockMs) });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
  } catch (cause) {
    const deepest = cause instanceof Error ? cause.cause ?? cause : cause;
    throw new UserError(`Cannot download ${url}: ${shortReason(deepest)}`, {
      code: "tool-failed",
      hint: "pass --denort FILE with denort from another machine, or --runtime npm",
      exitCode: EXIT.unavailable,
      cause,
    });
  }
  return "download";
}

/** Without the address, which the sentence has. */
function shortReason(cause: unknown): string {
  return messageOf(cause).replace(
    /^error sending request for url \([^)]*\): (client error \(Connect\): )?/,
    "",
  );
}

/**
 * One file of a zip, by its last name.
 *
 * @throws {Error} If the zip is cut or damaged, or has no such file.
 */
export function unzipped(zip: Uint8Array, name: string): Uint8Array {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  const cut = "the zip is cut or damaged";
  // The directory's end is 22 bytes, and up to 64 KiB of comment after them.
  let end = zip.length - 22;
  while (end >= Math.max(0, zip.length - 65_557) && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw new Error(cut);
  try {
    let at = view.getUint32(end + 16, true);
    for (let left = view.getUint16(end + 10, true); left > 0; left--) {
      const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) =>
        view.getUint16(at + field, true)
      ) as [number, number, number];
      const path = new TextDecoder().decode(zip.subarray(at + 46, at + 46 + nameBytes));
      if (path.split("/").at(-1) === name) return unpacked(zip, view, at);
      at += 46 + nameBytes + extraBytes + commentBytes;
    }
  } catch (cause) {
    throw new Error(cut, { cause });
  }
  throw new Error(`the zip has no file ${quote(name)}`);
}

function unpacked(zip: Uint8Array, view: DataView, entry: number): Uint8Array {
  const [crc, packedBytes, bytes] = [16, 20, 24].map((field) =>
    view.getUint32(entry + field, true)
  ) as [number, number, number];
  const local = view.getUint32(entry + 42, true);
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const packed = zip.subarray(start, start + packedBytes);
  const isStored = view.getUint16(entry + 10, true) === 0;
  const out = isStored
    ? packed
    : new Uint8Array(inflateRawSync(packed, { maxOutputLength: bytes }));
  if (out.length !== bytes || crc32(out) !== crc) throw new Error("wrong checksum");
  return out;
}
