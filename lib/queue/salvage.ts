/**
 * What can be read of a queue file that is not exactly ours: damaged, of an earlier version, or of a newer one.
 *
 * Rules: the file is only read; a row that was written with a checksum counts only if it agrees; what is on pages that
 * can be read and reached is found.
 */

import type { DatabaseSync } from "node:sqlite";
import { type AsideMessage, checksumOf } from "./row.ts";
import { type Counters, numberOf, openFile, openToRead, PAGE_BYTES, pragma } from "./schema.ts";
import type { QueuedMessage } from "./types.ts";

/** A row of a file of which nothing is sure. */
type Found = QueuedMessage & { readonly checksum: number | null; readonly reason: string };

/** What was found in one reading. */
export interface Part {
  readonly messages: readonly QueuedMessage[];
  readonly aside: readonly AsideMessage[];
}

/** What is known besides the file, and what is done with what it holds. */
export interface SalvageOptions {
  /** The last `seq` that was given, as far as is known. */
  readonly lastSeq: number;
  /** Messages that are not wanted. */
  readonly skip: (seq: number) => boolean;
  /** Takes what was found; false ends it. */
  readonly take: (part: Part) => boolean | void;
}

/** Rows read at once. */
const BATCH = 500;
/** Readings at most: some seconds, where whole branches of the tree are lost and it is not known how far they went. */
const MOST_READINGS = 200_000;
/** Columns of each table in schema 3, 2 and 1. */
const COLUMNS = {
  message: ["checksum, '' AS reason", "NULL AS checksum, '' AS reason"],
  quarantine: ["checksum, reason", "NULL AS checksum, reason"],
} as const;

/**
 * Reads what can be read, in any order.
 *
 * @param scratch Path for a copy, where the first page cannot be used.
 * @returns How far the counters had come.
 */
export function salvage(from: string, scratch: string, options: SalvageOptions): Counters {
  const direct = openDamaged(from);
  // Before schema 3 a file had no mark of ours, and a message of schema 1 no checksum.
  const isOlder = direct !== undefined &&
    attempt(() => numberOf(direct, "application_id"), -1) === 0;
  let counters: Counters = { seq: options.lastSeq, dropped: 0 };
  if (direct !== undefined) counters = readAll(direct, isOlder, options, counters);
  // What its first page says may be wrong, too: how many pages there are, and which tables.
  const copy = isOlder ? undefined : withFirstPage(from, scratch);
  const second = copy && openDamaged(copy);
  return second ? readAll(second, false, options, counters) : counters;
}

/** Reads all that one opening of the file shows, and closes it. */
function readAll(
  db: DatabaseSync,
  isOlder: boolean,
  options: SalvageOptions,
  before: Counters,
): Counters {
  try {
    const found = countersOf(db);
    const given = Math.max(before.seq, found.seq);
    let lastSeen = 0;
    for (const table of ["message", "quarantine"] as const) {
      readTable(db, table, given, (rows) => {
        const whole = rows.filter((row) => isWhole(row, isOlder) && !options.skip(row.seq));
        for (const { seq } of whole) lastSeen = Math.max(lastSeen, seq);
        return options.take({
          messages: table === "message" ? whole : [],
          aside: table === "message" ? [] : whole,
        });
      });
    }
    return { seq: Math.max(given, lastSeen), dropped: Math.max(before.dropped, found.dropped) };
  } finally {
    db.close();
  }
}

/** Opens a file to read messages from it; undefined if none can be. */
function openDamaged(path: string): DatabaseSync | undefined {
  let db: DatabaseSync | undefined;
  try {
    db = openToRead(path);
    pragma(db, "locking_mode = EXCLUSIVE");
    pragma(db, "trusted_schema = OFF");
    // A view in place of a table could run what was planted.
    const kind = db.prepare("SELECT type FROM sqlite_schema WHERE name = 'message'").get()?.type;
    db.prepare("SELECT seq FROM message");
    if (kind === "table") return db;
  } catch { /* its first page is not one */ }
  db?.close();
  return undefined;
}

