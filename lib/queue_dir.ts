/**
 * The state directory: made private, held by one process, free of planted files.
 *
 * Thin: file system calls and what they mean. What the queue file holds is queue.ts's business.
 */

import { EXIT, messageOf, UserError } from "./errors.ts";
import { quote } from "./words.ts";

/** A state directory held by this process. */
export interface StateDirectory {
  /** Path of the queue file, which exists and is empty if it is new. */
  readonly queuePath: string;
  /**
   * Moves a damaged queue file aside; returns its new path.
   *
   * @param stamp Becomes a part of the name.
   */
  moveAside(stamp: string): string;
  /** The last mark written: no `seq` above it was given. 0 if there is none. */
  readonly seqMark: number;
  /** Writes a mark beside the queue file, for when that is damaged beyond reading. */
  markSeq(seq: number): void;
  /** Gives the directory free. */
  release(): void;
}

/** Room for the largest safe integer and a line end. */
const MARK_BYTES = 20;

/** The queue file of a state directory. */
export function queuePathOf(directory: string): string {
  return `${directory.replace(/(?<=.)\/$/, "")}/queue.db`;
}

/**
 * Makes the directory if it is missing, checks it, and holds it.
 *
 * @throws {UserError} With exit code 73.
 */
export function holdStateDirectory(directory: string): StateDirectory {
  const queuePath = queuePathOf(directory);
  const lockPath = `${directory}/queue.lock`;
  try {
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
    checkWriters(directory);
    for (const path of [queuePath, `${queuePath}-wal`, `${queuePath}-shm`, lockPath]) {
      checkOwnFile(path);
    }
    const lock = Deno.openSync(lockPath, { read: true, write: true, create: true, mode: 0o600 });
    if (!lock.tryLockSync(true)) {
      lock.close();
      throw stateError(
        `Cannot use state directory ${quote(directory)}: another mqtt443 is using it`,
        "stop the other one (`systemctl stop mqtt443`), or pass --state DIR",
      );
    }
    createPrivate(queuePath);
    return {
      queuePath,
      seqMark: readMark(lock),
      markSeq: (seq) => writeMark(lock, seq),
      moveAside(stamp) {
        const aside = `${queuePath}.damaged-${stamp}`;
        Deno.renameSync(queuePath, aside);
        for (const end of ["-wal", "-shm"]) renameIfThere(`${queuePath}${end}`, `${aside}${end}`);
        createPrivate(queuePath);
        return aside;
      },
      // The kernel lets go of the lock with the file, also after kill -9.
      release: () => lock.close(),
    };
  } catch (error) {
    throw explain(directory, error);
  }
}

function readMark(file: Deno.FsFile): number {
  const bytes = new Uint8Array(MARK_BYTES);
  const length = file.readSync(bytes) ?? 0;
  const mark = Number(new TextDecoder().decode(bytes.subarray(0, length)));
  return Number.isSafeInteger(mark) ? Math.max(0, mark) : 0;
}

function writeMark(file: Deno.FsFile, seq: number): void {
  file.seekSync(0, Deno.SeekMode.Start);
  // Always as long, so that no shorter number leaves the end of a longer one behind.
  file.writeSync(new TextEncoder().encode(`${seq}\n`.padStart(MARK_BYTES)));
  file.syncDataSync();
}

function createPrivate(path: string): void {
  Deno.openSync(path, { write: true, create: true, mode: 0o600 }).close();
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function checkWriters(directory: string): void {
  const { mode, isDirectory } = Deno.statSync(directory);
  if (!isDirectory) {
    throw stateError(
      `Cannot use state directory ${quote(directory)}: it is not a directory`,
      "pass --state DIR",
    );
  }
  if (((mode ?? 0) & 0o022) !== 0) {
    throw stateError(
      `Cannot use state directory ${quote(directory)}: others than its owner may write to it`,
      `chmod 700 ${directory}`,
    );
  }
}

/** Refuses what someone else may have put where our file goes: Deno reads and writes through a link. */
function checkOwnFile(path: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const uid = Deno.uid();
  const why = info.isSymlink
    ? "it is a symbolic link"
    : !info.isFile
    ? "it is not a regular file"
    : ((info.mode ?? 0) & 0o022) !== 0
    ? "others than its owner may write to it"
    : info.uid !== null && uid !== null && info.uid !== uid
    ? `it belongs to user ${info.uid}, and this is user ${uid}`
    : undefined;
  if (why === undefined) return;
  throw stateError(
    `Cannot use ${quote(path)}: ${why}`,
    `see who put it there (\`ls -l ${path}\`), then remove it or pass --state DIR`,
  );
}

function explain(directory: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  if (error instanceof Deno.errors.NotCapable) {
    return stateError(
      `Cannot use state directory ${quote(directory)}: this process was not granted to write there`,
      "start it with `deno task publish`, which grants what the settings name; `mqtt443 version` prints what is permitted",
      error,
    );
  }
  const why = error instanceof Deno.errors.PermissionDenied
    ? `permission denied for user ${Deno.uid()}`
    : messageOf(error);
  return stateError(
    `Cannot use state directory ${quote(directory)}: ${why}`,
    "pass --state DIR with a directory that can be written to, or --durability none to keep nothing on disk",
    error,
  );
}

function stateError(message: string, hint: string, cause?: unknown): UserError {
  return new UserError(message, { hint, exitCode: EXIT.cannotCreate, step: "queue", cause });
}
