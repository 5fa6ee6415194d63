/**
 * The queue of a publisher: on disk while that can be, in memory while it cannot.
 *
 * Rules: nothing already on disk is lost; what is on disk is still delivered while the disk takes nothing new; the disk
 * is tried again each second, and what waited in memory is moved there; what can be neither delivered nor saved when the
 * process ends is counted as dropped. When that is told is left to mod.ts.
 */

import { UserError } from "../core/errors.ts";
import { DamagedQueueError, isFull, NoStorageError, OlderQueueError } from "./errors.ts";
import { salvage } from "./salvage.ts";
import { SqliteQueue } from "./sqlite_queue.ts";
import { type IntakeCounts, StateDirectory, type Status } from "./state_directory.ts";
import type {
  Amount,
  NewMessage,
  PutOptions,
  PutResult,
  Queue,
  QueueOptions,
  QueueStats,
  TakenMessage,
} from "./types.ts";

/** What memory holds while the disk fails. */
const MOST_IN_MEMORY: Amount = { messages: 10_000, bytes: 8 * 1024 ** 2 };
/** How long rows of accepted messages may stay, and how often a disk that fails is tried, in ms. */
const RETRY_MS = 1000;
/** How old the status beside the file may be, in ms: 4 writes a second where thousands of messages come and go. */
const NOTE_MS = 250;
/**
 * Numbers left out after damage to the counters: what AWS takes in 40 s, after which Linux has written back what was not
 * synced. A gap tells of a loss; a number given twice would hide one.
 */
const SEQ_GAP = 4000;

/** What became of a queue file that was not exactly ours. */
export interface Mended {
  readonly why: UserError;
  /** It was a sound queue of an earlier version. */
  readonly isOlder: boolean;
  readonly saved: number;
  readonly quarantined: number;
  /** Messages that waited and are lost; undefined: it is not known. */
  readonly lost: number | undefined;
  /** A part of the name under which it is kept. */
  readonly stamp: string;
}

/** Options of {@linkcode StateQueue}. */
export interface StateQueueOptions extends QueueOptions {
  /** The state directory; undefined: all is kept in memory. */
  readonly directory: string | undefined;
  /** Rows of accepted messages that may wait for a commit. */
  readonly inflight: number;
  /** The publisher, for who reads the status. */
  readonly run: Pick<Status, "clientId" | "endpoint">;
  /** Lines handed in so far, for the same. */
  readonly intake?: Readonly<IntakeCounts> | undefined;
  readonly monotonicMs: () => number;
  /** Told of each failure of the disk; may be often. */
  readonly onFailure: (error: UserError) => void;
  /** Told when the disk takes messages again, with how many were moved there. */
  readonly onHealed: (messages: number) => void;
  readonly onMended: (mended: Mended) => void;
  /** Told that the file ends before the last `seq` that was put into it. */
  readonly onShortened: (lastSeq: number) => void;
}

/** A queue on disk or in memory. */
export class StateQueue implements Queue {
  readonly #options: StateQueueOptions;
  #directory: StateDirectory | undefined;
  #disk: SqliteQueue | undefined;
  /** The disk's file is damaged, or could not be opened anew: nothing is read from it. */
  #isBroken = false;
  #memory: SqliteQueue | undefined;
  /** Whether the disk takes nothing now. */
  #isFailing = false;
  /** Why, or why it did the last time. */
  #failure: UserError | undefined;
  /** When it is tried again, on the monotonic clock. */
  #retryAtMs = 0;
  /** Messages of a file that cannot be opened, which were read into memory. Design: a damaged file may fill the disk by itself, so it must be delivered before there can be room to mend it. */
  readonly #loaded = new Set<number>();
  /** The last `seq` known of besides those in the two queues. */
  #seqElsewhere = 0;
  /** Dropped, and not yet counted in a file. */
  #droppedElsewhere = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the status was written last, on the monotonic clock, and what writes it when it is due again. */
  #notedMs = -Infinity;
  #noteTimer: ReturnType<typeof setTimeout> | undefined;

