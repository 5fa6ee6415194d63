/**
 * Memory and swap, in bytes. Used is what is not available to programs: caches do not count. In a container with a limit
 * the limit is the total, and what the container uses is used.
 */

import type { Reading } from "../core/message.ts";
import { askDeno, below, type Host, readIfThere } from "./host.ts";

/** Parses /proc/meminfo; a field that is missing or malformed takes the readings made of it along. */
export function parseMeminfo(text: string): Reading[] {
  return memoryReadings({
    total: field(text, "MemTotal"),
    available: field(text, "MemAvailable"),
    swapTotal: field(text, "SwapTotal"),
    swapFree: field(text, "SwapFree"),
  });
}

/** Where a container's limit, use and statistics are: control groups of version 2, and of version 1. */
const GROUPS = [
  ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"],
  [
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    "/sys/fs/cgroup/memory/memory.stat",
  ],
] as const;

/** The files of {@linkcode GROUPS}. The root of all groups, which a machine that is no container sees there, has no limit. */
export const GROUP_FILES: readonly string[] = GROUPS.flat();

/**
 * Reads the memory.
 *
 * @throws {UserError} When it must not be read.
 */
export function readMemory({ proc, sys }: Host): Reading[] {
  const whole = proc === null
    ? memoryReadings(askDeno("systemMemoryInfo", Deno.systemMemoryInfo))
    : parseMeminfo(readIfThere(below(proc, "/proc/meminfo")) ?? "");
  for (const paths of GROUPS) {
    const texts = paths.map((path) => readIfThere(below(sys, path)) ?? "");
    if (texts[0] !== "") return withinGroup(whole, texts);
  }
  return whole;
}

/** The memory of a machine, held against the limit of a control group; the limit alone counts where it is the smaller one. */
export function withinGroup(
  whole: readonly Reading[],
  [limit = "", use = "", stat = ""]: readonly string[],
): Reading[] {
  const valueOf = (name: string) => whole.find((reading) => reading.name === name)?.value;
  const total = Number.parseInt(limit);
  if (!(total > 0 && total < Number(valueOf("memory_total_bytes") ?? Infinity))) return [...whole];
  // Of version 1 the sum over the groups below.
  const cache = (/^total_inactive_file (\d+)$/m.exec(stat) ?? /^inactive_file (\d+)$/m.exec(stat))
    ?.[1] ?? "0";
  const used = Math.min(Math.max(Number.parseInt(use) - Number(cache), 0), total);
  const available = Math.min(total - used, Number(valueOf("memory_available_bytes") ?? Infinity));
  const readings = [
    { name: "memory_total_bytes", value: total },
    { name: "memory_available_bytes", value: available },
    { name: "memory_used_bytes", value: used },
  ];
  return [
    ...readings.filter(({ value }) => Number.isFinite(value)),
    ...whole.filter(({ name }) => !name.startsWith("memory_")),
  ];
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
