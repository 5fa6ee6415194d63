/**
 * The state directory: made private, held by one process, free of planted files, and the same after a power cut.
 *
 * Rules: a name made or changed here is synced before anyone relies on it; a damaged queue file is replaced in steps that
 * can be taken up again after each of them, and only by one that is whole on disk. `queue.lock` holds the lock and, in its
 * first line, the status: EXCLUSIVE keeps other processes from the queue file, so they read this. It is written over
 * after each commit and never synced. Thin: file system calls and what they mean.
 */

import { grantHint, placeHint } from "../core/build.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import { userName } from "../core/file_guard.ts";
import { quote } from "../core/text.ts";
import { NoStorageError } from "./errors.ts";
import { LOG_BYTES } from "./schema.ts";
import {
  checkState,
  filesOf,
  MENDED,
  openOwn,
  pathsOf,
  queuePathOf,
  stateError,
} from "./state_guard.ts";
import { EMPTY_STATS, type QueueStats } from "./types.ts";

/** Lines that other processes handed in, since the directory was made. */
export interface IntakeCounts {
  handedIn: number;
  refused: number;
}

/** What is known of a state directory without its queue file. */
export interface Status extends QueueStats, Partial<Readonly<IntakeCounts>> {
  /** The last `seq` that was put into the file. */
  readonly seqOnDisk: number;
  /** Messages that wait in memory while the disk fails: among those waiting. */
  readonly inMemory: number;
  /** The publisher that used it last. */
  readonly clientId?: string;
  /** `host:port`. */
  readonly endpoint?: string;
  /** All up to this `seq` have left a queue of schema 2, which noted that here. */
  readonly leftThrough?: number;
}

/** Name of the file that is made to replace the queue file; names that begin so are scratch. */
const MENDING = "queue.db.mending";
/** Held in reserve, so that deleting, a checkpoint and a status work on a full disk: the most of these that fits. */
const RESERVES = [LOG_BYTES, LOG_BYTES / 4, LOG_BYTES / 16, LOG_BYTES / 64];
/** Damaged queue files that are kept. */
const MOST_DAMAGED = 2;
/** Longer than any status. */
const STATUS_BYTES = 4096;

/** Where a damaged queue file is kept. */
export function damagedPathOf(queuePath: string, stamp: string): string {
  return `${queuePath}.damaged-${stamp}`;
}

/** A state directory held by this process. */
export class StateDirectory {
  readonly #path: string;
  readonly #lock: Deno.FsFile;
  /** The status as it was when this process came. */
  readonly status: Status | undefined;

  /**
   * Makes the directory if it is missing, checks it, and holds it.
   *
   * @throws {NoStorageError} If the disk cannot be written to and nothing is there yet.
   * @throws {UserError} With exit code 73.
   */
  constructor(path: string) {
    this.#path = path;
    try {
      makeDirectory(path);
      checkState(path);
      this.#lock = openLock(`${path}/queue.lock`);
    } catch (error) {
      throw explain(path, error);
    }
    if (!this.#lock.tryLockSync(true)) {
      this.#lock.close();
      throw stateError(
        "state-in-use",
        `Cannot use state directory ${quote(path)}: another mqtt443 is using it`,
        `stop the other one (\`systemctl stop mqtt443\`), or ${placeHint("state")}`,
      );
    }
    this.status = readStatus(this.#lock);
  }

  /** Path of the queue file. */
  get queuePath(): string {
    return queuePathOf(this.#path);
  }

  /** Ends what an earlier start began, and makes an empty queue file if there is none. @throws {NoStorageError} */
  prepare(): void {
    this.#do(() => {
      for (const path of pathsOf(this.#path, MENDED)) this.#takeOver(path);
      openOwn(this.queuePath).close();
      syncDirectory(this.#path);
    });
  }

  /** Makes an empty file to save what a queue file holds; returns its path. */
  makeMending(): string {
    const path = `${this.#path}/${MENDING}`;
    this.#do(() => {
      this.removeMending();
      Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
    });
    return path;
  }

  /** Removes it, and what lies beside it. */
  removeMending(): void {
    for (const path of pathsOf(this.#path, MENDING)) Deno.removeSync(path);
  }

  /**
   * Puts that file, complete and closed, in the place of the queue file, which is moved aside, or removed if it was sound.
   *
   * @param stamp Becomes a part of its name.
   */
  takeMended(stamp: string, { isSound }: { isSound: boolean }): void {
    this.#do(() => {
      const path = `${this.#path}/${MENDED}${stamp}`;
      Deno.renameSync(`${this.#path}/${MENDING}`, path);
      // From here on it is taken over at the next start, should this one not live to do it.
      syncDirectory(this.#path);
      this.#takeOver(path);
      this.removeMending();
      const aside = pathsOf(this.#path, damagedPathOf("queue.db", ""));
      const stamps = [...new Set(aside.map((path) => path.replace(/-(wal|shm)$/, "")))].sort();
      const gone = isSound
        ? [damagedPathOf(this.queuePath, stamp)]
        : stamps.slice(0, -MOST_DAMAGED);
      for (const path of gone) filesOf(path).forEach(removeIfThere);
    });
  }

  /** Notes how it stands. Where that fails nothing is lost but the note. */
  writeStatus(status: Status): void {
    try {
      this.#lock.seekSync(0, Deno.SeekMode.Start);
      this.#lock.writeSync(new TextEncoder().encode(`${JSON.stringify(status)}\n`));
    } catch { /* the disk fails, which the queue tells */ }
  }

  /** Holds space in reserve, if there is any. @throws {NoStorageError} */
  reserve(): void {
    const path = `${this.#path}/queue.reserve`;
    this.#do(() => {
      if (isThere(path)) return;
      for (const [at, bytes] of RESERVES.entries()) {
        try {
          using file = openOwn(path);
          return fill(file, bytes);
        } catch (error) {
          removeIfThere(path);
          if (at === RESERVES.length - 1) throw error;
        }
      }
    });
  }

  /** Gives the reserve free. */
  freeReserve(): void {
    removeIfThere(`${this.#path}/queue.reserve`);
  }

  /** Gives the directory free. The kernel does so too, also after kill -9. */
  release(): void {
    // To close it is not enough where a process is just being started: until that runs, it has a copy of the lock.
    this.#lock.unlockSync();
    this.#lock.close();
  }

  /** Moves the queue file aside and the mended one into its place; again, where that was cut short. */
  #takeOver(mended: string): void {
    const stamp = mended.slice(mended.lastIndexOf(MENDED) + MENDED.length);
    const aside = filesOf(damagedPathOf(this.queuePath, stamp));
    filesOf(this.queuePath).forEach((path, index) => renameIfThere(path, aside[index]!));
    // The log of the damaged file must not be found beside the mended one.
    syncDirectory(this.#path);
    Deno.renameSync(mended, this.queuePath);
    syncDirectory(this.#path);
  }

  #do(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw explain(this.#path, error);
    }
  }
}

