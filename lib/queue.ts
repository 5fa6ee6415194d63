/**
 * The queue: messages on disk, oldest first, until they are acknowledged. The only file that imports `node:sqlite`.
 *
 * Rules: `put` returns after the commit (and, with durability `power`, its fsync); a message leaves by `accept`,
 * `quarantine` or a limit, and only so; `seq` grows by one per message for the life of the file, a dropped message
 * included. What is taken stays on disk until accepted. Who may open the file is queue_dir.ts's business.
 */

import { DatabaseSync, type StatementSync } from "node:sqlite";
import { EXIT, messageOf, UserError } from "./errors.ts";
import { MAX_PAYLOAD_BYTES, type Qos, utf8Bytes } from "./message.ts";
import { quote } from "./words.ts";

/** Raised by one with every change of the schema; an older file is carried over, a newer one refused. */
const SCHEMA_VERSION = 1;

const SCHEMA = `
CREATE TABLE message (
  seq     INTEGER PRIMARY KEY,
  topic   TEXT NOT NULL,
  qos     INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  payload TEXT NOT NULL
) STRICT;
CREATE TABLE quarantine (
  seq     INTEGER PRIMARY KEY,
  topic   TEXT NOT NULL,
  qos     INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  payload TEXT NOT NULL,
  reason  TEXT NOT NULL
) STRICT;
CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('seq', 0), ('dropped', 0);
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** A message to be queued. */
export interface Draft {
  readonly topic: string;
  readonly qos: Qos;
  /** When it was taken, ms since the epoch. */
  readonly timeMs: number;
  /** The payload, once its `seq` is known. */
  readonly payload: (seq: number) => string;
}

/** A message in the queue. */
export interface QueuedMessage {
  readonly seq: number;
  readonly topic: string;
  readonly qos: Qos;
  readonly timeMs: number;
  readonly payload: string;
}

/** What became of the drafts of one `put`. */
export interface PutResult {
  /** `seq` of the last draft. */
  readonly lastSeq: number;
  /** Drafts now in the queue. */
  readonly stored: number;
  /** Messages dropped to keep the limits, old or new. */
  readonly dropped: number;
  /** The last of the old messages dropped; 0: none was. */
  readonly droppedThrough: number;
  /** Bytes of each payload that was left out as too large; it got no `seq`. */
  readonly tooLarge: readonly number[];
}

/** Plain numbers about a queue. */
export interface QueueStats {
  readonly waiting: number;
  /** Bytes of topics and payloads waiting. */
  readonly bytes: number;
  /** When the oldest was taken, ms since the epoch. */
  readonly oldestMs: number | undefined;
  readonly quarantined: number;
  /** Dropped by a limit since the file was made. */
  readonly dropped: number;
  readonly lastSeq: number;
}

/** Messages waiting to be delivered. Every method throws {@linkcode UserError} (73) when the storage fails. */
export interface Queue {
  /**
   * Adds messages in one commit; all or nothing.
   *
   * @param afterSeq The least `seq` already given elsewhere.
   */
  put(drafts: readonly Draft[], afterSeq?: number): PutResult;
  /** Adds messages that have their `seq` already, from a damaged file or from memory; whatever is there stays. */
  restore(messages: readonly QueuedMessage[]): void;
  /** The next messages, oldest first, after those taken before; they stay until accepted. */
  take(most: number): QueuedMessage[];
  /** The message of that `seq`, if it waits. */
  find(seq: number): QueuedMessage | undefined;
  /** Forgets messages that were delivered. */
  accept(messages: readonly QueuedMessage[]): void;
  /** Makes what was taken and not accepted the next to be taken. */
  rewind(): void;
  /** Spares messages from being dropped while this says so: those in flight may have been delivered. */
  protect(isInFlight: (seq: number) => boolean): void;
  /** Sets a message aside that the server will not take. */
  quarantine(message: QueuedMessage, reason: string): void;
  stats(): QueueStats;
  /** Discards all that waits, quarantined ones too; returns how many. `seq` goes on. */
  clear(): number;
  close(): void;
}

/** Options of {@linkcode openQueue}. */
export interface QueueOptions {
  readonly maxMessages: number;
  /** Bytes of topics and payloads. */
  readonly maxBytes: number;
  /** Age in ms, or undefined. */
  readonly maxAgeMs?: number | undefined;
  readonly full: "drop-oldest" | "drop-newest";
  /** `none` is what `:memory:` gives. */
  readonly durability: "power" | "crash" | "none";
  /** ms since the epoch. @default Date.now */
  readonly now?: () => number;
  /** Opens it for {@linkcode Queue.stats} alone. @default {false} */
  readonly readOnly?: boolean;
  /** Told how many messages grew too old, besides those that `put` tells of. */
  readonly onAged?: (messages: number) => void;
}

/** What was saved of a damaged queue file. */
export interface Salvage {
  readonly messages: readonly QueuedMessage[];
  /** The last `seq` given; undefined if it can no longer be read. */
  readonly lastSeq: number | undefined;
}

/**
 * What can still be read of a damaged queue file: its messages from both ends up to the damage, and its counter.
 * Never throws; what cannot be read is not there.
 */
export function salvage(path: string): Salvage {
  const found = new Map<number, QueuedMessage>();
  let lastSeq: number | undefined;
  const attempt = (action: () => void) => {
    try {
      action();
    } catch { /* the damage begins here */ }
  };
  attempt(() => {
    using db = new DatabaseSync(path, { readOnly: true });
    const columns = "seq, topic, qos, time_ms AS timeMs, payload";
    for (const order of ["ASC", "DESC"]) {
      attempt(() => {
        const rows = db.prepare(`SELECT ${columns} FROM message ORDER BY seq ${order}`).iterate();
        for (const row of rows as Iterable<unknown>) {
          const message = row as QueuedMessage;
          if (found.has(message.seq)) break;
          if (isWhole(message)) found.set(message.seq, message);
        }
      });
    }
    attempt(() => {
      lastSeq = db.prepare("SELECT value FROM counter WHERE name = 'seq'").get()!.value as number;
    });
  });
  const messages = [...found.values()].sort((a, b) => a.seq - b.seq);
  return { messages, lastSeq };
}

/** Whether a row of a damaged file is one that could have been put: SQLite reads a lost page as empty values. */
function isWhole({ seq, topic, qos, timeMs, payload }: QueuedMessage): boolean {
  return seq > 0 && typeof topic === "string" && topic !== "" && (qos === 0 || qos === 1) &&
    typeof timeMs === "number" && typeof payload === "string";
}

/** The file is there, but is no queue that can be read. */
export class DamagedQueueError extends UserError {
  override readonly name = "DamagedQueueError";
}

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

function prepareFile(db: DatabaseSync, path: string, readOnly: boolean): void {
  // A reader (the command \`queue\`) waits for the publisher's commits instead of failing.
  db.exec("PRAGMA busy_timeout = 2000");
  const version = db.prepare("PRAGMA user_version").get()!.user_version as number;
  const check = db.prepare("PRAGMA quick_check(1)").get()!.quick_check as string;
  if (check !== "ok") throw new Error(`malformed: ${check}`);
  if (version > SCHEMA_VERSION) {
    throw new UserError(
      `Cannot use queue ${
        quote(path)
      }: a newer mqtt443 wrote it (schema ${version}, this one knows ${SCHEMA_VERSION})`,
      {
        hint: "use the newer mqtt443, or another --state DIR",
        exitCode: EXIT.cannotCreate,
        step: "queue",
      },
    );
  }
  if (readOnly) return;
  // WAL: one sequential write per commit, and \`queue\` can read beside it.
  db.exec("PRAGMA journal_mode = WAL");
  // The log is cut back to this after a checkpoint, or a burst would leave it large for ever.
  db.exec("PRAGMA journal_size_limit = 1048576");
  if (version === 0) inTransaction(db, () => db.exec(SCHEMA));
}

/** No message was taken before this: its clock was not set yet. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2026, 0, 1);

interface OldestRow {
  readonly seq: number;
  readonly bytes: number;
  readonly timeMs: number;
}

class SqliteQueue implements Queue {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #options: QueueOptions;
  readonly #now: () => number;
  readonly #statements: ReturnType<typeof prepare>;
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
    this.#statements = prepare(db);
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
          this.#statements.insert.run(seq, draft.topic, draft.qos, draft.timeMs, payload);
          this.#waiting++;
          this.#bytes += bytes;
          stored++;
          if (over) this.#dropOldest();
        }
        this.#statements.setCounter.run(this.#lastSeq, "seq");
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
        for (const { seq, topic, qos, timeMs, payload } of messages) {
          const { changes } = this.#statements.restore.run(seq, topic, qos, timeMs, payload);
          if (changes === 0) continue;
          this.#waiting++;
          this.#bytes += sizeOf(topic, payload);
          this.#lastSeq = Math.max(this.#lastSeq, seq);
        }
        this.#dropOldest();
        this.#statements.setCounter.run(this.#lastSeq, "seq");
        this.#statements.setCounter.run(this.#dropped, "dropped");
      });
    }, before);
  }

  take(most: number): QueuedMessage[] {
    this.#expire();
    return this.#guard(() => {
      const rows = this.#statements.take.all(this.#cursor, most) as unknown as QueuedMessage[];
      this.#cursor = rows.at(-1)?.seq ?? this.#cursor;
      return rows;
    });
  }

  find(seq: number): QueuedMessage | undefined {
    return this.#guard(() => {
      const [row] = this.#statements.take.all(seq - 1, 1) as unknown as QueuedMessage[];
      return row?.seq === seq ? row : undefined;
    });
  }

  accept(messages: readonly QueuedMessage[]): void {
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
        for (const { topic, payload } of messages) this.#forget(sizeOf(topic, payload));
      });
    }, before);
  }

  rewind(): void {
    this.#cursor = 0;
  }

  protect(isInFlight: (seq: number) => boolean): void {
    this.#isInFlight = isInFlight;
  }

  quarantine(message: QueuedMessage, reason: string): void {
    const before = this.#numbers();
    this.#guard(() => {
      this.#setSynchronous("FULL");
      inTransaction(this.#db, () => {
        const { changes } = this.#statements.quarantine.run(reason, message.seq);
        if (changes === 0) return;
        this.#statements.deleteRange.run(message.seq, message.seq);
        this.#forget(sizeOf(message.topic, message.payload));
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
    this.#db.close();
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

function prepare(db: DatabaseSync): Record<
  | "totals"
  | "counter"
  | "setCounter"
  | "insert"
  | "restore"
  | "take"
  | "oldest"
  | "deleteRange"
  | "quarantine"
  | "quarantined",
  StatementSync
> {
  const bytes = "octet_length(topic) + octet_length(payload)";
  return {
    totals: db.prepare(
      `SELECT count(*) AS waiting, ifnull(sum(${bytes}), 0) AS bytes FROM message`,
    ),
    counter: db.prepare("SELECT value FROM counter WHERE name = ?"),
    setCounter: db.prepare("UPDATE counter SET value = ? WHERE name = ?"),
    insert: db.prepare("INSERT INTO message VALUES (?, ?, ?, ?, ?)"),
    restore: db.prepare("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?)"),
    take: db.prepare(
      "SELECT seq, topic, qos, time_ms AS timeMs, payload FROM message WHERE seq > ? ORDER BY seq LIMIT ?",
    ),
    oldest: db.prepare(
      `SELECT seq, time_ms AS timeMs, ${bytes} AS bytes FROM message WHERE seq > ? ORDER BY seq LIMIT 1`,
    ),
    deleteRange: db.prepare("DELETE FROM message WHERE seq BETWEEN ? AND ?"),
    quarantine: db.prepare(
      "INSERT INTO quarantine SELECT seq, topic, qos, time_ms, payload, ? FROM message WHERE seq = ?",
    ),
    quarantined: db.prepare("SELECT count(*) AS n FROM quarantine"),
  };
}

function inTransaction(db: DatabaseSync, action: () => void): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    action();
    db.exec("COMMIT");
  } catch (error) {
    // SQLite has already rolled back after some failures (disk full); then this fails and says nothing new.
    try {
      db.exec("ROLLBACK");
    } catch { /* see above */ }
    throw error;
  }
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

function storageError(path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const message = messageOf(error);
  const options = { exitCode: EXIT.cannotCreate, step: "queue", cause: error } as const;
  if (/malformed|not a database|corrupt/.test(message)) {
    return new DamagedQueueError(`Cannot use queue ${quote(path)}: it is damaged (${message})`, {
      ...options,
      hint: "move it aside; a new one is made",
    });
  }
  return new UserError(`Cannot use queue ${quote(path)}: ${message}`, {
    ...options,
    hint: storageHint(message),
  });
}

function storageHint(message: string): string {
  if (/full/.test(message)) return "free some space there (`df -h`), or pass --state DIR";
  if (/readonly|read-only/.test(message)) return "mount it writable, or pass --state DIR";
  if (/locked|busy/.test(message)) return "stop the other process that uses it";
  return "pass --state DIR with a directory that can be written to";
}
