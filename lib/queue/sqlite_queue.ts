/**
 * Messages in a table of SQLite, in a file or in memory, oldest first, until they are acknowledged.
 *
 * Rules: `put` returns after the commit (with durability `power` after its fsync); a message leaves by `accept`,
 * `quarantine` or a limit, and only so; `seq` grows by one a message for the life of the file, dropped ones included.
 * The queue owns what is in flight, and its counts are those of its rows: they are read when the file is opened, follow
 * each commit, and go back with it where it fails. Who may open the file, and what is done while the disk fails, is left
 * to state_directory.ts and state_queue.ts.
 */

import type { DatabaseSync } from "node:sqlite";
import type { UserError } from "../core/errors.ts";
import { isFull, storageError } from "./errors.ts";
import {
  type AsideMessage,
  bytesOf,
  countersChecksum,
  messageOfRow,
  rangesOf,
  type Row,
  ROWS_AT_ONCE,
  valuesOf,
} from "./row.ts";
import {
  type Counters,
  inTransaction,
  numberOf,
  openFile,
  PAGE_BYTES,
  pragma,
  prepareStatements,
  readCounters,
  type Statements,
} from "./schema.ts";
import type {
  Amount,
  NewMessage,
  PutOptions,
  PutResult,
  QueuedMessage,
  QueueOptions,
  QueueStats,
  TakenMessage,
  TopicWaiting,
} from "./types.ts";

/** Bytes of messages after which no more are taken at once: what is taken lies in memory. */
const TAKE_BYTES = 256 * 1024;
/** Rows deleted in one commit at most, so that a full disk has room for it. */
const MOST_DELETED = 2000;
/** Bytes of free pages that an empty file keeps. */
const MOST_FREE_BYTES = 1024 * 1024;
/** What the quarantine holds at most; the oldest go. */
export const QUARANTINE: Amount = { messages: 1000, bytes: 8 * 1024 ** 2 };
/** No message was sampled before this: its clock was not set yet. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2026, 0, 1);

/** What the rows say, and what the counters in the file say. */
interface Counts {
  /** Rows of messages, and the bytes in them. */
  messages: number;
  bytes: number;
  quarantined: number;
  /** `seq` of the last row; 0: there is none. */
  top: number;
  lastSeq: number;
  dropped: number;
  /** The counters as the file has them. */
  saved: Counters;
}

/** What is asked of the oldest message. */
type Oldest = Pick<TakenMessage, "seq" | "bytes" | "timeMs">;

/** Messages of another queue, and what was counted there. */
export interface Adopted extends Partial<Counters> {
  readonly messages: readonly QueuedMessage[];
  readonly aside?: readonly AsideMessage[];
  /** Which of the messages are in flight, with their bytes. */
  readonly inFlight?: ReadonlyMap<number, number>;
}

/** A queue over SQLite. Each method throws {@linkcode UserError} (73) where the storage fails, and has then changed nothing. */
export class SqliteQueue {
  readonly #path: string;
  readonly #options: QueueOptions;
  #db!: DatabaseSync;
  #sql!: Statements;
  #counts: Counts;
  /** Bytes of each message in flight, by `seq`: taken, and neither ended nor released. */
  readonly #inFlight = new Map<number, number>();
  /** Messages that have left, with their bytes. Design: their rows go with the next commit, as one for each would double the wear. */
  readonly #left = new Map<number, number>();
  /** Why some of those are set aside. */
  readonly #reasons = new Map<number, string>();
  #leftBytes = 0;
  /** All rows up to this `seq` are in flight or have left. */
  #cursor = 0;
  /** What `PRAGMA synchronous` was set to last. */
  #synchronous = "";
  /** Whether the file must be opened anew before it is written to: a commit failed. */
  #mustReopen = false;

