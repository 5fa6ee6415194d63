/**
 * The queue: messages on disk, oldest first, until they are acknowledged. Only it, its schema and salvage.ts know SQLite.
 *
 * Rules: `put` returns after the commit (and, with durability `power`, its fsync); a message leaves by `accept`,
 * `quarantine` or a limit, and only so; `seq` grows by one per message for the life of the file, a dropped message
 * included. What is taken stays on disk until accepted. Who may open the file is queue_dir.ts's business.
 */

import { DatabaseSync } from "node:sqlite";
import { messageOf } from "./errors.ts";
import { MAX_PAYLOAD_BYTES, utf8Bytes } from "./message.ts";
import { storageError } from "./queue_errors.ts";
import { type Counts, createLimits, type Limits } from "./queue_limits.ts";
import { type Found, rangesOf, readAfter, sizeOf, valuesOf } from "./queue_rows.ts";
import { inTransaction, prepareFile, prepareStatements, type Statements } from "./queue_schema.ts";
import type {
  Draft,
  Leaving,
  PutResult,
  Queue,
  QueuedMessage,
  QueueOptions,
  QueueStats,
  TakenMessage,
} from "./queue_types.ts";

export { DamagedQueueError } from "./queue_errors.ts";
export type * from "./queue_types.ts";

/**
 * Opens a queue.
 *
 * @param path The file, made if it is missing, or `:memory:`.
 * @throws {DamagedQueueError} If the file is damaged.
 * @throws {UserError} With exit code 73 if it cannot be used.
 */
export function openQueue(path: string, options: QueueOptions): Queue {
  try {
    return openAt(path, path, options);
  } catch (error) {
    if (!options.readOnly || !/unable to open/.test(messageOf(error))) throw error;
    // SQLite puts two files beside one in WAL mode even to read it. Where it cannot, nobody else writes either.
    const uri = `file:${path.split("/").map(encodeURIComponent).join("/")}?immutable=1`;
    return openAt(uri, path, options);
  }
}

function openAt(location: string, path: string, options: QueueOptions): Queue {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(location, { readOnly: options.readOnly ?? false });
    prepareFile(db, path, options.readOnly ?? false);
    return new SqliteQueue(db, path, options);
  } catch (error) {
    db?.close();
    throw storageError(path, error);
  }
}

/** Bytes of messages after which no more are read at once: what is taken lies in memory. */
const TAKE_BYTES = 256 * 1024;
/** Rows read before their bytes are looked at; of the largest, 2 MiB. */
const FEW = 16;

class SqliteQueue implements Queue {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #options: QueueOptions;
  readonly #statements: Statements;
  readonly #counts: Counts;
  readonly #limits: Limits;
  /** `seq` of the last message taken; 0 after a rewind. */
  #cursor = 0;
  #synchronous = "";