/**
 * Copies a file whose first page cannot be used, with that of a new queue: it is the same in each but for the number of
 * pages, as the tables are always made in the same order. Undefined where there is no room for a copy.
 */
function withFirstPage(from: string, to: string): string | undefined {
  try {
    openFile(to).close();
    const first = Deno.readFileSync(to).subarray(0, PAGE_BYTES);
    // What the header says at this place: number of pages.
    new DataView(first.buffer).setUint32(28, Math.ceil(Deno.statSync(from).size / PAGE_BYTES));
    Deno.copyFileSync(from, to);
    attempt(() => Deno.copyFileSync(`${from}-wal`, `${to}-wal`), undefined);
    using file = Deno.openSync(to, { write: true });
    file.writeSync(first);
    return to;
  } catch {
    return undefined;
  }
}

/** Reads a table in ranges of `seq`; one that meets damage is halved, until what can be read of it is read. */
function readTable(
  db: DatabaseSync,
  table: keyof typeof COLUMNS,
  lastSeq: number,
  take: (rows: readonly Found[]) => boolean | void,
): void {
  const prepare = (columns: string) =>
    db.prepare(
      `SELECT seq, iif(octet_length(topic) > 65535, NULL, topic) AS topic, qos, time_ms AS timeMs,
       iif(octet_length(payload) > 131072, NULL, payload) AS payload, ${columns}
       FROM ${table} WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ${BATCH}`,
    );
  const columns = COLUMNS[table].find((columns) => attempt(() => prepare(columns), undefined));
  if (columns === undefined) return;
  const statement = prepare(columns);
  const highest = attempt(
    () => Number(db.prepare(`SELECT max(seq) AS seq FROM ${table}`).get()?.seq),
    0,
  );
  const ranges: [first: number, last: number][] = [[
    1,
    Math.min(Math.max(lastSeq, highest, 1), Number.MAX_SAFE_INTEGER),
  ]];
  for (let left = MOST_READINGS; left > 0 && ranges.length > 0; left--) {
    const [first, last] = ranges.pop()!;
    const rows = attempt(() => statement.all(first, last) as unknown as Found[], undefined);
    if (rows === undefined) {
      const middle = first + Math.floor((last - first) / 2);
      if (first < last) ranges.push([middle + 1, last], [first, middle]);
      continue;
    }
    if (rows.length > 0 && take(rows) === false) return;
    const end = rows.at(-1)?.seq ?? last;
    if (rows.length === BATCH && end < last) ranges.push([end + 1, last]);
  }
}

/** Whether a row is one that was put: SQLite reads a lost page as empty values. */
function isWhole(row: Found, isOlder: boolean): boolean {
  const { seq, topic, qos, timeMs, payload, reason, checksum } = row;
  return seq > 0 && typeof topic === "string" && topic !== "" && (qos === 0 || qos === 1) &&
    typeof timeMs === "number" && typeof payload === "string" && typeof reason === "string" &&
    (isOlder && checksum === null || checksum === checksumOf(row));
}

/** The counters, in the form of schema 3 or of those before; 0 for what cannot be read. */
function countersOf(db: DatabaseSync): Counters {
  const read = (sql: string) => {
    const value = attempt(() => db.prepare(sql).get()?.value, 0);
    // A number that cannot be is as good as none.
    return Number.isSafeInteger(value) && Number(value) > 0 && Number(value) < 2 ** 40
      ? Number(value)
      : 0;
  };
  const [seq, dropped] = ["seq", "dropped"].map((name) =>
    read(`SELECT ${name} AS value FROM counter`) ||
    read(`SELECT value FROM counter WHERE name = '${name}'`)
  );
  return { seq: seq!, dropped: dropped! };
}

function attempt<T, U>(action: () => T, otherwise: U): T | U {
  try {
    return action();
  } catch {
    return otherwise;
  }
}
