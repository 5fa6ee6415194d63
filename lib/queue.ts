/**
 * The queue: messages on disk, oldest first, until they are acknowledged. Only it, its schema and salvage.ts know SQLite.
 *
 * Rules: `put` returns after the commit (and, with durability `power`, its fsync); a message leaves by `accept`,
 * `quarantine` or a limit, and only so; `seq` grows by one per message for the life of the file, a dropped message
 * included. What is taken stays on disk until accepted. Who may open the file is queue_dir.ts's business.
 */

import { DatabaseSync } from "node:sqlite";
import { checksumOf } from "./checksum.ts";
import { messageOf } from "./errors.ts";
import { MAX_PAYLOAD_BYTES, type Qos, utf8Bytes } from "./message.ts";
import { storageError } from "./queue_errors.ts";
import { inTransaction, prepareFile, prepareStatements } from "./queue_schema.ts";
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

/** No message was taken before this: its clock was not set yet. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2026, 0, 1);

interface OldestRow {
  readonly seq: number;
  readonly bytes: number;
  readonly timeMs: number;
}

/** Bytes of messages after which no more are read at once: what is taken lies in memory. */
const TAKE_BYTES = 256 * 1024;
/** Rows read before their bytes are looked at; of the largest, 2 MiB. */
const FEW = 16;

/** A row as `take` reads it. The checksum is null in a message put by a version that kept none. */
type Row = [
  seq: number,
  topic: string,
  qos: Qos,
  timeMs: number,
  payload: string,
  checksum: number | null,
  payloadBytes: number,
  bytes: number,
];

class SqliteQueue implements Queue {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #options: QueueOptions;
  readonly #now: () => number;
  readonly #statements: ReturnType<typeof prepareStatements>;
  #waiting = 0;
  #bytes = 0;
  #lastSeq: number;
  #dropped: number;
  /** `seq` of the last message taken; 0 after a rewind. */
  #cursor = 0;
  #synchronous = "";
  #isInFlight: (seq: number) => boolean = () => false;
  #droppedThrough = 0;

  constructor(db: DatabaseSync, path: string, options: QueueOptions) {
    this.#db = db;
    this.#path = path;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#statements = prepareStatements(db);
    this.#countAgain();
    this.#lastSeq = this.#counter("seq");
    this.#dropped = this.#counter("dropped");
  }

