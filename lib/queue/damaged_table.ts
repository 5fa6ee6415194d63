/**
 * Reads a table of a damaged queue file around the damage: what is on pages that can be read and reached is found.
 * Whether a row is what was once written there is salvage.ts's business.
 */

import type { DatabaseSync } from "node:sqlite";
import type { QueuedMessage } from "./types.ts";

/** A row of a damaged file: nothing in it is sure. */
export interface Found extends QueuedMessage {
  /** Null where there is none. */
  readonly checksum: number | null;
  /** Why it was set aside; empty if it was not. */
  readonly reason: string;
}

/** Rows read at once. */
const BATCH = 500;
/** As many rows as a page of 4 KiB holds at most. */
const PAGE_ROWS = 160;
/** Columns of each table; the last: of messages from before there were checksums. */
const COLUMNS = {
  quarantine: ["NULL AS checksum, reason"],
  message: ["checksum, '' AS reason", "NULL AS checksum, '' AS reason"],
} as const;

/**
 * Hands over all rows that can be read, in no order.
 *
 * @param lastSeq Nothing is looked for above it.
 * @throws What `take` throws, and nothing else.
 */
export function readAround(
  db: DatabaseSync,
  table: keyof typeof COLUMNS,
  { lastSeq, take }: { lastSeq: number; take: (rows: readonly Found[]) => void },
): void {
  const columns = COLUMNS[table].find((columns) =>
    canPrepare(db, `SELECT ${columns} FROM ${table}`)
  );
  if (columns === undefined) return;
  const select = `SELECT seq, topic, qos, time_ms AS timeMs, payload, ${columns} FROM ${table}`;
  const reader = (where: string): Reader => {
    const statement = db.prepare(`${select} WHERE ${where} LIMIT ?`);
    return (from) => readOn((seq, most) => statement.all(seq, most) as unknown as Found[], from);
  };
  const up = reader("seq > ? ORDER BY seq");
  const down = reader("seq < ? ORDER BY seq DESC");
  /** From behind the damage back to its end. */
  const readBack = (before: number) => {
    for (let end = before;;) {
      const { rows, isAll } = down(end);
      take(rows);
      const first = rows.at(-1)?.seq ?? end;
      if (!isAll || rows.length < BATCH || first >= end) return;
      end = first;
    }
  };
  /** All up to here is read or lost. */
  let done = 0;
  let after = 0;
  while (after < lastSeq) {
    const { rows, isAll } = up(after);
    if (after > done && (isAll || rows.length > 0)) {
      readBack(rows[0]?.seq ?? lastSeq + 1);
    }
    take(rows);
    if (isAll && rows.length < BATCH) return;
    const last = rows.at(-1)?.seq ?? 0;
    if (last > after) done = after = last;
    // On behind the damage, in steps that find the next page, until that is far behind: a lost page may have led to many.
    if (!isAll || last < after) after += 1 + Math.floor((after - done) / PAGE_ROWS);
  }
  readBack(lastSeq + 1);
}

/** Reads a batch that begins behind a `seq`; tells whether no damage ended it. */
type Reader = (from: number) => { rows: Found[]; isAll: boolean };

function readOn(
  read: (from: number, most: number) => Found[],
  from: number,
): { rows: Found[]; isAll: boolean } {
  try {
    return { rows: read(from, BATCH), isAll: true };
  } catch {
    // One by one to the damage. (`iterate` of Deno 2.9.5 is of no use: it takes an error for the end.)
    const rows: Found[] = [];
    try {
      while (rows.length < BATCH) rows.push(...read(rows.at(-1)?.seq ?? from, 1));
    } catch { /* here it is */ }
    return { rows, isAll: false };
  }
}

function canPrepare(db: DatabaseSync, sql: string): boolean {
  try {
    db.prepare(sql);
    return true;
  } catch {
    return false;
  }
}