/**
 * The status of a directory; undefined if this user cannot know it.
 *
 * @param isRunning Only where another process holds the directory. @default {true}
 */
export function currentStatus(
  directory: string,
  { isRunning = true }: { isRunning?: boolean } = {},
): Status | undefined {
  const path = `${directory}/queue.lock`;
  try {
    // To open a named pipe would wait for its writer.
    if (!Deno.lstatSync(path).isFile) return undefined;
    using lock = Deno.openSync(path, { read: true });
    return isRunning && lock.tryLockSync(false) ? undefined : readStatus(lock);
  } catch {
    return undefined;
  }
}

/** Reads the first line of the lock file, or what schema 2 noted there in three numbers of 20 bytes and a line. */
function readStatus(lock: Deno.FsFile): Status | undefined {
  const bytes = new Uint8Array(STATUS_BYTES);
  lock.seekSync(0, Deno.SeekMode.Start);
  const text = new TextDecoder().decode(bytes.subarray(0, lock.readSync(bytes) ?? 0));
  const [, left, again, run] = text.split("\n");
  try {
    const status = text.startsWith("{")
      ? JSON.parse(text.split("\n")[0]!)
      : { ...JSON.parse(run || "{}"), ...(left === again && { leftThrough: Number(left) }) };
    return isStatus({ ...EMPTY_STATS, seqOnDisk: 0, inMemory: 0, ...status });
  } catch {
    return undefined;
  }
}

function isStatus(status: Status): Status | undefined {
  const { lastSeq, seqOnDisk, dropped, leftThrough = 0, clientId = "", endpoint = "" } = status;
  const areSound =
    [lastSeq, seqOnDisk, dropped, leftThrough].every((number) =>
      Number.isSafeInteger(number) && number >= 0
    ) && typeof clientId === "string" && typeof endpoint === "string";
  return areSound ? status : undefined;
}

/** Opens the lock file. On a disk that is read-only, one that is there can be locked all the same. */
function openLock(path: string): Deno.FsFile {
  try {
    return openOwn(path);
  } catch (error) {
    if ((error as { code?: string }).code !== "EROFS") throw error;
    return Deno.openSync(path, { read: true });
  }
}

/** Fills a file with what no file system can leave out, and syncs it: only then the space is its own. */
function fill(file: Deno.FsFile, bytes: number): void {
  const block = crypto.getRandomValues(new Uint8Array(16 * 1024));
  for (let at = 0; at < bytes;) at += file.writeSync(block);
  file.syncDataSync();
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
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
      const isRefusal = error instanceof Deno.errors.NotCapable ||
        error instanceof Deno.errors.PermissionDenied;
      if (!isRefusal) throw error;
    }
  }
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

/** What a disk says that cannot be written to for now (errno(3)). */
const NO_STORAGE = ["ENOSPC", "EDQUOT", "EROFS", "EIO"];

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
  const message = `Cannot use state directory ${quote(directory)}: ${why}`;
  const code = (error as { code?: string }).code ?? "";
  if (NO_STORAGE.includes(code)) {
    const hint = code === "EROFS"
      ? "mount it writable"
      : "free some space and inodes there (`df -h; df -i`)";
    return new NoStorageError(message, {
      code: "state-unusable",
      hint,
      exitCode: EXIT.cannotCreate,
      step: "queue",
      cause: error,
    });
  }
  return stateError(
    "state-unusable",
    message,
    `${
      placeHint("state")
    } that can be written to, or pass --durability none to keep nothing on disk`,
    error,
  );
}