  constructor(db: DatabaseSync, path: string, options: QueueOptions) {
    this.#db = db;
    this.#path = path;
    this.#options = options;
    this.#statements = prepareStatements(db);
    this.#counts = {
      ...this.#totals(),
      lastSeq: this.#counter("seq"),
      dropped: this.#counter("dropped"),
    };
    this.#limits = createLimits(this.#statements, this.#counts, options);
  }

  put(drafts: readonly Draft[], afterSeq = 0): PutResult {
    const { maxMessages, maxBytes, full } = this.#options;
    const counts = this.#counts;
    const before = { ...counts };
    let stored = 0;
    let droppedThrough = 0;
    const tooLarge: number[] = [];
    this.#guard(() => {
      // FULL: in WAL mode the one level that syncs at each commit.
      this.#setSynchronous("FULL");
      inTransaction(this.#db, () => {
        droppedThrough = this.#limits.dropAged();
        counts.lastSeq = Math.max(counts.lastSeq, afterSeq);
        for (const draft of drafts) {
          const seq = ++counts.lastSeq;
          const payload = draft.payload(seq);
          // A string is at most three bytes of UTF-8 per unit: most payloads need no counting here.
          if (payload.length * 3 > MAX_PAYLOAD_BYTES && utf8Bytes(payload) > MAX_PAYLOAD_BYTES) {
            tooLarge.push(utf8Bytes(payload));
            counts.lastSeq--;
            continue;
          }
          const bytes = sizeOf(draft.topic, payload);
          const over = counts.waiting + 1 > maxMessages || counts.bytes + bytes > maxBytes;
          if (over && full === "drop-newest") {
            counts.dropped++;
            continue;
          }
          const { topic, qos, timeMs } = draft;
          this.#statements.insert.run(...valuesOf({ seq, topic, qos, timeMs, payload }));
          counts.waiting++;
          counts.bytes += bytes;
          stored++;
          if (over) droppedThrough = Math.max(droppedThrough, this.#limits.dropOldest());
        }
        this.#writeCounts();
      });
    }, before);
    const dropped = counts.dropped - before.dropped;
    return { lastSeq: counts.lastSeq, stored, dropped, droppedThrough, tooLarge };
  }

  restore(messages: readonly QueuedMessage[]): void {
    const counts = this.#counts;
    const before = { ...counts };
    this.#guard(() => {
      this.#setSynchronous("FULL");
      inTransaction(this.#db, () => {
        for (const message of messages) {
          const { changes } = this.#statements.restore.run(...valuesOf(message));
          if (changes === 0) continue;
          counts.waiting++;
          counts.bytes += sizeOf(message.topic, message.payload);
          counts.lastSeq = Math.max(counts.lastSeq, message.seq);
        }
        this.#limits.dropOldest();
        this.#writeCounts();
      });
    }, before);
  }

  take(most: number): TakenMessage[] {
    this.#expire();
    const { bytes: allBytes, waiting } = this.#counts;
    const taken: TakenMessage[] = [];
    let cursor = this.#cursor;
    for (let bytes = 0; taken.length < most && bytes < TAKE_BYTES;) {
      // Of the average size, just enough.
      const enough = Math.ceil(TAKE_BYTES * waiting / allBytes) || 1;
      const few = Math.min(FEW, enough, most - taken.length);
      const { messages, damaged, last } = this.#read(cursor, few);
      if (last === cursor) break;
      cursor = last;
      if (damaged.length > 0) this.#setDamagedAside(damaged);
      for (const message of messages) bytes += message.bytes;
      taken.push(...messages);
    }
    this.#cursor = cursor;
    return taken;
  }

  find(seq: number): TakenMessage | undefined {
    const [message] = this.#read(seq - 1, 1).messages;
    return message?.seq === seq ? message : undefined;
  }

  accept(messages: readonly Leaving[]): void {
    if (messages.length === 0) return;
    const before = { ...this.#counts };
    this.#guard(() => {
      // A delivered message that a power cut brings back is sent twice, not lost: no need to sync for it.
      this.#setSynchronous("NORMAL");
      inTransaction(this.#db, () => {
        let deleted = 0;
        for (const [first, last] of rangesOf(messages.map(({ seq }) => seq))) {
          deleted += Number(this.#statements.deleteRange.run(first, last).changes);
        }
        if (deleted !== messages.length) return this.#countAgain();
        for (const { bytes } of messages) this.#forget(bytes);
      });
    }, before);
  }

  rewind(): void {
    this.#cursor = 0;
  }

  protect(isInFlight: (seq: number) => boolean): void {
    this.#limits.protect(isInFlight);
  }

  quarantine({ seq, bytes }: Leaving, reason: string): void {
    const before = { ...this.#counts };
    this.#guard(() => {
      this.#setSynchronous("FULL");
      inTransaction(this.#db, () => {
        const { changes } = this.#statements.quarantine.run(reason, seq);
        if (changes === 0) return;
        this.#statements.deleteRange.run(seq, seq);
        this.#forget(bytes);
      });
    }, before);
  }

  stats(): QueueStats {
    return this.#guard(() => ({
      ...this.#counts,
      oldestMs: (this.#statements.oldest.get(0) as { timeMs: number } | undefined)?.timeMs,
      quarantined: this.#statements.quarantined.get()!.n as number,
    }));
  }

  clear(): number {
    return this.#guard(() => {
      const { waiting, quarantined } = this.stats();
      inTransaction(this.#db, () => this.#db.exec("DELETE FROM message; DELETE FROM quarantine"));
      this.#counts.waiting = 0;
      this.#counts.bytes = 0;
      // Gives the space back, which deleting alone does not.
      this.#db.exec("VACUUM");
      return waiting + quarantined;
    });
  }

  close(): void {
    try {
      if (!this.#options.readOnly) this.#statements.setCounter.run(this.#counts.waiting, "waiting");
    } catch { /* the disk fails, which is no reason to stay */ }
    this.#db.close();
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
    this.#countAgain();
    this.#options.onDamaged?.(damaged.length);
  }

  #counter(name: string): number {
    return this.#statements.counter.get(name)!.value as number;
  }

  #writeCounts(): void {
    const { lastSeq, waiting, dropped } = this.#counts;
    this.#statements.setCounter.run(lastSeq, "seq");
    this.#statements.setCounter.run(waiting, "waiting");
    this.#statements.setCounter.run(dropped, "dropped");
  }

  /** For when some of what left had been dropped before, while it was in flight. */
  #countAgain(): void {
    Object.assign(this.#counts, this.#totals());
  }

  #totals(): { waiting: number; bytes: number } {
    return this.#statements.totals.get() as { waiting: number; bytes: number };
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
    if (dropped > 0) this.#options.onAged?.(dropped);
  }

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
