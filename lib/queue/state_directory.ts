/**
 * The state directory: made private, held by one process, free of planted files, and the same after a power cut.
 *
 * Rules: a name made or changed here is synced before anyone relies on it; a damaged queue file is replaced in steps that
 * can be taken up again after each of them. Thin: file system calls and what they mean. What the queue file holds is
 * queue.ts's business.
 */

import { grantHint, placeHint } from "../core/build.ts";
import { messageOf, UserError } from "../core/errors.ts";
import { userName } from "../core/file_guard.ts";
import { type LastRun, noteRun, readRun } from "./last_run.ts";
import type { DeliveredMark } from "./types.ts";
import {
  checkState,
  filesOf,
  MENDED,
  openOwn,
  pathsOf,
  queuePathOf,
  stateError,
} from "./state_guard.ts";
import { quote } from "../core/text.ts";

/** A state directory held by this process. */
export interface StateDirectory {
  /** Path of the queue file, which exists and is empty if it is new. */
  readonly queuePath: string;
  /** Makes an empty file, in place of any left there, for what is saved of a damaged queue file; returns its path. */
  makeMending(): string;
  /**
   * Puts that file, complete and closed, in the place of the damaged one, which is moved aside.
   *
   * @param stamp Becomes a part of its name.
   */
  takeMended(stamp: string): void;
  /** The last mark written: no `seq` above it was given. 0 if there is none. */
  readonly seqMark: number;
  /** Writes a mark beside the queue file, for when that is damaged beyond reading. */
  markSeq(seq: number): void;
  /** How far messages have left the queue. */
  readonly delivered: DeliveredMark;
  /** The run before this one, if it is known. */
  readonly lastRun: LastRun | undefined;
  /** Notes this run. */
  noteRun(run: LastRun): void;
  /** Gives the directory free. */
  release(): void;
}

/** Name of the file that is made of a damaged one; names that begin so are scratch. */
const MENDING = "queue.db.mending";
/** Room for the largest safe integer and a line end. */
const MARK_BYTES = 20;
/** How the marks lie in `queue.lock`: one that is synced, and one that is not; that one is there twice, as proof. */
const SEQ_AT = 0;
const DELIVERED_AT = MARK_BYTES;

/** Where a damaged queue file is kept. */
export function damagedPathOf(queuePath: string, stamp: string): string {
  return `${queuePath}.damaged-${stamp}`;
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
    makeDirectory(directory);
    checkState(directory);
    const mended = pathsOf(directory, MENDED);
    const lock = openOwn(lockPath);
    if (!lock.tryLockSync(true)) {
      lock.close();
      throw stateError(
        "state-in-use",
        `Cannot use state directory ${quote(directory)}: another mqtt443 is using it`,
        `stop the other one (\`systemctl stop mqtt443\`), or ${placeHint("state")}`,
      );
    }
    for (const path of mended) takeOver(directory, path);
    openOwn(queuePath).close();
    syncDirectory(directory);
    const mending = `${directory}/${MENDING}`;
    const marks = readMarks(lock);
    return {
      queuePath,
      seqMark: marks.seq,
      markSeq(seq) {
        writeAt(lock, SEQ_AT, markOf(seq));
        lock.syncDataSync();
      },
      delivered: {
        through: marks.delivered,
        // Not synced: a power cut may bring delivered messages back, as a repeat.
        write: (seq) => writeAt(lock, DELIVERED_AT, markOf(seq) + markOf(seq)),
      },
      lastRun: readRun(lock),
      noteRun: (run) => noteRun(lock, run),
      makeMending() {
        for (const path of pathsOf(directory, MENDING)) Deno.removeSync(path);
        Deno.openSync(mending, { write: true, createNew: true, mode: 0o600 }).close();
        return mending;
      },
      takeMended(stamp) {
        const path = `${directory}/${MENDED}${stamp}`;
        Deno.renameSync(mending, path);
        // From here on it is taken over at the next start, should this one not live to do it.
        syncDirectory(directory);
        takeOver(directory, path);
        for (const left of pathsOf(directory, MENDING)) Deno.removeSync(left);
      },
      // The kernel lets go of the lock with the file, also after kill -9.
      release() {
        // To close it is not enough where a process is just being started: until that runs, it has a copy of the lock.
        lock.unlockSync();
        lock.close();
      },
    };
  } catch (error) {
    throw explain(directory, error);
  }
}

