/** A Unix socket on which lines are handed in: whether its place is safe, and whether somebody answers there. */

import { grantHint } from "./build.ts";
import type { Code } from "./codes.ts";
import { EXIT, messageOf, UserError } from "./errors.ts";
import { folderOf, guardFolder, ownerProblem } from "./file_guard.ts";
import { quote, shellWord } from "./text.ts";

/** Longest path of a Unix socket on Linux, in bytes: `sun_path` holds 108 with its NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;
/** Where `mqtt443.socket` of the kit listens, and where `send` looks if nothing else is said. */
export const SOCKET_PATH = "/run/mqtt443/in.sock";

/**
 * Looks at what is in the place of the socket. Its folder is judged where the grants let it be looked at.
 *
 * @returns Whether a socket of ours is there.
 * @throws {UserError} With exit code 73 if the place is not safe, or something else is there.
 */
export function checkSocketPlace(path: string): boolean {
  const folder = guardFolder(folderOf(path));
  if (folder) throw socketError("listen-not-safe", path, folder.problem, folder.hint);
  if (!isThere(folderOf(path))) {
    const hint = `make it: \`install -d -m 755 ${shellWord(folderOf(path))}\``;
    throw socketError("listen-failed", path, "its directory does not exist", hint);
  }
  let found: Deno.FileInfo;
  try {
    found = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    const isDenied = error instanceof Deno.errors.NotCapable;
    const hint = isDenied ? grantHint() : "pass --listen PATH with a place of your own";
    const why = isDenied ? "this process was not granted it" : messageOf(error);
    throw socketError(isDenied ? "not-granted" : "listen-failed", path, why, hint, error);
  }
  if (!found.isSocket) {
    const what = found.isSymlink ? "a symbolic link" : found.isDirectory ? "a directory" : "a file";
    throw socketError("listen-not-safe", path, `${what} is there, and no socket`, lookFirst(path));
  }
  const owner = ownerProblem(path, found, Deno.uid());
  if (owner) throw socketError("listen-not-safe", path, owner.problem, owner.hint);
  return true;
}

/** Whether a process answers there. A socket file that one left which was killed has nobody. */
export async function isAnswered(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.ConnectionRefused ||
      error instanceof Deno.errors.NotFound);
  }
}

/** An error about the socket: exit code 73, step `listen`. */
export function socketError(
  code: Code,
  path: string,
  why: string,
  hint: string,
  cause?: unknown,
): UserError {
  return new UserError(`Cannot listen on ${quote(path)}: ${why}`, {
    code,
    hint,
    exitCode: EXIT.cannotCreate,
    step: "listen",
    cause,
  });
}

/** Whether it is there, as far as can be seen. */
function isThere(folder: string): boolean {
  try {
    return Deno.statSync(folder).isDirectory;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}

function lookFirst(path: string): string {
  return `see who put it there (\`ls -l ${
    shellWord(path)
  }\`), then remove it or pass --listen with another path`;
}
