/** The queue file's tables, how it is opened, and the statements run on it. Each pragma has its reason. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { EXIT, UserError } from "../core/errors.ts";
import { ROWS_AT_ONCE } from "./row.ts";
import { quote } from "../core/text.ts";

/** What made each version of the schema out of the one before; never changed, only added to. */
const STEPS = [
  `
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
`,
  // Null in messages from before. How many wait is noted to know what damage has cost.
  `
ALTER TABLE message ADD COLUMN checksum INTEGER;
INSERT INTO counter SELECT 'waiting', count(*) FROM message;
`,
];

/**
 * Bytes of a page: of a new file, and of those of versions before. Of 1, 2, 4 and 8 KiB, with 2 the least is written for
 * each message, be they put one by one or 500 at once.
 */
export const PAGE_BYTES = [2048, 4096] as const;

/** Bytes of the log beside the file, at most but for the last commit. */
const MOST_LOG_BYTES = 4 * 1024 * 1024;

/** An older file is carried over, a newer one refused. */
const SCHEMA_VERSION = STEPS.length;

/**
 * Makes an open file a queue of this version, or sees that it is one.
 *
 * @throws {UserError} If a newer version wrote it. Throws SQLite's own errors too.
 */
export function prepareFile(
  db: DatabaseSync,
  path: string,
  { readOnly = false, pageBytes = PAGE_BYTES[0] }: { readOnly?: boolean; pageBytes?: number } = {},
): void {
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
        code: "queue-newer",
        hint: "use the newer mqtt443, or another --state DIR",
        exitCode: EXIT.cannotCreate,
        step: "queue",
      },
    );
  }
  if (readOnly) return;
  // A file that has pages keeps them as they are.
  db.exec(`PRAGMA page_size = ${pageBytes}`);
  // WAL: one sequential write per commit, and \`queue\` can read beside it.
  db.exec("PRAGMA journal_mode = WAL");
  // The log is moved into the file when it has come to 4 MiB, which is what SQLite does with pages of 4 KiB.
  const { page_size } = db.prepare("PRAGMA page_size").get() as { page_size: number };
  db.exec(`PRAGMA wal_autocheckpoint = ${MOST_LOG_BYTES / page_size}`);
  // The log is cut back to this after a checkpoint, or a burst would leave it large for ever.
  db.exec("PRAGMA journal_size_limit = 1048576");
  // Its own, 2 MiB, is of no more use: messages are read once, in their order.
  db.exec("PRAGMA cache_size = -512");
  if (version === SCHEMA_VERSION) return;
  inTransaction(db, () => {
    for (const step of STEPS.slice(version)) db.exec(step);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  });
}

/** The statements, prepared once. */
export function prepareStatements(db: DatabaseSync): Record<
  | "totals"
  | "counter"
  | "setCounters"
  | "insert"
  | "insertMany"
  | "restore"
  | "take"
  | "oldest"
  | "forOthers"
  | "deleteRange"
  | "countRange"
  | "quarantine"
  | "quarantined",
  StatementSync
> {
  const bytes = "octet_length(topic) + octet_length(payload)";
  // A file of an older version can be looked at as it is: what needs this version's columns is prepared at its first use.
  const later = (sql: string, { arrays = false } = {}) => {
    let made: StatementSync | undefined;
    const make = () => {
      // The types of Deno 2.9.5 lack what its StatementSync has.
      const statement = db.prepare(sql) as StatementSync & { setReturnArrays(on: boolean): void };
      statement.setReturnArrays(arrays);
      return statement;
    };
    return () => made ??= make();
  };
  const insert = later("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)");
  const insertMany = later(
    `INSERT INTO message VALUES ${Array(ROWS_AT_ONCE).fill("(?, ?, ?, ?, ?, ?)").join()}`,
  );
  const restore = later("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)");
  const take = later(
    `SELECT seq, topic, qos, time_ms, payload, checksum, octet_length(payload), ${bytes}
     FROM message WHERE seq > ? ORDER BY seq LIMIT ?`,
    // Objects with names cost twice as much as arrays, and a backlog is read through this.
    { arrays: true },
  );
  return {
    get insert() {
      return insert();
    },
    get insertMany() {
      return insertMany();
    },
    get restore() {
      return restore();
    },
    get take() {
      return take();
    },
    totals: db.prepare(
      `SELECT count(*) AS waiting, ifnull(sum(${bytes}), 0) AS bytes FROM message
       WHERE seq > ?`,
    ),
    counter: db.prepare("SELECT value FROM counter WHERE name = ?"),
    setCounters: db.prepare(
      `UPDATE counter SET value = CASE name WHEN 'seq' THEN ? WHEN 'waiting' THEN ? ELSE ? END
       WHERE name IN ('seq', 'waiting', 'dropped')`,
    ),
    oldest: db.prepare(
      `SELECT seq, time_ms AS timeMs, ${bytes} AS bytes FROM message WHERE seq > ? ORDER BY seq LIMIT 1`,
    ),
    forOthers: db.prepare(
      `SELECT topic, count(*) AS messages, min(time_ms) AS sinceMs FROM message
       WHERE seq > ? AND topic <> ? GROUP BY topic ORDER BY min(seq)`,
    ),
    deleteRange: db.prepare("DELETE FROM message WHERE seq BETWEEN ? AND ?"),
    countRange: db.prepare("SELECT count(*) AS n FROM message WHERE seq BETWEEN ? AND ?"),
    quarantine: db.prepare(
      "INSERT INTO quarantine SELECT seq, topic, qos, time_ms, payload, ? FROM message WHERE seq = ?",
    ),
    quarantined: db.prepare("SELECT count(*) AS n FROM quarantine"),
  };
}

/** The statements of an open file. */
export type Statements = ReturnType<typeof prepareStatements>;

/** Runs an action in one transaction; all of it or nothing. */
export function inTransaction(db: DatabaseSync, action: () => void): void {
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
