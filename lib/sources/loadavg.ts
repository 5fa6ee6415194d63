/** Load of the CPUs, averaged over 1, 5 and 15 minutes. */

import type { Reading } from "../core/message.ts";
import { askDeno, below, readIfThere } from "./host.ts";

const NAMES = ["cpu_load_1m", "cpu_load_5m", "cpu_load_15m"];

/** Parses /proc/loadavg; empty when it is malformed. */
export function parseLoadavg(text: string): Reading[] {
  const match = /^(\d+\.\d+) (\d+\.\d+) (\d+\.\d+) /.exec(text);
  return match === null ? [] : loadReadings(match.slice(1).map(Number));
}

/**
 * Reads the load.
 *
 * @param root Root of /proc, or null to ask Deno.
 * @throws {UserError} When it must not be read.
 */
export function readLoadavg(root: string | null = "/"): Reading[] {
  if (root === null) return loadReadings(askDeno("loadavg", Deno.loadavg));
  return parseLoadavg(readIfThere(below(root, "/proc/loadavg")) ?? "");
}

function loadReadings(loads: readonly number[]): Reading[] {
  // Two decimals, as the kernel prints it: sysinfo(2), which Deno asks, counts in 65536ths.
  const readings = NAMES.map((name, i) => ({
    name,
    value: Math.round(loads[i]! * 100) / 100,
  }));
  return readings.every(({ value }) => Number.isFinite(value)) ? readings : [];
}
