/**
 * Size of a file system, in bytes and inodes: that of `/`, and of others by name.
 *
 * Deno wants `--allow-sys=statfs` and the right to read the path that is asked about; the right to read `/` would be the
 * right to read everything. A process with scoped permissions asks about {@linkcode ROOT_VIEW}, where the service unit has
 * it, or else about two plain files that hold no secret. Where those two are on different file systems, because /etc or /usr
 * is a mount, nobody can say which of them is that of `/`, and there are no readings.
 */

import type { statfsSync, StatsFs } from "node:fs";
import { EXIT, UserError } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { askDeno, isRightsError, rightsError, ROOT_VIEW, ROOT_VIEW_UNIT_LINE } from "./host.ts";
import { sourceError } from "./read_all.ts";

/** Files on the file system of `/` of most machines. */
export const ROOT_DISK_FILES = ["/etc/group", "/bin/sh"] as const;

/** What statfs(2) counts, in blocks of `bsize` bytes. */
export interface DiskBlocks {
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  /** Inodes; 0 where the file system counts none. */
  readonly files: number;
  readonly ffree: number;
}

/** Turns blocks into readings; empty for a file system without blocks (a container's, at times). Pure. */
export function diskReadings(
  prefix: string,
  { bsize, blocks, bfree, bavail, files, ffree }: DiskBlocks,
): Reading[] {
  const readings = [
    { name: `${prefix}_total_bytes`, value: blocks * bsize },
    { name: `${prefix}_used_bytes`, value: (blocks - bfree) * bsize },
    // Less than total - used: a share is kept for root, and telemetry does not run as root.
    { name: `${prefix}_available_bytes`, value: bavail * bsize },
  ];
  if (files > 0) {
    readings.push(
      { name: `${prefix}_total_inodes`, value: files },
      { name: `${prefix}_used_inodes`, value: files - ffree },
    );
  }
  const sane = readings.every(({ value }) => Number.isFinite(value) && value >= 0);
  return sane && blocks > 0 ? readings : [];
}

/** The paths to ask about for the file system of `root`: the first that is there, or else all of them alike. */
export function rootPaths(root = "/"): readonly string[] {
  if (root !== "/") return [root];
  const { state } = Deno.permissions.querySync({ name: "read", path: "/" });
  return state === "granted" ? ["/"] : [ROOT_VIEW, ...ROOT_DISK_FILES];
}

/**
 * Returns a function that reads how full a file system is.
 *
 * It throws, or at its first call rejects with, a {@linkcode UserError} when that must not be read.
 *
 * @param paths One path on it, or what {@linkcode rootPaths} gives.
 */
export function diskReader(
  prefix: string,
  paths: readonly string[],
): () => Reading[] | Promise<Reading[]> {
  let statfs: typeof statfsSync | undefined;
  let isTold = false;
  const readNow = (statfs: Statfs) => {
    const [first, ...others] = paths;
    const whole = blocksOf(first!, statfs);
    if (whole !== undefined) return diskReadings(prefix, whole);
    if (others.length === 0) {
      throw new UserError(
        `Cannot read the size of the disk at "${first}": no such file or folder`,
        {
          code: "source-unreadable",
          hint: `look for it: df ${first}`,
          exitCode: EXIT.config,
          step: "source",
        },
      );
    }
    const [one, other] = others.map((path) => blocksOf(path, statfs));
    if (one && other && isSame(one, other)) return diskReadings(prefix, one);
    if (isTold) return [];
    isTold = true;
    throw sourceError(
      "system",
      `the disk of / cannot be told from those that are mounted on it: ${others.join(" and ")} ` +
        "are on two, or one of them is missing",
      `add "${ROOT_VIEW_UNIT_LINE}" to the service unit, or name one: --source system,disk:root=PATH`,
    );
  };
  const readFirst = async () => {
    // Loaded here because it takes 10 ms, for which the connection need not wait.
    statfs = (await import("node:fs")).statfsSync;
    return readNow(statfs);
  };
  return () => statfs === undefined ? readFirst() : readNow(statfs);
}

type Statfs = typeof statfsSync;

/** Whether two answers are of one file system, which others write to between the two, or say the same at least. */
function isSame(a: DiskBlocks, b: DiskBlocks): boolean {
  return a.bsize === b.bsize && a.blocks === b.blocks &&
    Math.abs(a.bfree - b.bfree) <= a.blocks / 100;
}

function blocksOf(path: string, statfs: Statfs): DiskBlocks | undefined {
  try {
    const stats: StatsFs & { frsize?: number } = statfs(path);
    // Blocks are counted in fragments where a file system has such (NFS, FUSE); the types do not know them.
    return { ...stats, bsize: stats.frsize || stats.bsize };
  } catch (error) {
    if (!isRightsError(error)) return undefined;
    if (!String(error).includes("sys access")) throw rightsError(path, error);
    return askDeno("statfs", () => {
      throw error;
    });
  }
}
