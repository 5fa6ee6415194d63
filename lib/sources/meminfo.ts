/** Memory and swap, in bytes. Used is what is not available to programs: caches do not count. */

import type { Reading } from "../core/message.ts";
import { askDeno, below, readIfThere } from "./host.ts";

/** Parses /proc/meminfo; a field that is missing or malformed takes the readings made of it along. */
export function parseMeminfo(text: string): Reading[] {
  return memoryReadings({
    total: field(text, "MemTotal"),
    available: field(text, "MemAvailable"),
    swapTotal: field(text, "SwapTotal"),
    swapFree: field(text, "SwapFree"),
  });
}

/**
 * Reads the memory.
 *
 * @param root Root of /proc, or null to ask Deno.
 * @throws {UserError} When it must not be read.
 */
export function readMeminfo(root: string | null = "/"): Reading[] {
  if (root === null) {
    return memoryReadings(askDeno("systemMemoryInfo", Deno.systemMemoryInfo));
  }
  return parseMeminfo(readIfThere(below(root, "/proc/meminfo")) ?? "");
}

interface Memory {
  readonly total: number;
  readonly available: number;
  readonly swapTotal: number;
  readonly swapFree: number;
}

/** Bytes of one field, or NaN. */
function field(text: string, name: string): number {
  const start = text.startsWith(`${name}:`) ? 0 : text.indexOf(`\n${name}:`) + 1;
  if (start === 0 && !text.startsWith(`${name}:`)) return NaN;
  const match = /^\w+: +(\d+) kB$/m.exec(text.slice(start, start + 64));
  return match === null || match.index !== 0 ? NaN : Number(match[1]) * 1024;
}

function memoryReadings(
  { total, available, swapTotal, swapFree }: Memory,
): Reading[] {
  const readings = [
    { name: "memory_total_bytes", value: total },
    { name: "memory_available_bytes", value: available },
    { name: "memory_used_bytes", value: total - available },
  ];
  if (swapTotal > 0) {
    readings.push(
      { name: "swap_total_bytes", value: swapTotal },
      { name: "swap_used_bytes", value: swapTotal - swapFree },
    );
  }
  return readings.filter(({ value }) => Number.isFinite(value) && value >= 0);
}
