/** The queue file's tables, how the file is opened, and how it shows that it is exactly ours. Each pragma has its reason. */

import { DatabaseSync, type StatementSync } from "node:sqlite";
import { damaged, OlderQueueError } from "./errors.ts";
import { countersChecksum, ROWS_AT_ONCE } from "./row.ts";
import { EXIT } from "../core/errors.ts";
import { quote } from "../core/text.ts";

/** "m443", by which `file` and this program know a queue. */
const APPLICATION_ID = 0x6d343433;
/** 1 had no checksums, 2 none of the counters, and both were read beside the publisher. */
const SCHEMA_VERSION = 3;

/**
 * Bytes of a page. At 1 Hz a commit writes one page of the log, and a synced block of 4,096 bytes is the floor: 5,147
 * bytes a message with pages of 1,024; 4,615 with 512, but 6,250 where a row does not fit into one, as the rows of the
 * source `system` do not; 6,160 with 2,048 (measured, ext4).
 */
export const PAGE_BYTES = 1024;
/** Bytes of log at which it is moved into the file, and to which it is cut back: what is held in reserve on the disk. */
export const LOG_BYTES = 2 * 1024 * 1024;

const COLUMNS =
  "seq INTEGER PRIMARY KEY,topic TEXT NOT NULL,qos INT NOT NULL,time_ms INT NOT NULL,payload TEXT NOT NULL,checksum INT NOT NULL";
const TABLES: Readonly<Record<string, string>> = {
  message: `CREATE TABLE message(${COLUMNS})STRICT`,
  quarantine: `CREATE TABLE quarantine(${COLUMNS},reason TEXT NOT NULL)STRICT`,
  // Written only when they cannot be seen from the rows: at 1 Hz never.
  counter:
    "CREATE TABLE counter(seq INT NOT NULL,dropped INT NOT NULL,checksum INT NOT NULL)STRICT",
};
/** The tables in the order in which they are made; their first pages follow from it. */
const SCHEMA = Object.entries(TABLES).map(([name, sql], at) =>
  ["table", name, name, 3 + at, sql].join("|")
).join("\n");

/** The two counters of a file. */
export interface Counters {
  readonly seq: number;
  readonly dropped: number;
}

/**
 * Opens a file, makes it a queue if it is empty, and sees that it is exactly one.
 *
 * @param isChecked Whether each page was looked at before.
 * @throws {DamagedQueueError} If it is anything else.
 * @throws {OlderQueueError} If an earlier version made it. Throws SQLite's own errors, too.
 */