  /**
   * @param path The file, made if it is missing, or `:memory:`.
   * @throws {DamagedQueueError | OlderQueueError} If it is not exactly ours.
   */
  constructor(path: string, options: QueueOptions) {
    this.#path = path;
    this.#options = options;
    try {
      this.#open(openFile(path));
      this.#counts = this.#count();
    } catch (error) {
      if (this.#db?.isOpen) this.#db.close();
      throw storageError(path, error);
    }
  }

  get lastSeq(): number {
    return this.#counts.lastSeq;
  }

  /** What waits, in flight or not. */
  get waiting(): Amount {
    const { messages, bytes } = this.#counts;
    return { messages: messages - this.#left.size, bytes: bytes - this.#leftBytes };
  }

  /** Messages that have left and have rows still. */
  get pending(): number {
    return this.#left.size;
  }

  /** Adds messages in one commit, all or none. @param firstSeq The `seq` of the first one. */
  put(
    messages: readonly NewMessage[],
    { refuse = false, firstSeq = this.lastSeq + 1 }: PutOptions & { firstSeq?: number } = {},
  ): PutResult {
    const { maxBytes, maxAgeMs, full } = this.#options;
    const { dropped } = this.#counts;
    const rows: ReturnType<typeof valuesOf>[] = [];
    let stored = 0;
    if (this.#left.size > MOST_DELETED) this.flush();
    this.#commit("FULL", () => {
      const counts = this.#counts;
      counts.lastSeq = firstSeq - 1;
      while (maxAgeMs !== undefined && this.#dropOldest((oldest) => this.#isTooOld(oldest)));
      for (const message of messages) {
        const bytes = bytesOf(message);
        const mayDrop = full === "drop-oldest" && bytes <= maxBytes;
        while (mayDrop && this.#isOver(1, bytes)) {
          // What this put brought may have to go again.
          this.#insert(rows.splice(0));
          if (!this.#dropOldest()) break;
        }
        const isRefused = this.#isOver(1, bytes);
        if (isRefused && refuse) break;
        const seq = ++counts.lastSeq;
        if (isRefused) {
          counts.dropped++;
          continue;
        }
        rows.push(valuesOf(message, seq));
        this.#added(seq, bytes);
        stored++;
        if (rows.length === ROWS_AT_ONCE) this.#insert(rows.splice(0));
      }
      this.#insert(rows);
    });
    const { lastSeq } = this.#counts;
    return { firstSeq, lastSeq, stored, dropped: this.#counts.dropped - dropped };
  }

  /** Adds messages that have their `seq`, in one commit; what is there stays. */
  adopt({ messages, aside = [], inFlight = new Map(), seq = 0, dropped = 0 }: Adopted): void {
    this.#cursor = Math.min(this.#cursor, (messages[0]?.seq ?? Infinity) - 1);
    this.#commit("FULL", () => {
      const counts = this.#counts;
      for (const message of messages) {
        const { changes } = this.#sql.restore.run(...valuesOf(message, message.seq));
        if (changes === 1) this.#added(message.seq, bytesOf(message));
      }
      for (const message of aside) {
        const { changes } = this.#sql.keepAside.run(
          ...valuesOf(message, message.seq),
          message.reason,
        );
        counts.quarantined += Number(changes);
      }
      counts.lastSeq = Math.max(counts.lastSeq, counts.top, seq);
      counts.dropped += dropped;
      while (this.#isOver(0, 0) && this.#dropOldest(({ seq }) => !inFlight.has(seq)));
      this.#boundQuarantine();
    });
    for (const [seq, bytes] of inFlight) this.#inFlight.set(seq, bytes);
  }

  /** Moves all to another queue, in flight or not, in one commit there. */
  moveTo(other: SqliteQueue): void {
    this.flush();
    other.adopt({
      messages: this.#read(0, -1).flatMap((row) => messageOfRow(row) ?? this.#exactly(row) ?? []),
      aside: this.#sql.allAside.all() as unknown as AsideMessage[],
      inFlight: this.#inFlight,
      seq: this.lastSeq,
      dropped: this.#counts.dropped,
    });
    this.clear();
    this.#counts.dropped = 0;
  }

  /** Goes on where another one over the same messages ended: with what is in flight and what has left. */
  succeed(other: SqliteQueue): void {
    for (const row of this.#read(0, -1)) {
      const [seq, topic, , , payload] = row;
      const bytes = bytesOf({ topic, payload });
      if (other.#left.has(seq)) this.#leave(seq, bytes, other.#reasons.get(seq));
      else if (other.#inFlight.has(seq)) this.#inFlight.set(seq, bytes);
    }
    this.#counts.lastSeq = Math.max(this.lastSeq, other.lastSeq);
  }

  /** Marks the next messages as in flight, oldest first: fewer than `most` if they are large, none if none is left. */
  take(most: number): TakenMessage[] {
    this.#leaveAged();
    const taken: TakenMessage[] = [];
    const { messages, bytes: allBytes } = this.#counts;
    // Of the average size, just enough.
    const enough = Math.ceil(TAKE_BYTES * messages / allBytes) || 1;
    let damagedRows = 0;
    for (let bytes = 0; taken.length < most && bytes < TAKE_BYTES;) {
      const rows = this.#read(this.#cursor, Math.min(enough, most - taken.length));
      if (rows.length === 0) break;
      for (const row of rows) {
        const seq = this.#cursor = row[0];
        if (this.#inFlight.has(seq) || this.#left.has(seq)) continue;
        const message = messageOfRow(row) ?? this.#exactly(row);
        if (message === undefined) {
          const [, topic, , , payload] = row;
          this.#leave(seq, bytesOf({ topic, payload }), "damaged on disk");
          damagedRows++;
          continue;
        }
        bytes += message.bytes;
        this.#inFlight.set(seq, message.bytes);
        taken.push(message);
      }
    }
    if (damagedRows > 0) this.#options.onDamaged?.(damagedRows);
    return taken;
  }

  /** Ends messages in flight as delivered; others are not touched. */
  accept(seqs: readonly number[]): void {
    for (const seq of seqs) this.#end(seq);
  }

  /** Ends a message in flight as one to be set aside. */
  quarantine(seq: number, reason: string): void {
    this.#end(seq, reason);
  }

  /** Returns messages in flight: these, or all. */
  release(seqs: Iterable<number> = [...this.#inFlight.keys()]): void {
    for (const seq of seqs) {
      if (this.#inFlight.delete(seq)) this.#cursor = Math.min(this.#cursor, seq - 1);
    }
  }

  /** Deletes the rows of what has left. A power cut may bring them back: a repeat, not a loss, so nothing is synced. */
  flush(): void {
    while (this.#left.size > 0) this.#commit("NORMAL", () => {});
  }

  /** Those of these messages that wait. */
  among(seqs: ReadonlySet<number>): ReadonlySet<number> {
    const rows = seqs.size === 0 ? [] : this.#read(0, -1);
    return new Set(rows.map(([seq]) => seq).filter((seq) => seqs.has(seq) && !this.#left.has(seq)));
  }

  /** Ends messages as delivered that another queue has delivered. */
  forget(seqs: ReadonlySet<number>): void {
    for (const [seq, topic, , , payload] of seqs.size === 0 ? [] : this.#read(0, -1)) {
      if (seqs.has(seq)) this.#leave(seq, bytesOf({ topic, payload }));
    }
  }

  /** Gives back the pages that the file does not use. */
  shrink(): void {
    this.#commit("NORMAL", () => {});
    this.#guard(() => {
      if (numberOf(this.#db, "freelist_count") === 0) return;
      pragma(this.#db, "incremental_vacuum");
      pragma(this.#db, "wal_checkpoint(TRUNCATE)");
    });
  }

  stats(): QueueStats {
    const { quarantined, dropped, lastSeq } = this.#counts;
    const { messages: waiting, bytes } = this.waiting;
    const oldestMs = waiting === 0 ? undefined : this.#oldestMs();
    return {
      waiting,
      bytes,
      oldestMs,
      quarantined: quarantined + this.#reasons.size,
      dropped,
      lastSeq,
    };
  }

  /** What waits for other topics than this one, the topic of the oldest message first. */
  forOthers(topic: string): readonly TopicWaiting[] {
    return this.#guard(() => this.#sql.forOthers.all(topic) as unknown as TopicWaiting[]);
  }

  /** Discards all, quarantined or in flight; returns how many. `seq` goes on. */
  clear(): number {
    const { waiting, quarantined } = this.stats();
    this.#commit("NORMAL", () => {
      this.#sql.clear.run();
      this.#sql.clearAside.run();
      this.#counts.messages =
        this.#counts.bytes =
        this.#counts.quarantined =
        this.#counts.top =
          0;
    });
    this.#inFlight.clear();
    this.#cursor = 0;
    return waiting + quarantined;
  }

  /** Moves the log into the file, and cuts it off. */
  checkpoint(): void {
    this.#guard(() => pragma(this.#db, "wal_checkpoint(TRUNCATE)"));
  }

  close(): void {
    try {
      this.flush();
      if (this.#counts.messages === 0) this.shrink();
    } catch { /* the disk fails, which is no reason to stay */ }
    if (!this.#db.isOpen) return;
    this.#db.close();
    // Where there is a log no inode is needed to open the file again.
    if (this.#path !== ":memory:") {
      try {
        Deno.writeFileSync(`${this.#path}-wal`, new Uint8Array(), { append: true, mode: 0o600 });
      } catch { /* the disk fails */ }
    }
  }

  #open(db: DatabaseSync): void {
    this.#db = db;
    this.#sql = prepareStatements(db);
    this.#synchronous = "";
  }

  #count(): Counts {
    const { messages, bytes } = this.#sql.totals.get() as unknown as Amount;
    // A number that the row's checksum does not bear out is none.
    let last: Row | undefined;
    for (let before = Infinity; last === undefined || messageOfRow(last) === undefined;) {
      last = this.#sql.last.all(Math.min(before, Number.MAX_SAFE_INTEGER))[0] as unknown as Row;
      if (last === undefined) break;
      before = last[0];
    }
    const saved = readCounters(this.#db, this.#path);
    return {
      messages,
      bytes,
      quarantined: (this.#sql.aside.get() as unknown as Amount).messages,
      top: this.#top(),
      lastSeq: Math.max(saved.seq, last?.[0] ?? 0),
      dropped: saved.dropped,
      saved,
    };
  }

  /**
   * Runs an action in a commit, which deletes the rows of what has left, too.
   *
   * @param level With `FULL` and durability `power` it is synced.
   */
  #commit(level: "FULL" | "NORMAL", action: () => void): void {
    const before = { ...this.#counts };
    const leaving = [...this.#left.keys().take(MOST_DELETED)];
    this.#guard(() => {
      if (this.#mustReopen) this.#reopen();
      this.#setSynchronous(this.#options.durability === "power" ? level : "NORMAL");
      inTransaction(this.#sql, () => {
        this.#deleteRows(leaving);
        action();
        this.#saveCounters();
      });
    }, (error) => {
      this.#counts = before;
      this.#mustReopen = !isFull(error) && this.#path !== ":memory:";
    });
    for (const seq of leaving) {
      this.#leftBytes -= this.#left.get(seq)!;
      this.#left.delete(seq);
      this.#reasons.delete(seq);
    }
    if (this.#counts.messages === 0) this.#giveSpaceBack();
  }

  #deleteRows(seqs: readonly number[]): void {
    if (seqs.length === 0) return;
    const counts = this.#counts;
    for (const [seq, reason] of this.#reasons) {
      if (!seqs.includes(seq)) continue;
      // What is too large to be a message is not kept.
      if (this.#sql.setAside.run(reason, seq).changes === 1) counts.quarantined++;
      else counts.dropped++;
    }
    for (const [first, last] of rangesOf(seqs)) {
      counts.messages -= Number(this.#sql.remove.run(first, last).changes);
      if (counts.top <= last) counts.top = this.#top();
    }
    for (const seq of seqs) counts.bytes -= this.#left.get(seq)!;
    if (this.#reasons.size > 0) this.#boundQuarantine();
  }

  #boundQuarantine(): void {
    const most = Math.min(QUARANTINE.messages, this.#options.maxMessages);
    for (;;) {
      const { messages, bytes, first } = this.#sql.aside.get() as Record<string, number>;
      if (messages! <= most && bytes! <= QUARANTINE.bytes) return;
      this.#sql.dropAside.run(first!);
      this.#counts.quarantined--;
      this.#counts.dropped++;
    }
  }

  /** Writes the counters if they cannot be seen from the rows. */
  #saveCounters(): void {
    const { top, lastSeq: seq, dropped, saved } = this.#counts;
    if (dropped === saved.dropped && (top === seq || saved.seq === seq)) return;
    this.#sql.setCounters.run(seq, dropped, countersChecksum(seq, dropped));
    this.#counts.saved = { seq, dropped };
  }

  #insert(rows: readonly ReturnType<typeof valuesOf>[]): void {
    if (rows.length === ROWS_AT_ONCE) this.#sql.insertMany.run(...rows.flat());
    else for (const row of rows) this.#sql.insert.run(...row);
  }

  #added(seq: number, bytes: number): void {
    this.#counts.messages++;
    this.#counts.bytes += bytes;
    this.#counts.top = Math.max(this.#counts.top, seq);
  }

  #end(seq: number, reason?: string): void {
    const bytes = this.#inFlight.get(seq);
    if (bytes === undefined) return;
    this.#inFlight.delete(seq);
    this.#leave(seq, bytes, reason);
  }

  #leave(seq: number, bytes: number, reason?: string): void {
    this.#left.set(seq, bytes);
    if (reason !== undefined) this.#reasons.set(seq, reason);
    this.#leftBytes += bytes;
  }

  /** What grew too old while nothing was put leaves as dropped. */
  #leaveAged(): void {
    if (this.#options.maxAgeMs === undefined) return;
    let aged = 0;
    for (;;) {
      const oldest = this.#oldestFree();
      if (oldest === undefined || !this.#isTooOld(oldest)) break;
      this.#leave(oldest.seq, oldest.bytes);
      this.#counts.dropped++;
      aged++;
    }
    if (aged > 0) this.#options.onAged?.(aged);
  }

  /** Drops the oldest message that is not in flight, within a commit; false: there is none that is wanted. */
  #dropOldest(isWanted: (oldest: Oldest) => boolean = () => true): boolean {
    const oldest = this.#oldestFree();
    if (oldest === undefined || !isWanted(oldest)) return false;
    const counts = this.#counts;
    this.#sql.remove.run(oldest.seq, oldest.seq);
    if (oldest.seq === counts.top) counts.top = this.#top();
    counts.messages--;
    counts.bytes -= oldest.bytes;
    counts.dropped++;
    return true;
  }

  #isOver(messages: number, bytes: number): boolean {
    return this.#counts.messages + messages > this.#options.maxMessages ||
      this.#counts.bytes + bytes > this.#options.maxBytes;
  }

  #isTooOld({ timeMs }: Oldest): boolean {
    const { maxAgeMs, now = Date.now } = this.#options;
    // A message from before the clock was set has no age that could be known.
    return maxAgeMs !== undefined && timeMs < now() - maxAgeMs && timeMs >= CLOCK_UNSET_BEFORE_MS;
  }

  /** Undefined, too, where the disk cannot be read. */
  #oldestMs(): number | undefined {
    try {
      const flying = Math.min(...this.#inFlight.keys());
      const free = this.#oldestFree();
      if (flying >= (free?.seq ?? Infinity)) return free?.timeMs;
      return (this.#sql.oldest.get(flying - 1) as Oldest | undefined)?.timeMs;
    } catch {
      return undefined;
    }
  }

  /** The oldest message that is neither in flight nor has left. */
  #oldestFree(): Oldest | undefined {
    return this.#guard(() => {
      for (let after = this.#cursor;;) {
        const oldest = this.#sql.oldest.get(after) as Oldest | undefined;
        if (oldest === undefined) return undefined;
        if (!this.#inFlight.has(oldest.seq) && !this.#left.has(oldest.seq)) return oldest;
        after = oldest.seq;
      }
    });
  }

  #read(after: number, most: number): Row[] {
    return this.#guard(() => this.#sql.take.all(after, most) as unknown as Row[]);
  }

  /** A row whose text holds a NUL; undefined if it is damaged. */
  #exactly([seq, , qos, timeMs, , checksum]: Row): TakenMessage | undefined {
    const [topic, payload] = this.#guard(() =>
      (this.#sql.exact.all(seq)[0] as unknown as Uint8Array[]).map((bytes) =>
        new TextDecoder().decode(bytes)
      )
    );
    return messageOfRow([seq, topic!, qos, timeMs, payload!, checksum]);
  }

  #top(): number {
    return Number(this.#sql.top.get()!.seq ?? 0);
  }

  #setSynchronous(level: string): void {
    if (level === this.#synchronous) return;
    pragma(this.#db, `synchronous = ${level}`);
    this.#synchronous = level;
  }

  #reopen(): void {
    if (this.#db.isOpen) this.#db.close();
    this.#open(openFile(this.#path, { isChecked: true }));
    this.#mustReopen = false;
  }

  #giveSpaceBack(): void {
    try {
      if (numberOf(this.#db, "freelist_count") * PAGE_BYTES > MOST_FREE_BYTES) this.shrink();
    } catch { /* the disk fails: the next time */ }
  }

  #guard<T>(action: () => T, onError: (error: UserError) => void = () => {}): T {
    try {
      return action();
    } catch (error) {
      const failure = storageError(this.#path, error);
      onError(failure);
      throw failure;
    }
  }
}
