/** Puts what was built into its folder: all of it, or nothing. */

import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";
import { inWorkFolder } from "../shared/temp_folder.ts";

/** A file, and where it goes. */
export interface Put {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode: number;
}

/**
 * Writes all files beside their places, then puts each where it belongs. What a run left that was killed is removed.
 *
 * @param out Folder of them all.
 * @throws {UserError} If it cannot be written, or a folder is where a file is to be; then nothing was changed.
 */
export async function putAll(out: string, files: readonly Put[]): Promise<void> {
  try {
    for (const { path } of files) await assertFree(path);
    await inWorkFolder(out, ".new-", async (folder) => {
      for (const [index, { content, mode }] of files.entries()) {
        await Deno.writeFile(`${folder}/${index}`, content);
        await Deno.chmod(`${folder}/${index}`, mode);
      }
      for (const { path } of files) await assertFree(path);
      for (const [index, { path }] of files.entries()) {
        await Deno.rename(`${folder}/${index}`, path);
      }
    });
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`Cannot write to ${quote(out)}: ${messageOf(cause)}`, {
      code: "tool-failed",
      hint: `free some space (\`df -h ${out}\`), or name another folder with --out DIR`,
      exitCode: EXIT.cannotCreate,
      cause,
    });
  }
}

/** A file is replaced; a folder cannot be. */
async function assertFree(path: string): Promise<void> {
  const isFolder = await Deno.lstat(path).then(({ isDirectory }) => isDirectory, () => false);
  if (!isFolder) return;
  throw new UserError(`Cannot write ${quote(path)}: a folder is there`, {
    code: "tool-failed",
    hint: `move it away: \`mv ${path} ${path}.old\`; or name another folder with --out DIR`,
    exitCode: EXIT.cannotCreate,
  });
}
