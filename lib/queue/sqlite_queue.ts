/**
 * The queue: messages on disk, oldest first, until they are acknowledged. Only it, its schema and salvage.ts know SQLite.
 *
 * Rules: `put` returns after the commit (and, with durability `power`, its fsync); a message leaves by `accept`,
 * `quarantine` or a limit, and only so; `seq` grows by one per message for the life of the file, a dropped message
 * included. What is taken stays on disk until accepted. Who may open the file is queue_dir.ts's business.
 */

import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../core/errors.ts";
import { createAhead } from "./ahead.ts";
import { storageError } from "./errors.ts";
import { numbered, TAKE_BYTES, weighed } from "./drafts.ts";
import { createLeft, type Left } from "./left.ts";
import { type Counts, createLimits, type Limits, type Oldest } from "./limits.ts";
import { createRows, type Found, rangesOf, readAfter, type Rows, valuesOf } from "./row.ts";
import { inTransaction, prepareFile, prepareStatements, type Statements } from "./schema.ts";
import type {
  DiskQueue,
  Draft,
  Leaving,
  PutResult,
  QueuedMessage,
  QueueOptions,
  QueueStats,
  TakenMessage,
  TopicWaiting,
} from "./types.ts";

/**
 * Opens a queue.
 *
 * @param path The file, made if it is missing, or `:memory:`.
 * @throws {DamagedQueueError} If the file is damaged.
 * @throws {UserError} With exit code 73 if it cannot be used.
 */
export function openQueue(path: string, options: QueueOptions): DiskQueue {
  try {
    return openAt(path, path, options);
  } catch (error) {
    if (!options.readOnly || !/unable to open/.test(messageOf(error))) throw error;
    // SQLite puts two files beside one in WAL mode even to read it. Where it cannot, nobody else writes either.
    const uri = `file:${path.split("/").map(encodeURIComponent).join("/")}?immutable=1`;
    return openAt(uri, path, options);
  }
}

function openAt(location: string, path: string, options: QueueOptions): DiskQueue {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(location, { readOnly: options.readOnly ?? false });
    prepareFile(db, path, { readOnly: options.readOnly ?? false });
    return new SqliteQueue(db, path, options);
  } catch (error) {
    db?.close();
    throw storageError(path, error);
  }
}

/** Rows read before their bytes are looked at; of the largest, 2 MiB. */
const FEW = 16;

class SqliteQueue implements DiskQueue {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #options: QueueOptions;
  readonly #statements: Statements;
  readonly #counts: Counts;
  readonly #limits: Limits;
  readonly #rows: Rows;
  readonly #ahead = createAhead();
  readonly #left: Left;
  /** `seq` of the last message taken. */
  #cursor = 0;
  /** Whether a message has left otherwise than by `accept`: one that is accepted then may be gone already. */
  #mayLack = false;
  #synchronous = "";

  constructor(db: DatabaseSync, path: string, options: QueueOptions) {
    this.#db = db;
    this.#path = path;
    this.#options = options;
    this.#statements = prepareStatements(db);
    this.#rows = createRows(this.#statements);
    const lastSeq = this.#counter("seq");
    this.#left = createLeft(options.delivered, { lastSeq, readOnly: options.readOnly ?? false });
    this.#counts = { ...this.#totals(), lastSeq, dropped: this.#counter("dropped") };
    const store = {
      oldest: (after: number) => this.#oldest(after),
      remove: (seq: number) => {
        this.#mayLack = true;
        this.#statements.deleteRange.run(seq, seq);
      },
    };
    this.#limits = createLimits(store, this.#counts, options);
  }