  put(drafts: readonly Draft[], afterSeq = 0): PutResult {
    const { maxMessages, maxBytes, full } = this.#options;
    const before = { ...this.#numbers() };
    let stored = 0;
    const tooLarge: number[] = [];
    this.#droppedThrough = 0;
    this.#guard(() => {
      // FULL: in WAL mode the one level that syncs at each commit.
      this.#setSynchronous("FULL");
      inTransaction(this.#db, () => {
        this.#dropAged();
        this.#lastSeq = Math.max(this.#lastSeq, afterSeq);
        for (const draft of drafts) {
          const seq = ++this.#lastSeq;
          const payload = draft.payload(seq);
          // A string is at most three bytes of UTF-8 per unit: most payloads need no counting here.
          if (payload.length * 3 > MAX_PAYLOAD_BYTES && utf8Bytes(payload) > MAX_PAYLOAD_BYTES) {
            tooLarge.push(utf8Bytes(payload));
            this.#lastSeq--;
            continue;
          }
          const bytes = sizeOf(draft.topic, payload);
          const over = this.#waiting + 1 > maxMessages || this.#bytes + bytes > maxBytes;
          if (over && full === "drop-newest") {
            this.#dropped++;
            continue;
          }
          const { topic, qos, timeMs } = draft;
          this.#statements.insert.run(...valuesOf({ seq, topic, qos, timeMs, payload }));
          this.#waiting++;
          this.#bytes += bytes;
          stored++;
          if (over) this.#dropOldest();
        }
        this.#statements.setCounter.run(this.#lastSeq, "seq");
        this.#statements.setCounter.run(this.#waiting, "waiting");
        if (this.#dropped !== before.dropped) {
          this.#statements.setCounter.run(this.#dropped, "dropped");
        }
      });
    }, before);
    const dropped = this.#dropped - before.dropped;
    return {
      lastSeq: this.#lastSeq,
      stored,
      dropped,
      droppedThrough: this.#droppedThrough,
      tooLarge,
    };
  }

  restore(messages: readonly QueuedMessage[]): void {
    const before = this.#numbers();
    this.#guard(() => {
      this.#setSynchronous("FULL");
      inTransaction(this.#db, () => {
        for (const message of messages) {
          const { changes } = this.#statements.restore.run(...valuesOf(message));
          if (changes === 0) continue;
          this.#waiting++;
          this.#bytes += sizeOf(message.topic, message.payload);
          this.#lastSeq = Math.max(this.#lastSeq, message.seq);
        }
        this.#dropOldest();
        this.#statements.setCounter.run(this.#lastSeq, "seq");
        this.#statements.setCounter.run(this.#waiting, "waiting");
        this.#statements.setCounter.run(this.#dropped, "dropped");
      });
    }, before);
  }

  take(most: number): TakenMessage[] {
    this.#expire();
    const taken: TakenMessage[] = [];
    let cursor = this.#cursor;
    for (let bytes = 0; taken.length < most && bytes < TAKE_BYTES;) {
      const few = Math.min(FEW, most - taken.length);
      const { messages, damaged, last } = this.#guard(() => this.#read(cursor, few));
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
    const [message] = this.#guard(() => this.#read(seq - 1, 1)).messages;
    return message?.seq === seq ? message : undefined;
  }

  accept(messages: readonly Leaving[]): void {
    if (messages.length === 0) return;
    const before = this.#numbers();
    this.#guard(() => {
      // A delivered message that a power cut brings back is sent twice, not lost: no need to sync for it.
      this.#setSynchronous("NORMAL");
      inTransaction(this.#db, () => {
        let deleted = 0;
        for (const [first, last] of runs(messages.map(({ seq }) => seq))) {
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
    this.#isInFlight = isInFlight;
  }

  quarantine({ seq, bytes }: Leaving, reason: string): void {
    const before = this.#numbers();
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
      waiting: this.#waiting,
      bytes: this.#bytes,
      oldestMs: (this.#statements.oldest.get(0) as { timeMs: number } | undefined)?.timeMs,
      quarantined: this.#statements.quarantined.get()!.n as number,
      dropped: this.#dropped,
      lastSeq: this.#lastSeq,
    }));
  }

  clear(): number {
    return this.#guard(() => {
      const { waiting, quarantined } = this.stats();
      inTransaction(this.#db, () => this.#db.exec("DELETE FROM message; DELETE FROM quarantine"));
      this.#waiting = 0;
      this.#bytes = 0;
      // Gives the space back, which deleting alone does not.
      this.#db.exec("VACUUM");
      return waiting + quarantined;
    });
  }

  close(): void {
    try {
      if (!this.#options.readOnly) this.#statements.setCounter.run(this.#waiting, "waiting");
    } catch { /* the disk fails, which is no reason to stay */ }
    this.#db.close();
  }

  /** The next messages, and the `seq` of those among them that are damaged. */
  #read(after: number, most: number) {
    const rows = this.#statements.take.all(after, most) as unknown as Row[];
    const messages: TakenMessage[] = [];
    const damaged: number[] = [];
    for (const [seq, topic, qos, timeMs, payload, checksum, payloadBytes, bytes] of rows) {
      const message = { seq, topic, qos, timeMs, payload, payloadBytes, bytes };
      if (checksum === null || checksum === checksumOf(message)) messages.push(message);
      else damaged.push(seq);
    }
    return { messages, damaged, last: rows.at(-1)?.[0] ?? after };
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

  #numbers() {
    return {
      waiting: this.#waiting,
      bytes: this.#bytes,
      lastSeq: this.#lastSeq,
      dropped: this.#dropped,
    };
  }

  /** For when some of what left had been dropped before, while it was in flight. */
  #countAgain(): void {
    const { waiting, bytes } = this.#statements.totals.get() as { waiting: number; bytes: number };
    this.#waiting = waiting;
    this.#bytes = bytes;
  }

  #forget(bytes: number): void {
    this.#waiting--;
    this.#bytes -= bytes;
  }

  /** Drops the oldest until the limits hold again; those in flight only if nothing else is left. */
  #dropOldest(): void {
    const { maxMessages, maxBytes } = this.#options;
    while (this.#waiting > maxMessages || this.#bytes > maxBytes) {
      this.#drop(this.#oldest()!);
    }
  }

  #dropAged(): void {
    if (this.#options.maxAgeMs === undefined) return;
    const limit = this.#now() - this.#options.maxAgeMs;
    for (;;) {
      const row = this.#oldest();
      // A message from before the clock was set has no age that could be known.
      if (row === undefined || row.timeMs >= limit || row.timeMs < CLOCK_UNSET_BEFORE_MS) return;
      if (this.#isInFlight(row.seq)) return;
      this.#drop(row);
    }
  }

  /** Drops what grew too old while nothing was put. */
  #expire(): void {
    if (this.#options.maxAgeMs === undefined) return;
    const before = this.#numbers();
    this.#guard(() => {
      inTransaction(this.#db, () => {
        this.#dropAged();
        if (this.#dropped !== before.dropped) {
          this.#statements.setCounter.run(this.#dropped, "dropped");
        }
      });
    }, before);
    if (this.#dropped !== before.dropped) this.#options.onAged?.(this.#dropped - before.dropped);
  }

  /** The oldest that is not in flight, or the oldest of all. */
  #oldest(): OldestRow | undefined {
    for (let after = 0;;) {
      const row = this.#statements.oldest.get(after) as OldestRow | undefined;
      if (row === undefined) return this.#statements.oldest.get(0) as OldestRow | undefined;
      if (!this.#isInFlight(row.seq)) return row;
      after = row.seq;
    }
  }

  #drop({ seq, bytes }: OldestRow): void {
    this.#statements.deleteRange.run(seq, seq);
    this.#forget(bytes);
    this.#dropped++;
    this.#droppedThrough = Math.max(this.#droppedThrough, seq);
  }

  #setSynchronous(wanted: "FULL" | "NORMAL"): void {
    const level = this.#options.durability === "power" ? wanted : "NORMAL";
    if (level === this.#synchronous) return;
    this.#db.exec(`PRAGMA synchronous = ${level}`);
    this.#synchronous = level;
  }

  /** Runs an action on the file; where it fails, the numbers are as they were before. */
  #guard<T>(action: () => T, before = this.#numbers()): T {
    try {
      return action();
    } catch (error) {
      this.#waiting = before.waiting;
      this.#bytes = before.bytes;
      this.#lastSeq = before.lastSeq;
      this.#dropped = before.dropped;
      throw storageError(this.#path, error);
    }
  }
}

/** A message as the values of its row. */
function valuesOf(message: QueuedMessage): [number, string, number, number, string, number] {
  const { seq, topic, qos, timeMs, payload } = message;
  return [seq, topic, qos, timeMs, payload, checksumOf(message)];
}

function sizeOf(topic: string, payload: string): number {
  return utf8Bytes(topic) + utf8Bytes(payload);
}

/** The numbers as ranges without gaps. */
function runs(seqs: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const seq of seqs.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === seq - 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}
