/** What SQLite says of a queue file, in words with a way out, told by its codes. Pure. */

import { placeHint } from "../core/build.ts";
import type { Code } from "../core/codes.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";

/** The file is not exactly a queue of this version. */
export class DamagedQueueError extends UserError {
  override readonly name = "DamagedQueueError";
}

/** There is no disk to write to, for now: it is full, read-only, or fails. */
export class NoStorageError extends UserError {
  override readonly name = "NoStorageError";
}

/** The file is a sound queue of an earlier version. */
export class OlderQueueError extends UserError {
  override readonly name = "OlderQueueError";
}

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const SQLITE = {
  error: 1,
  busy: 5,
  locked: 6,
  readOnly: 8,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notDatabase: 26,
};

/** The primary result code of an error; 0 where it is none of SQLite. */
function codeOf(error: unknown): number {
  const { code, errcode } = error as { code?: string; errcode?: number };
  // What the constructor and `exec` throw has none (Deno 2.9.6); they only open the file here.
  if (errcode === undefined) return code === "ERR_SQLITE_ERROR" ? SQLITE.cannotOpen : 0;
  return errcode & 0xff;
}

/** Whether an error says that the disk is full. */
export function isFull(error: unknown): boolean {
  return error instanceof UserError && codeOf(error.cause ?? {}) === SQLITE.full;
}

/** The failure behind an error of SQLite. */
export function storageError(path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const code = codeOf(error);
  // A number beyond 2^53 is in no row of ours; and what these statements ask for is in each file of ours.
  const isRange = (error as { code?: string }).code === "ERR_OUT_OF_RANGE";
  if (isRange || [SQLITE.error, SQLITE.corrupt, SQLITE.notDatabase].includes(code)) {
    return damaged(path, messageOf(error), { cause: error });
  }
  if (code === 0 && !(error as { code?: string }).code) throw error;
  return new NoStorageError(`Cannot use queue ${quote(path)}: ${messageOf(error)}`, {
    code: "queue-failed",
    exitCode: EXIT.cannotCreate,
    step: "queue",
    cause: error,
    hint: hintOf(code),
  });
}

/** The error about a file that is not exactly a queue of this version. */
export function damaged(
  path: string,
  why: string,
  { cause, code = "queue-damaged" }: { cause?: unknown; code?: Code } = {},
): DamagedQueueError {
  return new DamagedQueueError(`Cannot use queue ${quote(path)}: it is damaged (${why})`, {
    code,
    exitCode: EXIT.cannotCreate,
    step: "queue",
    cause,
    hint: "start mqtt443 publish again: it moves the file aside, and saves what can be read of it",
  });
}

function hintOf(code: number): string {
  if (code === SQLITE.full) return `free some space there (\`df -h\`), or ${placeHint("state")}`;
  if (code === SQLITE.readOnly) return `mount it writable, or ${placeHint("state")}`;
  if (code === SQLITE.busy || code === SQLITE.locked) return "stop the other process that uses it";
  if (code === SQLITE.cannotOpen) {
    return `free some space and inodes there (\`df -h; df -i\`), or ${placeHint("state")}`;
  }
  return `${placeHint("state")} that can be written to`;
}