export function openFile(
  path: string,
  { isChecked = false }: { isChecked?: boolean } = {},
): DatabaseSync {
  const isMemory = path === ":memory:";
  if (!isMemory) checkHeader(path);
  const db = new DatabaseSync(path);
  try {
    // EXCLUSIVE before the first read: SQLite then needs no shared memory beside the file, which takes space and inodes.
    // What a planted schema calls is not run.
    for (
      const each of [
        "busy_timeout = 2000",
        "locking_mode = EXCLUSIVE",
        "trusted_schema = OFF",
        "cache_size = -512",
      ]
    ) {
      pragma(db, each);
    }
    if (isEmpty(db)) create(db, isMemory);
    check(db, path, isChecked);
    // WAL is kept in the file. Its log is moved into the file and cut back at this size.
    pragma(db, `wal_autocheckpoint = ${LOG_BYTES / PAGE_BYTES}`);
    pragma(db, `journal_size_limit = ${LOG_BYTES}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function isEmpty(db: DatabaseSync): boolean {
  return numberOf(db, "application_id") === 0 && numberOf(db, "user_version") === 0 &&
    numberOf(db, "schema_version") === 0;
}

function create(db: DatabaseSync, isMemory: boolean): void {
  if (!isMemory) pragma(db, `page_size = ${PAGE_BYTES}`);
  // INCREMENTAL: the space of an outage can be given back. (VACUUM attaches a database, which Deno forbids.)
  pragma(db, "auto_vacuum = INCREMENTAL");
  if (!isMemory) pragma(db, "journal_mode = WAL");
  const steps = [
    "BEGIN IMMEDIATE",
    `PRAGMA application_id = ${APPLICATION_ID}`,
    `PRAGMA user_version = ${SCHEMA_VERSION}`,
    ...Object.values(TABLES),
    `INSERT INTO counter VALUES (0, 0, ${countersChecksum(0, 0)})`,
    "COMMIT",
  ];
  for (const step of steps) db.prepare(step).all();
}

function check(db: DatabaseSync, path: string, isChecked: boolean): void {
  const version = numberOf(db, "user_version");
  const isOlder = numberOf(db, "application_id") === 0 && (version === 1 || version === 2);
  if (!isChecked) {
    const found = pragma(db, "quick_check(1)")[0]!.quick_check;
    if (found !== "ok") throw damaged(path, String(found));
    // It would be read whole.
    const large = "octet_length(topic) > 65535 OR octet_length(payload) > 131072";
    const isTooLarge = !isOlder && db.prepare(`SELECT 1 FROM message WHERE ${large}`).get();
    if (isTooLarge) throw damaged(path, "a row is too large for a message");
  }
  if (isOlder) {
    throw new OlderQueueError(`Queue ${quote(path)} was made by an earlier version`, {
      code: "queue-older",
      hint: "start mqtt443 publish: it carries the queue over",
      exitCode: EXIT.cannotCreate,
      step: "queue",
    });
  }
  if (version > SCHEMA_VERSION) {
    throw damaged(
      path,
      `a newer mqtt443 wrote it: schema ${version}, this one knows ${SCHEMA_VERSION}`,
      { code: "queue-newer" },
    );
  }
  const schema = db.prepare("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema").all()
    .map((row) => Object.values(row).join("|")).join("\n");
  const isOurs = schema === SCHEMA && version === SCHEMA_VERSION &&
    numberOf(db, "application_id") === APPLICATION_ID &&
    (numberOf(db, "page_size") === PAGE_BYTES || path === ":memory:") &&
    numberOf(db, "auto_vacuum") === 2;
  if (!isOurs) throw damaged(path, "its header or schema is not ours");
  readCounters(db, path);
}

/** The counters of a file. */
export function readCounters(db: DatabaseSync, path: string): Counters {
  const rows = db.prepare("SELECT seq, dropped, checksum FROM counter LIMIT 2").all();
  const { seq, dropped, checksum } = (rows[0] ?? {}) as Record<string, number>;
  if (rows.length !== 1 || checksum !== countersChecksum(seq!, dropped!)) {
    throw damaged(path, "its counters do not agree with their checksum");
  }
  return { seq: seq!, dropped: dropped! };
}

/** What each header has, and SQLite half believes: a bit here makes the file read-only for it. */
function checkHeader(path: string): void {
  const header = new Uint8Array(24);
  try {
    using file = Deno.openSync(path, { read: true, write: true });
    if ((file.readSync(header) ?? 0) === 0) return;
    // Its name; journal by WAL; no bytes reserved; three fixed fractions.
    const found = new TextDecoder("latin1").decode(header);
    const isNamed = found.startsWith("SQLite format 3\0");
    if (isNamed && found.slice(18) === "\x02\x02\0\x40\x20\x20") return;
    const isBegun = isNamed && found.slice(18, 20) === "\x01\x01" || /^\0+$/.test(found);
    if (!isBegun || file.statSync().size > PAGE_BYTES || sizeOf(`${path}-wal`) > 0) {
      throw damaged(path, "its header is not that of a queue");
    }
    // It was being made when the power failed: the first page comes before the log, and any message after it.
    if (sizeOf(`${path}-journal`) > 0) Deno.removeSync(`${path}-journal`);
    file.truncateSync();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Bytes of a file; 0: there is none. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}

/** Runs a pragma to its end, and returns its rows. (`exec` runs one step of it, and its errors have no code: Deno 2.9.6.) */
export function pragma(db: DatabaseSync, text: string): Record<string, unknown>[] {
  return db.prepare(`PRAGMA ${text}`).all() as Record<string, unknown>[];
}

/** The number that a pragma tells. */
export function numberOf(db: DatabaseSync, name: string): number {
  return Number(pragma(db, name)[0]?.[name]);
}

/** The statements, prepared once. */
export function prepareStatements(db: DatabaseSync) {
  const bytes = "octet_length(topic) + octet_length(payload)";
  const read = "SELECT seq, topic, qos, time_ms, payload, checksum FROM message";
  // The types of Deno 2.9.6 lack what its StatementSync has. Objects with names cost twice as much as arrays.
  const arrays = (sql: string) => {
    const statement = db.prepare(sql) as StatementSync & { setReturnArrays(on: boolean): void };
    statement.setReturnArrays(true);
    return statement;
  };
  return {
    // Prepared ones, as only their errors have SQLite's code (Deno 2.9.6).
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollBack: db.prepare("ROLLBACK"),
    clear: db.prepare("DELETE FROM message"),
    clearAside: db.prepare("DELETE FROM quarantine"),
    insert: db.prepare("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)"),
    insertMany: db.prepare(
      `INSERT INTO message VALUES ${Array(ROWS_AT_ONCE).fill("(?, ?, ?, ?, ?, ?)").join()}`,
    ),
    restore: db.prepare("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)"),
    take: arrays(`${read} WHERE seq > ? ORDER BY seq LIMIT ?`),
    // SQLite's text as bytes: as text it ends for node:sqlite at the first NUL (Deno 2.9.6).
    exact: arrays(
      `SELECT CAST(topic AS BLOB), CAST(payload AS BLOB) FROM message WHERE seq = ?`,
    ),
    last: arrays(`${read} WHERE seq < ? ORDER BY seq DESC LIMIT 1`),
    totals: db.prepare(
      `SELECT count(*) AS messages, ifnull(sum(${bytes}), 0) AS bytes FROM message`,
    ),
    top: db.prepare("SELECT max(seq) AS seq FROM message"),
    oldest: db.prepare(
      `SELECT seq, time_ms AS timeMs, ${bytes} AS bytes FROM message WHERE seq > ? ORDER BY seq LIMIT 1`,
    ),
    forOthers: db.prepare(
      `SELECT topic, count(*) AS messages, min(time_ms) AS sinceMs FROM message
       WHERE topic <> ? GROUP BY topic ORDER BY min(seq)`,
    ),
    remove: db.prepare("DELETE FROM message WHERE seq BETWEEN ? AND ?"),
    setAside: db.prepare(
      `INSERT OR REPLACE INTO quarantine SELECT seq, topic, qos, time_ms, payload, checksum, ? FROM message
       WHERE seq = ? AND ${bytes} <= 196608`,
    ),
    aside: db.prepare(
      `SELECT count(*) AS messages, ifnull(sum(${bytes}), 0) AS bytes, min(seq) AS first FROM quarantine`,
    ),
    keepAside: db.prepare("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?)"),
    allAside: db.prepare(
      "SELECT seq, topic, qos, time_ms AS timeMs, payload, reason FROM quarantine ORDER BY seq",
    ),
    dropAside: db.prepare("DELETE FROM quarantine WHERE seq = ?"),
    setCounters: db.prepare("UPDATE counter SET seq = ?, dropped = ?, checksum = ?"),
  };
}

/** The statements of an open file. */
export type Statements = ReturnType<typeof prepareStatements>;

/** Runs an action in one transaction; all of it or nothing. */
export function inTransaction({ begin, commit, rollBack }: Statements, action: () => void): void {
  begin.run();
  try {
    action();
    commit.run();
  } catch (error) {
    // SQLite has already rolled back after some failures (disk full); then this fails and says nothing new.
    try {
      rollBack.run();
    } catch { /* see above */ }
    throw error;
  }
}
