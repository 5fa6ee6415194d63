/**
 * A tar.gz that is the same byte for byte whoever makes it, wherever and whenever: sorted, one time for all, owned by
 * root, modes 0644 and 0755. In ustar alone, which GNU tar and BusyBox read.
 */

import { basename, dirname, join } from "node:path";
import { createGzip } from "node:zlib";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createTarPacker, type TarHeader } from "modern-tar";
import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";

/** What is in an archive, below its top folder. */
export type Entry =
  & { readonly path: string }
  & (
    | { readonly content: string | Uint8Array; readonly isExecutable?: boolean }
    | { readonly file: string; readonly isExecutable?: boolean }
    | { readonly link: string }
  );

/** ustar's fields: a name, and a folder before it. */
const MAX_NAME_BYTES = 100;
const MAX_FOLDER_BYTES = 155;

/**
 * Writes an archive: whole, or not at all.
 *
 * @param path Where to; the folder must be there.
 * @param entries Files and links; folders come along by themselves.
 * @param timeS Seconds since 1970 that every entry bears.
 * @returns Size in bytes.
 * @throws {UserError} If it cannot be written.
 * @throws {RangeError} If a path has no place in ustar.
 */
export async function writeArchive(
  path: string,
  entries: readonly Entry[],
  timeS: number,
): Promise<number> {
  const unfinished = join(dirname(path), `.${basename(path)}.${Deno.pid}`);
  try {
    const { readable, controller } = createTarPacker();
    const file = await Deno.open(unfinished, { write: true, create: true, truncate: true });
    const writing = pipeline(
      Readable.fromWeb(readable as Parameters<typeof Readable.fromWeb>[0]),
      createGzip({ level: 9 }),
      Writable.fromWeb(file.writable),
    );
    const adding = (async () => {
      try {
        for (const entry of withFolders(entries)) await add(controller, entry, timeS);
        controller.finalize();
      } catch (error) {
        controller.error(error);
      }
    })();
    await Promise.all([writing, adding]);
    const { size } = await Deno.stat(unfinished);
    await Deno.rename(unfinished, path);
    return size;
  } catch (error) {
    await Deno.remove(unfinished).catch(() => {});
    if (error instanceof RangeError) throw error;
    throw new UserError(`Cannot write ${quote(path)}: ${messageOf(error)}`, {
      code: "tool-failed",
      hint: "free some space (`df -h`), or name another folder with --out DIR",
      exitCode: EXIT.cannotCreate,
      cause: error,
    });
  }
}

type Packed = Entry | { readonly path: string; readonly isFolder: true };

/** The entries in order of their bytes, each folder before what is in it. Pure. */
function withFolders(entries: readonly Entry[]): Packed[] {
  const folders = new Set<string>();
  for (const { path } of entries) {
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) folders.add(folder);
  }
  return [
    ...entries,
    ...[...folders].map((path) => ({ path, isFolder: true } as const)),
  ].sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function add(
  controller: ReturnType<typeof createTarPacker>["controller"],
  entry: Packed,
  timeS: number,
): Promise<void> {
  checkPath(entry.path);
  const header: TarHeader = {
    name: entry.path,
    size: 0,
    mode: 0o755,
    uid: 0,
    gid: 0,
    uname: "root",
    gname: "root",
    mtime: new Date(timeS * 1000),
  };
  if ("isFolder" in entry) {
    await controller.add({ ...header, name: `${entry.path}/`, type: "directory" }).close();
  } else if ("link" in entry) {
    const { link: linkname } = entry;
    await controller.add({ ...header, mode: 0o777, type: "symlink", linkname }).close();
  } else {
    const mode = entry.isExecutable === true ? 0o755 : 0o644;
    const { size, stream } = await open(entry);
    await stream.pipeTo(controller.add({ ...header, mode, type: "file", size }));
  }
}

/** What is in a file of the archive. */
async function open(
  entry: Exclude<Entry, { link: string }>,
): Promise<{ size: number; stream: ReadableStream<Uint8Array> }> {
  if ("file" in entry) {
    const file = await Deno.open(entry.file);
    return { size: (await file.stat()).size, stream: file.readable };
  }
  const bytes = bytesOf(entry.content);
  return { size: bytes.length, stream: ReadableStream.from([bytes]) };
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

function checkPath(path: string): void {
  const bytes = (text: string) => bytesOf(text).length;
  // Where the folder is cut is the packer's choice: any place that leaves both parts short enough.
  const isShort = bytes(path) <= MAX_NAME_BYTES ||
    path.split("/").some((_, index, parts) =>
      index > 0 && bytes(parts.slice(0, index).join("/")) <= MAX_FOLDER_BYTES &&
      bytes(parts.slice(index).join("/")) <= MAX_NAME_BYTES
    );
  if (!isShort) {
    throw new RangeError(
      `Cannot pack "${path}": a path must have at most ${MAX_NAME_BYTES} bytes, or a folder of at most ` +
        `${MAX_FOLDER_BYTES} before them`,
    );
  }
}
