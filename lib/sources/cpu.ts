/** Number of CPUs that are switched on. */

import type { Reading } from "../core/message.ts";
import { below, readIfThere } from "./host.ts";

/** Parses /proc/stat; empty when it names no CPU. */
export function parseStat(text: string): Reading[] {
  const count = text.match(/^cpu\d+ /gm)?.length ?? 0;
  return count === 0 ? [] : [{ name: "cpu_count", value: count }];
}

/**
 * Reads the number of CPUs.
 *
 * @param root Root of /proc, or null to ask Deno, which counts those this process may use.
 * @throws {UserError} When it must not be read.
 */
export function readCpuCount(root: string | null = "/"): Reading[] {
  if (root === null) {
    return [{ name: "cpu_count", value: navigator.hardwareConcurrency }];
  }
  return parseStat(readIfThere(below(root, "/proc/stat")) ?? "");
}
