/**
 * What can be saved of a damaged queue file, into a fresh one.
 *
 * Rules: the damaged file is only read; what has a checksum is saved only if it agrees; the fresh file holds all that was
 * saved, or none of it. When it takes the place of the damaged one is queue_dir.ts's business.
 */

import { DatabaseSync } from "node:sqlite";
import { checksumOf } from "./checksum.ts";
import { type Found, readAround } from "./damaged_table.ts";
import { storageError } from "./errors.ts";
import { inTransaction, PAGE_BYTES, prepareFile } from "./schema.ts";

/** What is known of a queue besides its file. */
export interface Marks {
  readonly seqMark: number;
  readonly deliveredThrough: number;
}

/** What a page of a table begins with: it leads to others, or has rows (SQLite's file format, 1.6). */
const TABLE_PAGES: readonly number[] = [5, 13];

/** What was saved of a damaged queue file, and what not. */
export interface Salvage {
  /** Messages that wait. */
  readonly saved: number;
  /** Those that had been set aside. */
  readonly quarantined: number;
  /** Messages that waited and are lost, at most; undefined if that can no longer be known. */
  readonly lost: number | undefined;
}

/**
 * Copies what can be read of a damaged queue file into an empty one: messages, those set aside, and the counters. Where
 * the disk has no room for that, only how far `seq` has come.
 *
 * @param from The damaged file; its log lies beside it.
 * @param into Path of the empty file; `${into}-from` is used too.
 * @param marks No `seq` above `seqMark` was given (0: not known), and what is not above `deliveredThrough` has left.
 * @throws {UserError} With exit code 73 if nothing can be written.
 */
export function salvage(from: string, into: string, marks: Marks): Salvage {
  try {
    using fresh = new DatabaseSync(into);
    prepareFile(fresh, into);
    try {
      using damaged = open(from) ?? open(withFirstPage(from, `${into}-from`));
      if (damaged !== undefined) return copy(damaged, fresh, marks);
    } catch { /* no room for it */ }
    setCounters(fresh, { seq: marks.seqMark });
    return { saved: 0, quarantined: 0, lost: undefined };
  } catch (error) {
    throw storageError(into, error);
  }
}

/** Opens a file to read messages from it; undefined if none can be. */
function open(path: string): DatabaseSync | undefined {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true });
    db.prepare("SELECT seq FROM message");
    return db;
  } catch {
    db?.close();
    return undefined;
  }
}

/**
 * Copies a file whose first page cannot be used, with that of a new queue: it is the same in each but for the number of
 * pages, as the tables are always made in the same order.
 */
function withFirstPage(from: string, to: string): string {
  const pageBytes = pageBytesOf(from);
  {
    using model = new DatabaseSync(to);
    prepareFile(model, to, { pageBytes });
  }
  const model = new DataView(Deno.readFileSync(to).buffer);
  // What the header says at this place: number of pages.
  model.setUint32(28, Math.ceil(Deno.statSync(from).size / pageBytes));
  Deno.copyFileSync(from, to);
  try {
    Deno.copyFileSync(`${from}-wal`, `${to}-wal`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  using file = Deno.openSync(to, { write: true });
  file.writeSync(new Uint8Array(model.buffer, 0, pageBytes));
  return to;
}

/** By what the second and the third page begin with: they are the first of the tables. */
function pageBytesOf(path: string): number {
  using file = Deno.openSync(path, { read: true });
  const isPage = (at: number) => {
    const kind = new Uint8Array(1);
    file.seekSync(at, Deno.SeekMode.Start);
    return file.readSync(kind) === 1 && TABLE_PAGES.includes(kind[0]!);
  };
  return PAGE_BYTES.find((bytes) => isPage(bytes) && isPage(2 * bytes)) ?? PAGE_BYTES[0];
}

function copy(
  damaged: DatabaseSync,
  fresh: DatabaseSync,
  { seqMark, deliveredThrough }: Marks,
): Salvage {
  const keep = fresh.prepare("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)");
  const keepAside = fresh.prepare("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)");
  let saved = 0;
  let quarantined = 0;
  let lastSeen = 0;
  inTransaction(fresh, () => {
    const most = seqMark === 0 ? Number.MAX_SAFE_INTEGER - 1 : seqMark;
    const keepWhole = (rows: readonly Found[], insert: (found: Found) => void) => {
      for (const found of rows.filter(isWhole)) {
        insert(found);
        lastSeen = Math.max(lastSeen, found.seq);
      }
    };
    readAround(damaged, "message", {
      lastSeq: most,
      take: (rows) =>
        keepWhole(rows, (found) => {
          const { seq, topic, qos, timeMs, payload } = found;
          if (seq <= deliveredThrough) return;
          saved += Number(keep.run(seq, topic, qos, timeMs, payload, checksumOf(found)).changes);
        }),
    });
    readAround(damaged, "quarantine", {
      lastSeq: most,
      take: (rows) =>
        keepWhole(rows, ({ seq, topic, qos, timeMs, payload, reason }) => {
          quarantined += Number(keepAside.run(seq, topic, qos, timeMs, payload, reason).changes);
        }),
    });
    const seq = counterOf(damaged, "seq") ?? 0;
    // A number that cannot be is as good as none.
    const isSound = seq >= lastSeen && (seqMark === 0 ? seq > 0 : seq <= seqMark);
    setCounters(fresh, {
      seq: isSound ? seq : Math.max(seqMark, lastSeen),
      dropped: counterOf(damaged, "dropped") ?? 0,
      waiting: saved,
    });
  });
  const waited = counterOf(damaged, "waiting");
  return { saved, quarantined, lost: waited && Math.max(0, waited - saved) };
}

/** Whether a row is one that was put: SQLite reads a lost page as empty values. */
function isWhole(row: Found): boolean {
  const { seq, topic, qos, timeMs, payload, reason, checksum } = row;
  return seq > 0 && typeof topic === "string" && topic !== "" && (qos === 0 || qos === 1) &&
    typeof timeMs === "number" && typeof payload === "string" && typeof reason === "string" &&
    (checksum === null || checksum === checksumOf(row));
}

function counterOf(db: DatabaseSync, name: string): number | undefined {
  try {
    const value = db.prepare("SELECT value FROM counter WHERE name = ?").get(name)?.value;
    return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;
  } catch {
    return undefined;
  }
}

function setCounters(db: DatabaseSync, values: Readonly<Record<string, number>>): void {
  const set = db.prepare("UPDATE counter SET value = ? WHERE name = ?");
  for (const [name, value] of Object.entries(values)) set.run(value, name);
}