  put(drafts: readonly Draft[], afterSeq = 0, isHandedIn = false): PutResult {
    const counts = this.#counts;
    const before = { ...counts };
    const lastSeq = Math.max(counts.lastSeq, this.#left.numbered, afterSeq);
    const { messages, tooLarge } = numbered(drafts, lastSeq);
    const stored: TakenMessage[] = [];
    let droppedThrough = 0;
    this.#commit("FULL", () => {
      counts.lastSeq = lastSeq;
      const aged = this.#limits.dropAged();
      const dropped = this.#limits.admit(messages, (message) => {
        this.#rows.add(message);
        stored.push(message);
      }, isHandedIn);
      this.#rows.flush();
      droppedThrough = Math.max(aged, dropped);
      this.#writeCounts();
    });
    if (droppedThrough > 0) this.#ahead.forget();
    else this.#ahead.add(stored, before.lastSeq, counts.lastSeq);
    const dropped = counts.dropped - before.dropped;
    return { lastSeq: counts.lastSeq, stored: stored.length, dropped, droppedThrough, tooLarge };
  }

  restore(messages: readonly QueuedMessage[]): void {
    const counts = this.#counts;
    this.#ahead.forget();
    this.#commit("FULL", () => {
      for (const message of messages) {
        const { changes } = this.#statements.restore.run(...valuesOf(message));
        if (changes === 0) continue;
        counts.waiting++;
        counts.bytes += weighed(message).bytes;
        counts.lastSeq = Math.max(counts.lastSeq, message.seq);
      }
      this.#limits.dropOldest();
      this.#writeCounts();
    });
  }

  take(most: number): TakenMessage[] {
    this.#expire();
    const { bytes: allBytes, waiting, lastSeq } = this.#counts;
    const known = this.#ahead.take(most, lastSeq);
    if (known !== undefined) {
      this.#cursor = known.at(-1)?.seq ?? this.#cursor;
      return known;
    }
    const taken: TakenMessage[] = [];
    let cursor = Math.max(this.#cursor, this.#left.through);
    for (let bytes = 0; taken.length < most && bytes < TAKE_BYTES;) {
      // Of the average size, just enough.
      const enough = Math.ceil(TAKE_BYTES * waiting / allBytes) || 1;
      const few = Math.min(FEW, enough, most - taken.length);
      const { messages, damaged, last } = this.#read(cursor, few);
      if (last === cursor) {
        this.#ahead.empty(lastSeq);
        break;
      }
      cursor = last;
      if (damaged.length > 0) this.#setDamagedAside(damaged);
      for (const message of messages) bytes += message.bytes;
      taken.push(...messages);
    }
    this.#cursor = cursor;
    return taken;
  }

  find(seq: number): TakenMessage | undefined {
    if (seq <= this.#left.through) return undefined;
    const [message] = this.#read(seq - 1, 1).messages;
    return message?.seq === seq ? message : undefined;
  }

  accept(messages: readonly Leaving[]): void {
    const leaving = messages.filter(({ seq }) => seq > this.#left.through);
    if (leaving.length === 0) return;
    this.#guard(() => {
      const ranges = rangesOf(leaving.map(({ seq }) => seq));
      const isAll = !this.#mayLack || this.#isThere(ranges, leaving.length);
      const isInTurn = this.#options.delivered !== undefined && this.#isNext(ranges[0]![0]);
      const inTurn = isInTurn ? ranges.shift() : undefined;
      if (ranges.length > 0 || this.#left.isDue()) {
        // A delivered message that a power cut brings back is sent twice, not lost: no need to sync for it.
        this.#commit("NORMAL", () => {
          for (const [first, last] of ranges) this.#statements.deleteRange.run(first, last);
        });
      }
      if (inTurn !== undefined) this.#left.note(inTurn[1], leaving);
      for (const { bytes } of leaving) this.#forget(bytes);
      if (!isAll) this.#countAgain();
    });
  }

  rewind(): void {
    this.#cursor = 0;
    this.#ahead.forget();
  }

  protect(isInFlight: (seq: number) => boolean): void {
    this.#limits.protect(isInFlight);
  }

  quarantine({ seq, bytes }: Leaving, reason: string): void {
    this.#commit("FULL", () => {
      const { changes } = this.#statements.quarantine.run(reason, seq);
      if (changes === 0) return;
      this.#statements.deleteRange.run(seq, seq);
      this.#forget(bytes);
    });
  }

  waiting(): { messages: number; bytes: number } {
    return { messages: this.#counts.waiting, bytes: this.#counts.bytes };
  }

  forOthers(topic: string): readonly TopicWaiting[] {
    const rows = this.#guard(() => this.#statements.forOthers.all(this.#left.through, topic));
    return rows as unknown as TopicWaiting[];
  }

  stats(): QueueStats {
    return this.#guard(() => ({
      ...this.#counts,
      oldestMs: this.#oldest(0)?.timeMs,
      quarantined: this.#statements.quarantined.get()!.n as number,
    }));
  }

  clear(): number {
    return this.#guard(() => {
      const { waiting, quarantined } = this.stats();
      inTransaction(this.#db, () => this.#db.exec("DELETE FROM message; DELETE FROM quarantine"));
      this.#mayLack = true;
      this.#counts.waiting = 0;
      this.#counts.bytes = 0;
      this.rewind();
      try {
        // Gives the space back, which deleting alone does not.
        this.#db.exec("VACUUM");
      } catch (error) {
        // It attaches a database, which Deno lets no scoped process do: the space stays the file's, and is used again.
        if (!/attached/.test(messageOf(error))) throw error;
      }
      return waiting + quarantined;
    });
  }

  close(): void {
    try {
      if (!this.#options.readOnly) this.#commit("NORMAL", () => this.#writeCounts());
    } catch { /* the disk fails, which is no reason to stay */ }
    this.#db.close();
  }

  /** Runs an action in a commit, which deletes the rows of what has left besides. */
  #commit(level: "FULL" | "NORMAL", action: () => void): void {
    this.#guard(() => {
      this.#setSynchronous(level);
      try {
        inTransaction(this.#db, () => {
          if (this.#left.hasRows()) this.#statements.deleteRange.run(0, this.#left.through);
          action();
        });
      } finally {
        this.#rows.forget();
      }
      this.#left.deleted();
    });
  }

  /** The first that waits after a `seq`. */
  #oldest(after: number): Oldest | undefined {
    this.#rows.flush();
    return this.#statements.oldest.get(Math.max(after, this.#left.through)) as Oldest | undefined;
  }

  /** Whether nothing waits before it. */
  #isNext(seq: number): boolean {
    return seq === this.#left.through + 1 || this.#oldest(0)?.seq === seq;
  }

  /** Whether none of so many has been dropped. */
  #isThere(ranges: readonly (readonly [number, number])[], messages: number): boolean {
    const count = (first: number, last: number) =>
      this.#statements.countRange.get(first, last)!.n as number;
    return ranges.reduce((sum, range) => sum + count(...range), 0) === messages;
  }

  #read(after: number, most: number): Found {
    return this.#guard(() => readAfter(this.#statements.take, after, most));
  }

  #setDamagedAside(damaged: readonly number[]): void {
    try {
      inTransaction(this.#db, () => {
        for (const seq of damaged) {
          this.#statements.quarantine.run("damaged on disk", seq);
          this.#statements.deleteRange.run(seq, seq);
        }
      });
    } catch {
      // The disk cannot be written to now: they stay, and are not handed out.
      return;
    }
    this.#mayLack = true;
    this.#countAgain();
    this.#options.onDamaged?.(damaged.length);
  }

  #counter(name: string): number {
    return this.#statements.counter.get(name)!.value as number;
  }

  #writeCounts(): void {
    const { lastSeq, waiting, dropped } = this.#counts;
    this.#statements.setCounters.run(lastSeq, waiting, dropped);
  }

  /** For when some of what left had been dropped before, while it was in flight. */
  #countAgain(): void {
    Object.assign(this.#counts, this.#totals());
  }

  #totals(): { waiting: number; bytes: number } {
    return this.#statements.totals.get(this.#left.through) as { waiting: number; bytes: number };
  }

  #forget(bytes: number): void {
    this.#counts.waiting--;
    this.#counts.bytes -= bytes;
  }

  /** Drops what grew too old while nothing was put. */
  #expire(): void {
    if (this.#options.maxAgeMs === undefined) return;
    const before = { ...this.#counts };
    this.#guard(() => {
      inTransaction(this.#db, () => {
        this.#limits.dropAged();
        if (this.#counts.dropped !== before.dropped) this.#writeCounts();
      });
    }, before);
    const dropped = this.#counts.dropped - before.dropped;
    if (dropped === 0) return;
    this.#ahead.forget();
    this.#options.onAged?.(dropped);
  }

  /** With `FULL` each commit is synced: in WAL mode the one level that does. */
  #setSynchronous(wanted: "FULL" | "NORMAL"): void {
    const level = this.#options.durability === "power" ? wanted : "NORMAL";
    if (level === this.#synchronous) return;
    this.#db.exec(`PRAGMA synchronous = ${level}`);
    this.#synchronous = level;
  }

  /** Runs an action on the file; where it fails, the numbers are as they were before. */
  #guard<T>(action: () => T, before = { ...this.#counts }): T {
    try {
      return action();
    } catch (error) {
      Object.assign(this.#counts, before);
      throw storageError(this.#path, error);
    }
  }
}
