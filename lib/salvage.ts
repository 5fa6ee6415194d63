/**
 * What can be saved of a damaged queue file, into a fresh one.
 *
 * Rules: what has a checksum is saved only if it agrees; the fresh file holds all that was saved, or none of it. How the
 * damaged file is read is damaged_file.ts's business, when the fresh one takes its place queue_dir.ts's.
 */

import { DatabaseSync } from "node:sqlite";
import { checksumOf } from "./checksum.ts";
import { counterOf, openBehindDamage, openDamaged } from "./damaged_file.ts";
import { type Found, readAround } from "./damaged_table.ts";
import { storageError } from "./queue_errors.ts";
import { inTransaction, prepareFile } from "./queue_schema.ts";

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
 * @param into Path of the empty file; paths that begin with it are used too.
 * @param seqMark No `seq` above it was given; 0: not known.
 * @throws {UserError} With exit code 73 if nothing can be written.
 */
export function salvage(from: string, into: string, seqMark: number): Salvage {
  try {
    using fresh = new DatabaseSync(into);
    prepareFile(fresh, into, false);
    try {
      using read = openDamaged(from, `${into}-page`);
      using behind = openBehindDamage(from, `${into}-log`);
      const sources = [read, behind].filter((source) => source !== undefined);
      if (sources.length > 0) return copyAll(sources, fresh, seqMark);
    } catch { /* no room for it */ }
    setCounters(fresh, { seq: seqMark });
    return { saved: 0, quarantined: 0, lost: undefined };
  } catch (error) {
    throw storageError(into, error);
  }
}

/** Copies from the same queue at one or two times, the earlier first: what left it in between may come again. */
function copyAll(
  sources: readonly DatabaseSync[],
  fresh: DatabaseSync,
  seqMark: number,
): Salvage {
  const keep = fresh.prepare("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)");
  const keepAside = fresh.prepare("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)");
  const lastSeq = seqMark === 0 ? Number.MAX_SAFE_INTEGER - 1 : seqMark;
  inTransaction(fresh, () => {
    for (const source of sources) {
      readAround(source, "message", {
        lastSeq,
        take: (rows) => {
          for (const found of rows.filter(isWhole)) {
            const { seq, topic, qos, timeMs, payload } = found;
            keep.run(seq, topic, qos, timeMs, payload, checksumOf(found));
          }
        },
      });
      readAround(source, "quarantine", {
        lastSeq,
        take: (rows) => {
          for (const { seq, topic, qos, timeMs, payload, reason } of rows.filter(isWhole)) {
            keepAside.run(seq, topic, qos, timeMs, payload, reason);
          }
        },
      });
    }
    fresh.exec("DELETE FROM message WHERE seq IN (SELECT seq FROM quarantine)");
    const { saved, lastSeen } = countsOf(fresh);
    // A number that cannot be is as good as none.
    const isSound = (seq: number) => seq >= lastSeen && seq > 0 && seq <= lastSeq;
    setCounters(fresh, {
      seq: latest(sources, "seq", isSound) ?? Math.max(seqMark, lastSeen),
      dropped: latest(sources, "dropped") ?? 0,
      waiting: saved,
    });
  });
  const { saved, quarantined } = countsOf(fresh);
  const waited = latest(sources, "waiting");
  return { saved, quarantined, lost: waited && Math.max(0, waited - saved) };
}

/** Whether a row is one that was put: SQLite reads a lost page as empty values. */
function isWhole(row: Found): boolean {
  const { seq, topic, qos, timeMs, payload, reason, checksum } = row;
  return seq > 0 && typeof topic === "string" && topic !== "" && (qos === 0 || qos === 1) &&
    typeof timeMs === "number" && typeof payload === "string" && typeof reason === "string" &&
    (checksum === null || checksum === checksumOf(row));
}

function countsOf(db: DatabaseSync): { saved: number; quarantined: number; lastSeen: number } {
  return db.prepare(`
    SELECT (SELECT count(*) FROM message) AS saved, (SELECT count(*) FROM quarantine) AS quarantined,
      max(ifnull((SELECT max(seq) FROM message), 0), ifnull((SELECT max(seq) FROM quarantine), 0)) AS lastSeen
  `).get() as { saved: number; quarantined: number; lastSeen: number };
}

/** A counter of the latest of the sources that has it. */
function latest(
  sources: readonly DatabaseSync[],
  name: string,
  isSound: (value: number) => boolean = () => true,
): number | undefined {
  return sources.map((source) => counterOf(source, name))
    .findLast((value) => value !== undefined && isSound(value));
}

function setCounters(db: DatabaseSync, values: Readonly<Record<string, number>>): void {
  const set = db.prepare("UPDATE counter SET value = ? WHERE name = ?");
  for (const [name, value] of Object.entries(values)) set.run(value, name);
}
