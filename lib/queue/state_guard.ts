/**
 * Whose a state directory and the files in it are: this user's alone, with no link among them.
 *
 * Where others can write they can put a link or a second name where our file goes, and what is written there would
 * change another file.
 */

import { placeHint } from "../core/build.ts";
import type { Code } from "../core/codes.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { ownerProblem, userName } from "../core/file_guard.ts";
import { quote, shellWord } from "../core/text.ts";

/** What its name begins with when it is complete, until it is the queue file: a start may be cut short in between. */
export const MENDED = "queue.db.mended-";
/** The queue file of a state directory. */
export function queuePathOf(directory: string): string {
  return `${directory.replace(/(?<=.)\/$/, "")}/queue.db`;
}

/**
 * Looks whose the directory and its files are, and changes nothing.
 *
 * @throws {UserError} With exit code 73 if they are not this user's alone.
 */
export function checkState(directory: string): void {
  checkWriters(directory);
  const queuePath = queuePathOf(directory);
  for (const path of [...filesOf(queuePath), ...pathsOf(directory, MENDED)]) checkOwnFile(path);
  for (const name of ["queue.lock", "queue.reserve"]) checkOwnFile(`${directory}/${name}`);
}

/** The queue file and the two that SQLite keeps beside it. */
export function filesOf(path: string): string[] {
  return [path, `${path}-wal`, `${path}-shm`];
}

/** What is in the directory under names that begin so. */
export function pathsOf(directory: string, start: string): string[] {
  return [...Deno.readDirSync(directory)].filter(({ name }) => name.startsWith(start))
    .map(({ name }) => `${directory}/${name}`);
}

function checkWriters(directory: string): void {
  const { mode, uid, isDirectory } = Deno.statSync(directory);
  const refuse = (why: string, hint: string) => {
    throw stateError(
      "state-not-safe",
      `Cannot use state directory ${quote(directory)}: ${why}`,
      hint,
    );
  };
  if (!isDirectory) refuse("it is not a directory", placeHint("state"));
  const owner = ownerProblem(directory, Deno.lstatSync(directory), Deno.uid()) ??
    ownerProblem(directory, { mode, uid }, Deno.uid());
  if (owner) refuse(owner.problem, owner.hint);
  if (((mode ?? 0) & 0o022) === 0) return;
  // A folder that is meant for all, as /tmp, stays as it is.
  const isShared = ((mode ?? 0) & 0o1000) !== 0;
  refuse(
    "others than its owner may write to it",
    isShared ? placeHint("state") : `chmod 700 ${shellWord(directory)}`,
  );
}

/**
 * Opens a file of ours for reading and writing; makes it if there is none.
 *
 * Deno follows a link in place of it. So one that is not there is made anew, which follows none, and one that is there
 * must be what was looked at. A FIFO that is opened for both never waits.
 */
export function openOwn(path: string): Deno.FsFile {
  const seen = checkOwnFile(path);
  const file = Deno.openSync(path, {
    read: true,
    write: true,
    ...(seen === undefined && { createNew: true, mode: 0o600 }),
  });
  const { ino, dev } = file.statSync();
  if (seen === undefined || (seen.ino === ino && seen.dev === dev)) return file;
  file.close();
  throw refusedFile(path, "it was replaced while it was looked at", lookFirst(path));
}

/** Refuses what someone else may have put where our file goes; undefined: nothing is there. */
function checkOwnFile(path: string): Deno.FileInfo | undefined {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const uid = Deno.uid();
  if (info.isSymlink) throw refusedFile(path, "it is a symbolic link", lookFirst(path));
  if (!info.isFile) throw refusedFile(path, "it is not a regular file", lookFirst(path));
  if (((info.mode ?? 0) & 0o022) !== 0) {
    throw refusedFile(
      path,
      "others than its owner may write to it",
      `chmod 600 ${shellWord(path)}`,
    );
  }
  if (info.uid !== null && uid !== null && info.uid !== uid) {
    const owner = ownerProblem(path, info, uid);
    throw refusedFile(
      path,
      owner?.problem ?? `it belongs to user root, and this is user ${userName(uid)}`,
      // It may be a queue that a command run as root has left.
      owner?.hint ?? `sudo chown ${userName(uid)} ${shellWord(path)}`,
    );
  }
  if ((info.nlink ?? 1) > 1) {
    throw refusedFile(
      path,
      `it has ${info.nlink} names, and what is written here would be written there too`,
      `find the others with \`sudo find / -xdev -samefile ${shellWord(path)}\`, and remove them`,
    );
  }
  return info;
}

function lookFirst(path: string): string {
  return `see who put it there (\`ls -l ${shellWord(path)}\`), then remove it or ${
    placeHint("state")
  }`;
}

function refusedFile(path: string, why: string, hint: string): UserError {
  return stateError("state-not-safe", `Cannot use ${quote(path)}: ${why}`, hint);
}

/** An error about the state directory: exit code 73, step `queue`. */
export function stateError(code: Code, message: string, hint: string, cause?: unknown): UserError {
  return new UserError(message, { code, hint, exitCode: EXIT.cannotCreate, step: "queue", cause });
}
