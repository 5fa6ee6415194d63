/**
 * Opens a damaged queue file for reading, by itself or as a copy in which something is mended: its first page, or the
 * checksums of its log. The damaged file is only read. What is in it is damaged_table.ts's and salvage.ts's business.
 */

import { DatabaseSync } from "node:sqlite";
import { rebuildLog } from "./queue_log.ts";
import { prepareFile } from "./queue_schema.ts";

/** SQLite's own, as nothing here asks for another. */
const PAGE_BYTES = 4096;

/**
 * Whether the log of a queue file holds later messages than SQLite will take: behind a damage, or where the file itself
 * was emptied. To be asked before SQLite opens the file, which ends the log there.
 *
 * @param scratch Path for a copy; others that begin with it are used too.
 */
export function holdsMoreThanIsRead(path: string, scratch: string): boolean {
  try {
    using behind = openBehindDamage(path, scratch);
    if (behind === undefined) return false;
    using read = openDamaged(path, `${scratch}-page`);
    return (counterOf(behind, "seq") ?? 0) > (read && counterOf(read, "seq") || 0);
  } catch {
    // No room for a copy: nothing can be saved from it.
    return false;
  }
}

/**
 * Opens a file to read from it what SQLite reads; undefined if that is nothing.
 *
 * @param scratch Path for a copy.
 */
export function openDamaged(path: string, scratch: string): DatabaseSync | undefined {
  // SQLite removes the log of an empty file.
  if (isEmpty(path)) return undefined;
  const db = open(path);
  if (db !== undefined) return db;
  copyWithFirstPage(path, scratch);
  const log = readIfThere(`${path}-wal`);
  if (log !== undefined) Deno.writeFileSync(`${scratch}-wal`, log, { mode: 0o600 });
  return open(scratch);
}

/**
 * Opens a copy of a file with all of its log, if that holds what SQLite does not take.
 *
 * @param scratch Path for the copy.
 */
export function openBehindDamage(path: string, scratch: string): DatabaseSync | undefined {
  const log = readIfThere(`${path}-wal`);
  if (log === undefined) return undefined;
  const { isCutShort, bytes } = rebuildLog(log, PAGE_BYTES);
  if (!isCutShort && (!isEmpty(path) || bytes.length === 0)) return undefined;
  copyWithFirstPage(path, scratch);
  Deno.writeFileSync(`${scratch}-wal`, bytes, { mode: 0o600 });
  return open(scratch);
}

/** A counter of a damaged file, if it is one that could be. */
export function counterOf(db: DatabaseSync, name: string): number | undefined {
  try {
    const value = db.prepare("SELECT value FROM counter WHERE name = ?").get(name)?.value;
    return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined;
  } catch {
    return undefined;
  }
}

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

function isEmpty(path: string): boolean {
  return Deno.statSync(path).size === 0;
}

/** Copies a file with the first page of a new queue: it is the same in each, as the tables are made in the same order. */
function copyWithFirstPage(from: string, to: string): void {
  Deno.openSync(to, { write: true, create: true, truncate: true, mode: 0o600 }).close();
  {
    using model = new DatabaseSync(to);
    prepareFile(model, to, false);
  }
  const page = Deno.readFileSync(to).subarray(0, PAGE_BYTES);
  // Here is the number of pages; 0: as many as there are.
  page.fill(0, 28, 32);
  Deno.copyFileSync(from, to);
  using file = Deno.openSync(to, { write: true });
  file.writeSync(page);
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
