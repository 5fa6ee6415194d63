/** The account of a soak: which messages came, how often, in which order; and whether a process stays as large as it is. */

import { median, openFiles, rssKib } from "../bench/process.ts";

/** Every `seq` that arrived. */
export interface Account {
  take(seq: number): void;
  /** Arrived so far, repeats included. */
  readonly arrived: number;
  /** Arrivals beyond the first of each. */
  readonly repeats: number;
  /** First arrivals that came after a later one. */
  readonly outOfOrder: number;
  /** Those from 1 to `last` that never came. */
  missing(last: number): number[];
}

/** Opens an account without arrivals. */
export function openAccount(): Account {
  const seen = new Set<number>();
  let arrived = 0;
  let outOfOrder = 0;
  let highest = 0;
  return {
    take(seq) {
      arrived++;
      if (seen.has(seq)) return;
      seen.add(seq);
      if (seq < highest) outOfOrder++;
      highest = Math.max(highest, seq);
    },
    get arrived() {
      return arrived;
    },
    get repeats() {
      return arrived - seen.size;
    },
    get outOfOrder() {
      return outOfOrder;
    },
    missing(last) {
      const missing: number[] = [];
      for (let seq = 1; seq <= last; seq++) if (!seen.has(seq)) missing.push(seq);
      return missing;
    },
  };
}

/** What a process weighed at one moment. */
export interface Weight {
  readonly rssMiB: number;
  readonly fds: number;
}

/** Weighs a process; undefined when it is gone. */
export function weigh(pid: number): Weight | undefined {
  try {
    return { rssMiB: rssKib(pid) / 1024, fds: openFiles(pid) };
  } catch {
    return undefined;
  }
}

/** Growth from the second quarter of a life (the first is warm-up) to the last, by medians. */
export function growthOf(weights: readonly Weight[]): Weight {
  const quarter = Math.floor(weights.length / 4);
  const growth = (of: (weight: Weight) => number) =>
    median(weights.slice(-quarter).map(of)) - median(weights.slice(quarter, 2 * quarter).map(of));
  return { rssMiB: growth(({ rssMiB }) => rssMiB), fds: growth(({ fds }) => fds) };
}
