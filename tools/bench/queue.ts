/** What the queue alone takes: puts a second, one by one and a hundred in a commit. */

import { type Draft, openQueue, type QueueOptions } from "../../lib/queue.ts";
import { PAYLOAD } from "./clients.ts";
import { delay } from "./process.ts";
import type { Row } from "./report.ts";

/** Messages in a commit. */
const BATCH = 100;

/** A message to put. */
export const DRAFT: Draft = {
  topic: "dt/mqtt443/gw-7/telemetry",
  qos: 1,
  timeMs: 0,
  payload: () => PAYLOAD,
};

/** Options of a queue that never drops. */
export function roomy(durability: QueueOptions["durability"]): QueueOptions {
  return { maxMessages: 1e8, maxBytes: 1e11, full: "drop-newest", durability };
}

/** Puts for so many ms with each durability. */
export async function measureQueue(
  dir: string,
  forMs: number,
  signal: AbortSignal,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const batch of [1, BATCH]) {
    // A signal is heard between two turns alone.
    await delay(0, signal);
    const perS = (durability: QueueOptions["durability"]) =>
      putsPerS(
        durability === "none" ? ":memory:" : `${dir}/puts-${durability}-${batch}.db`,
        durability,
        batch,
        forMs,
      );
    const none = perS("none");
    const how = batch === 1 ? "one by one" : `${batch} a commit`;
    for (const durability of ["power", "crash"] as const) {
      const value = perS(durability);
      rows.push({
        what: `queue puts, ${how}, durability ${durability}`,
        unit: "msg/s",
        values: { mqtt443: value },
        ratio: { of: "none", value: value / none },
      });
    }
    rows.push({
      what: `queue puts, ${how}, durability none`,
      unit: "msg/s",
      values: { mqtt443: none },
    });
  }
  return rows;
}

function putsPerS(
  path: string,
  durability: QueueOptions["durability"],
  batch: number,
  forMs: number,
): number {
  const queue = openQueue(path, roomy(durability));
  const drafts = Array<Draft>(batch).fill(DRAFT);
  const startMs = performance.now();
  let count = 0;
  for (; performance.now() - startMs < forMs; count += batch) queue.put(drafts);
  const perS = count * 1000 / (performance.now() - startMs);
  queue.close();
  return perS;
}
