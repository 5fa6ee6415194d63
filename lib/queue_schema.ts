/** The queue file's tables, how it is opened, and the statements run on it. Each pragma has its reason. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { EXIT, UserError } from "./errors.ts";
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

/**
 * Makes an open file a queue of this version, or sees that it is one.
 *
 * @throws {UserError} If a newer version wrote it. Throws SQLite's own errors too.
 */
export function prepareFile(db: DatabaseSync, path: string, readOnly: boolean): void {
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

/** The statements, prepared once. */
export function prepareStatements(db: DatabaseSync): Record<
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
