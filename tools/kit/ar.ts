/** The archive format `ar`, as Debian packages have it: a list of files, each behind a header of 60 bytes of text. */

import { messageOf } from "../../lib/core/errors.ts";

/** A file in it. */
export interface Member {
  /** At most 16 bytes. */
  readonly name: string;
  /** What is in it, or the file that holds it. */
  readonly content: Uint8Array | { readonly file: string };
}

/**
 * Writes an archive; the same members give the same bytes.
 *
 * @param path Where to; what is there is replaced.
 * @param timeS Seconds since 1970 that every member bears.
 * @throws {Error} If it cannot be written; then nothing is left there.
 */
export async function writeAr(
  path: string,
  members: readonly Member[],
  timeS: number,
): Promise<void> {
  try {
    using out = await Deno.open(path, { write: true, create: true, truncate: true });
    const write = async (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length;) at += await out.write(bytes.subarray(at));
    };
    await write(new TextEncoder().encode("!<arch>\n"));
    for (const { name, content } of members) {
      const size = content instanceof Uint8Array
        ? content.length
        : (await Deno.stat(content.file)).size;
      await write(new TextEncoder().encode(headerOf(name, size, timeS)));
      if (content instanceof Uint8Array) await write(content);
      else for await (const chunk of (await Deno.open(content.file)).readable) await write(chunk);
      if (size % 2 === 1) await write(new TextEncoder().encode("\n"));
    }
  } catch (cause) {
    await Deno.remove(path).catch(() => {});
    throw new Error(`Cannot write "${path}": ${messageOf(cause)}`, { cause });
  }
}

/** Name, time, owner, group, mode and size in columns; a member begins at an even place. */
function headerOf(name: string, size: number, timeS: number): string {
  if (name.length > 16) throw new RangeError(`Cannot pack "${name}": a name has at most 16 bytes`);
  const columns = [[name, 16], [timeS, 12], [0, 6], [0, 6], ["100644", 8], [size, 10]] as const;
  return `${columns.map(([value, width]) => String(value).padEnd(width)).join("")}\`\n`;
}