  /** @throws {UserError} With exit code 73 if the directory is another's, or in use. */
  constructor(options: StateQueueOptions) {
    this.#options = options;
    if (options.directory === undefined) {
      this.#memory = new SqliteQueue(":memory:", options);
      return;
    }
    try {
      this.#openDisk();
    } catch (error) {
      if (error instanceof NoStorageError) this.#fail(error);
      else throw this.#released(error);
    }
    this.#note();
  }

  /** The status of the directory before this process came. */
  get before(): Status | undefined {
    return this.#directory?.status;
  }

  /** The file, as far as there is one. */
  get disk(): SqliteQueue | undefined {
    return this.#isBroken ? undefined : this.#disk;
  }

  get nextSeq(): number {
    return Math.max(this.#disk?.lastSeq ?? 0, this.#memory?.lastSeq ?? 0, this.#seqElsewhere) + 1;
  }

  get waiting(): Amount {
    const [disk, memory] = [this.#disk?.waiting ?? NONE, this.#memory?.waiting ?? NONE];
    return { messages: disk.messages + memory.messages, bytes: disk.bytes + memory.bytes };
  }

  get load(): { readonly used: Amount; readonly most: Amount } {
    const { maxMessages, maxBytes } = this.#isFailing ? this.#memoryOptions() : this.#options;
    const used = this.#isFailing ? this.#memory?.waiting ?? NONE : this.waiting;
    return { used, most: { messages: maxMessages, bytes: maxBytes } };
  }

  /** Whether the disk takes messages; `none` where all is kept in memory. */
  get diskState(): "ok" | "failing" | "none" {
    if (this.#options.directory === undefined) return "none";
    return this.#isFailing ? "failing" : "ok";
  }

  put(messages: readonly NewMessage[], options: PutOptions = {}): PutResult {
    const numbered = { ...options, firstSeq: this.nextSeq };
    const onDisk = this.#onDisk((disk) => disk.put(messages, numbered));
    if (onDisk === undefined && options.refuse && this.#options.directory !== undefined) {
      throw this.#failure!;
    }
    const result = onDisk ?? this.#inMemory().put(messages, numbered);
    this.#note();
    return result;
  }

  take(most: number): TakenMessage[] {
    try {
      const taken = this.disk?.take(most) ?? [];
      if (taken.length > 0) return taken;
    } catch (error) {
      this.#fail(error);
    }
    return this.#memory?.take(most) ?? [];
  }

  accept(seqs: readonly number[]): void {
    this.#disk?.accept(seqs);
    this.#memory?.accept(seqs);
    this.#afterLeaving();
  }

  quarantine(seq: number, reason: string): void {
    this.#disk?.quarantine(seq, reason);
    this.#memory?.quarantine(seq, reason);
    this.#flush();
  }

  release(seqs?: readonly number[]): void {
    this.#disk?.release(seqs);
    this.#memory?.release(seqs);
  }

  stats(): QueueStats {
    const [disk, memory] = [this.disk, this.#memory].map((queue) => queue?.stats());
    const { messages: waiting, bytes } = this.waiting;
    return {
      waiting,
      bytes,
      oldestMs: disk?.oldestMs ?? memory?.oldestMs,
      quarantined: (disk?.quarantined ?? 0) + (memory?.quarantined ?? 0),
      dropped: (disk?.dropped ?? 0) + (memory?.dropped ?? 0) + this.#droppedElsewhere,
      lastSeq: this.nextSeq - 1,
    };
  }

  finish(): number {
    this.#retryAtMs = 0;
    if (this.#options.directory !== undefined) this.#onDisk(() => true);
    this.#flush();
    const memory = this.#memory;
    if (memory === undefined) return 0;
    // What a damaged file still holds does not end with this process.
    const lost = memory.waiting.messages - memory.among(this.#loaded).size;
    this.#seqElsewhere = this.nextSeq - 1;
    this.#droppedElsewhere += memory.stats().dropped + lost;
    memory.close();
    this.#memory = undefined;
    if (lost > 0 && this.#disk !== undefined) {
      try {
        this.#directory?.freeReserve();
        this.#disk.adopt({
          messages: [],
          dropped: this.#droppedElsewhere,
          seq: this.#seqElsewhere,
        });
        this.#droppedElsewhere = 0;
      } catch { /* the status has it */ }
    }
    this.#note(true);
    return lost;
  }

  close(): void {
    clearTimeout(this.#timer);
    if (!this.#isBroken) this.#flush();
    clearTimeout(this.#timer);
    this.#note(true);
    this.#memory?.close();
    this.#disk?.close();
    this.#directory?.release();
  }

  /** Runs an action on the disk, if it can be used; undefined: memory must do. */
  #onDisk<T>(action: (disk: SqliteQueue) => T): T | undefined {
    const { directory, monotonicMs } = this.#options;
    if (directory === undefined) return undefined;
    if (this.#isFailing && monotonicMs() < this.#retryAtMs) return undefined;
    try {
      if (this.disk === undefined) this.#openDisk();
      if (this.#isFailing) this.#makeRoom();
      const moved = this.#moveToDisk();
      const result = action(this.#disk!);
      if (this.#isFailing) this.#options.onHealed(moved);
      this.#isFailing = false;
      return result;
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #openDisk(): void {
    const { directory: path, onShortened } = this.#options;
    const directory = this.#directory ??= new StateDirectory(path!);
    const { lastSeq = 0, seqOnDisk = 0, dropped = 0 } = directory.status ?? {};
    this.#seqElsewhere = Math.max(this.#seqElsewhere, lastSeq);
    const disk = this.#openFile(directory);
    if (this.#disk === undefined) {
      if (disk.lastSeq < seqOnDisk) onShortened(disk.lastSeq);
      this.#droppedElsewhere += Math.max(0, dropped - disk.stats().dropped);
    } else {
      disk.succeed(this.#disk);
    }
    // What was read into memory, and is there no more, was delivered.
    const waiting = this.#memory?.among(this.#loaded) ?? new Set();
    disk.forget(this.#loaded.difference(waiting));
    this.#loaded.clear();
    this.#disk = disk;
    this.#isBroken = false;
    directory.reserve();
  }

  #openFile(directory: StateDirectory): SqliteQueue {
    try {
      directory.prepare();
      const open = () => new SqliteQueue(directory.queuePath, this.#options);
      try {
        return open();
      } catch (error) {
        if (!(error instanceof DamagedQueueError || error instanceof OlderQueueError)) throw error;
        this.#mend(directory, error);
        return open();
      }
    } catch (error) {
      if (error instanceof NoStorageError && this.disk === undefined) this.#load(directory);
      throw error;
    }
  }

  /** Puts a file of what can be read in the place of one that is not exactly ours, once it is whole on disk. */
  #mend(directory: StateDirectory, why: UserError): void {
    const isOlder = why instanceof OlderQueueError;
    const stamp = new Date(this.#options.now?.() ?? Date.now()).toISOString().replaceAll(":", "");
    const { status } = directory;
    const fresh = new SqliteQueue(directory.makeMending(), UNLIMITED);
    try {
      const { seq, dropped } = salvage(directory.queuePath, {
        skip: this.#isElsewhere,
        take: (part) => fresh.adopt(part),
      });
      const given = Math.max(seq, this.#seqElsewhere) + (isOlder ? 0 : SEQ_GAP);
      fresh.adopt({ messages: [], dropped, seq: given });
      fresh.checkpoint();
      const { waiting: saved, quarantined } = fresh.stats();
      fresh.close();
      directory.takeMended(stamp, { isSound: isOlder });
      const lost = status && Math.max(0, status.waiting - saved - this.#loaded.size);
      this.#options.onMended({ why, isOlder, saved, quarantined, lost, stamp });
    } catch (error) {
      fresh.close();
      directory.removeMending();
      throw error;
    }
  }

  /** Reads the oldest messages of a file that cannot be opened into memory, as many as that holds, when it has none. */
  #load({ queuePath }: StateDirectory): void {
    const memory = this.#inMemory();
    if (memory.waiting.messages > 0) return;
    const { maxMessages, maxBytes } = this.#memoryOptions();
    try {
      const { seq } = salvage(queuePath, {
        most: Math.ceil(maxMessages / 2),
        skip: this.#isElsewhere,
        take: ({ messages }) => {
          const few = memory.waiting.bytes > maxBytes / 2 ? [] : messages;
          memory.adopt({ messages: few });
          for (const { seq } of few) this.#loaded.add(seq);
        },
      });
      this.#seqElsewhere = Math.max(this.#seqElsewhere, seq);
    } catch { /* it cannot be read either */ }
  }

  /** Whether a message of the file has left, or is in memory. */
  readonly #isElsewhere = (seq: number): boolean =>
    seq <= (this.#directory?.status?.leftThrough ?? 0) || this.#loaded.has(seq);

  #moveToDisk(): number {
    const memory = this.#memory;
    if (memory === undefined) return 0;
    const { messages } = memory.waiting;
    memory.moveTo(this.#disk!);
    memory.close();
    this.#memory = undefined;
    return messages;
  }

  /** Gives back what the file does not use, and holds something in reserve again: the last of a disk is not taken. */
  #makeRoom(): void {
    this.#disk!.shrink();
    this.#directory!.reserve();
  }

  #afterLeaving(): void {
    const pending = Math.max(this.#disk?.pending ?? 0, this.#memory?.pending ?? 0);
    if (pending >= this.#options.inflight) this.#flush();
    else if (pending > 0) this.#later();
  }

  /** Deletes the rows of what has left. */
  #flush(): void {
    this.#memory?.flush();
    const { disk } = this;
    if (disk !== undefined && disk.pending > 0 && this.#options.monotonicMs() >= this.#retryAtMs) {
      try {
        disk.flush();
      } catch (error) {
        if (isFull(error)) this.#flushFullDisk(disk);
        else this.#fail(error);
      }
    }
    this.#note();
  }

  #flushFullDisk(disk: SqliteQueue): void {
    try {
      this.#directory!.freeReserve();
      disk.checkpoint();
      disk.flush();
      disk.shrink();
    } catch (error) {
      this.#fail(error);
    }
  }

  #later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
      if (this.#isFailing) this.#onDisk(() => true);
    }, RETRY_MS);
  }

  #fail(error: unknown): void {
    if (!(error instanceof UserError)) throw error;
    this.#isFailing = true;
    this.#failure = error;
    if (error instanceof DamagedQueueError) {
      // It is mended with the next put.
      this.#isBroken = true;
      this.#disk?.close();
    } else {
      this.#retryAtMs = this.#options.monotonicMs() + RETRY_MS;
    }
    this.#options.onFailure(error);
    this.#later();
  }

  #inMemory(): SqliteQueue {
    return this.#memory ??= new SqliteQueue(":memory:", this.#memoryOptions());
  }

  #memoryOptions(): QueueOptions {
    const { maxMessages, maxBytes } = this.#options;
    return {
      ...this.#options,
      maxMessages: Math.min(maxMessages, MOST_IN_MEMORY.messages),
      maxBytes: Math.min(maxBytes, MOST_IN_MEMORY.bytes),
    };
  }

  /** Writes the status: at once, or when the last one is {@linkcode NOTE_MS} old, as each asks SQLite for the oldest row. */
  #note(isDue = this.#options.monotonicMs() - this.#notedMs >= NOTE_MS): void {
    if (this.#directory === undefined) return;
    if (!isDue) {
      this.#noteTimer ??= setTimeout(() => this.#note(true), NOTE_MS);
      return;
    }
    clearTimeout(this.#noteTimer);
    this.#noteTimer = undefined;
    this.#notedMs = this.#options.monotonicMs();
    this.#directory.writeStatus({
      ...this.stats(),
      seqOnDisk: this.#disk?.lastSeq ?? this.#directory.status?.seqOnDisk ?? 0,
      inMemory: this.#memory?.waiting.messages ?? 0,
      ...this.#options.run,
      ...this.#options.intake,
    });
  }

  #released(error: unknown): unknown {
    this.#disk?.close();
    this.#directory?.release();
    clearTimeout(this.#timer);
    return error;
  }
}

const NONE: Amount = { messages: 0, bytes: 0 };
const UNLIMITED: QueueOptions = {
  maxMessages: Infinity,
  maxBytes: Infinity,
  full: "drop-newest",
  durability: "crash",
};
