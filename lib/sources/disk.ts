/**
 * Size of the file system of `/`, in bytes.
 *
 * Deno wants `--allow-sys=statfs` and the right to read the path that is asked about; the right to read `/`
 * would be the right to read everything. A process with scoped permissions asks about one plain file that lies on
 * that file system on every Linux and holds no secret.
 */

import type { statfsSync, StatsFs } from "node:fs";
import type { Reading } from "../core/message.ts";
import { askDeno, isRightsError, rightsError } from "./host.ts";

/** A file on the file system of `/`, to ask about when `/` itself must not be read. */
export const ROOT_DISK_FILE = "/etc/group";

/** What statfs(2) counts, in blocks of `bsize` bytes. */
export interface DiskBlocks {
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
}

/** Turns blocks into readings; empty for a file system without blocks (a container's, at times). Pure. */
export function diskReadings(
  { bsize, blocks, bfree, bavail }: DiskBlocks,
): Reading[] {
  const readings = [
    { name: "disk_total_bytes", value: blocks * bsize },
    { name: "disk_used_bytes", value: (blocks - bfree) * bsize },
    // Less than total - used: a share is kept for root, and telemetry does not run as root.
    { name: "disk_available_bytes", value: bavail * bsize },
  ];
  const sane = readings.every(({ value }) => Number.isFinite(value) && value >= 0);
  return sane && blocks > 0 ? readings : [];
}

/** The path to ask about for the file system of `root`. */
export function diskPath(root = "/"): string {
  if (root !== "/") return root;
  const { state } = Deno.permissions.querySync({ name: "read", path: "/" });
  return state === "granted" ? "/" : ROOT_DISK_FILE;
}

/**
 * Returns a function that reads how full the file system of a path is.
 *
 * It throws, or at its first call rejects with, a {@linkcode UserError} when that must not be read.
 */
export function diskReader(path: string): () => Reading[] | Promise<Reading[]> {
  let statfs: typeof statfsSync | undefined;
  const readFirst = async () => {
    // Loaded here because it takes 10 ms, for which the connection need not wait.
    statfs = (await import("node:fs")).statfsSync;
    return readDisk(path, statfs);
  };
  return () => statfs === undefined ? readFirst() : readDisk(path, statfs);
}

function readDisk(path: string, statfs: typeof statfsSync): Reading[] {
  try {
    const stats: StatsFs & { frsize?: number } = statfs(path);
    // Blocks are counted in fragments where a file system has such (NFS, FUSE); the types do not know them.
    const { frsize, bsize, blocks, bfree, bavail } = stats;
    return diskReadings({ bsize: frsize || bsize, blocks, bfree, bavail });
  } catch (error) {
    if (!isRightsError(error)) return [];
    if (!String(error).includes("sys access")) throw rightsError(path, error);
    return askDeno("statfs", () => {
      throw error;
    });
  }
}
