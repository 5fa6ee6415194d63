/** Number of CPUs that are switched on, and the share of their time that was used. */

import type { Reading } from "../core/message.ts";
import { below, readIfThere } from "./host.ts";

/** Time that the CPUs spent since the start of the machine, in the kernel's ticks. */
export interface CpuTime {
  readonly idle: number;
  readonly total: number;
}

/** Parses /proc/stat; a count of 0 when it names no CPU. */
export function parseStat(text: string): { count: number; time: CpuTime | undefined } {
  const count = text.match(/^cpu\d+ /gm)?.length ?? 0;
  // user nice system idle iowait irq softirq steal; guests are in user and nice already (proc(5)).
  const fields = /^cpu +(\d+(?: \d+){3,7})/m.exec(text)?.[1]?.split(" ").map(Number);
  if (fields === undefined) return { count, time: undefined };
  return {
    count,
    time: {
      idle: fields[3]! + (fields[4] ?? 0),
      total: fields.reduce((sum, field) => sum + field, 0),
    },
  };
}

/** The share of the time between two looks that was used, from 0 to 1; undefined where no time went by. */
export function usageBetween(before: CpuTime, after: CpuTime): number | undefined {
  const total = after.total - before.total;
  if (!(total > 0)) return undefined;
  // What the kernel counts as idle may fall a little (proc(5)).
  const used = Math.min(Math.max(1 - (after.idle - before.idle) / total, 0), 1);
  return Math.round(used * 10_000) / 10_000;
}

/**
 * Returns a function that reads both; the first time it has nothing to compare with, and no share.
 *
 * @param root Root of /proc, or null to ask Deno, which counts the CPUs that this process may use, and knows no more.
 */
export function cpuReader(root: string | null): () => Reading[] {
  if (root === null) return () => [{ name: "cpu_count", value: navigator.hardwareConcurrency }];
  let before: CpuTime | undefined;
  return () => {
    const { count, time } = parseStat(readIfThere(below(root, "/proc/stat")) ?? "");
    const used = before && time && usageBetween(before, time);
    before = time;
    return [
      ...count === 0 ? [] : [{ name: "cpu_count", value: count }],
      ...used === undefined ? [] : [{ name: "cpu_used_ratio", value: used }],
    ];
  };
}