/** How far messages have left the queue of a directory that another process may hold; 0 if that cannot be read. */
export function deliveredThrough(directory: string): number {
  try {
    using file = Deno.openSync(`${directory}/queue.lock`, { read: true });
    return readMarks(file).delivered;
  } catch {
    return 0;
  }
}

function readMarks(file: Deno.FsFile): { seq: number; delivered: number } {
  const bytes = new Uint8Array(3 * MARK_BYTES);
  const length = file.readSync(bytes) ?? 0;
  const text = new TextDecoder().decode(bytes.subarray(0, length));
  const [seq, delivered, again] = [0, 1, 2].map((n) =>
    numberIn(text.slice(n * MARK_BYTES, (n + 1) * MARK_BYTES))
  ) as [number, number, number];
  return { seq, delivered: delivered === again ? delivered : 0 };
}

function numberIn(text: string): number {
  const mark = Number(text);
  return Number.isSafeInteger(mark) ? Math.max(0, mark) : 0;
}

/** Always as long, so that no shorter number leaves the end of a longer one behind. */
function markOf(seq: number): string {
  return `${seq}\n`.padStart(MARK_BYTES);
}

function writeAt(file: Deno.FsFile, offset: number, text: string): void {
  file.seekSync(offset, Deno.SeekMode.Start);
  file.writeSync(new TextEncoder().encode(text));
}

/** Moves the damaged queue file aside and the mended one into its place; again, where that was cut short. */
function takeOver(directory: string, mended: string): void {
  const queuePath = queuePathOf(directory);
  const stamp = mended.slice(mended.lastIndexOf(MENDED) + MENDED.length);
  const aside = damagedPathOf(queuePath, stamp);
  filesOf(queuePath).forEach((path, index) => renameIfThere(path, filesOf(aside)[index]!));
  // The log of the damaged file must not be found beside the mended one.
  syncDirectory(directory);
  Deno.renameSync(mended, queuePath);
  syncDirectory(directory);
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Makes what is missing of a path, and its name in the directories above. */
function makeDirectory(directory: string): void {
  const parents: string[] = [];
  for (let path = directory; path !== "." && !isThere(path);) parents.push(path = parentOf(path));
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const parent of parents) {
    try {
      syncDirectory(parent);
    } catch (error) {
      // Scoped permissions end at the state directory; its own sync takes its name along on ext4, XFS and Btrfs.
      if (!isRefusal(error)) throw error;
    }
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.PermissionDenied;
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}

function parentOf(path: string): string {
  const end = path.replace(/\/+$/, "").lastIndexOf("/");
  return end < 0 ? "." : path.slice(0, Math.max(1, end));
}

/** Makes the names in a directory survive a power cut. */
function syncDirectory(directory: string): void {
  using open = Deno.openSync(directory, { read: true });
  open.syncSync();
}

function explain(directory: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  if (error instanceof Deno.errors.NotCapable) {
    return stateError(
      "not-granted",
      `Cannot use state directory ${quote(directory)}: this process was not granted to write there`,
      grantHint("state"),
      error,
    );
  }
  const why = error instanceof Deno.errors.PermissionDenied
    ? `permission denied for user ${userName(Deno.uid()!)}`
    : messageOf(error);
  return stateError(
    "state-unusable",
    `Cannot use state directory ${quote(directory)}: ${why}`,
    `${
      placeHint("state")
    } that can be written to, or pass --durability none to keep nothing on disk`,
    error,
  );
}
