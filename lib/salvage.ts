/** What can be saved of a damaged queue file. */

import { DatabaseSync } from "node:sqlite";
import type { QueuedMessage } from "./queue_types.ts";

/** What was saved of a damaged queue file. */
export interface Salvage {
  readonly messages: readonly QueuedMessage[];
  /** The last `seq` given; undefined if it can no longer be read. */
  readonly lastSeq: number | undefined;
}

/**
 * What can still be read of a damaged queue file: its messages from both ends up to the damage, and its counter.
 * Never throws; what cannot be read is not there.
 */
export function salvage(path: string): Salvage {
  const found = new Map<number, QueuedMessage>();
  let lastSeq: number | undefined;
  const attempt = (action: () => void) => {
    try {
      action();
    } catch { /* the damage begins here */ }
  };
  attempt(() => {
    using db = new DatabaseSync(path, { readOnly: true });
    const columns = "seq, topic, qos, time_ms AS timeMs, payload";
    for (const order of ["ASC", "DESC"]) {
      attempt(() => {
        const rows = db.prepare(`SELECT ${columns} FROM message ORDER BY seq ${order}`).iterate();
        for (const row of rows as Iterable<unknown>) {
          const message = row as QueuedMessage;
          if (found.has(message.seq)) break;
          if (isWhole(message)) found.set(message.seq, message);
        }
      });
    }
    attempt(() => {
      lastSeq = db.prepare("SELECT value FROM counter WHERE name = 'seq'").get()!.value as number;
    });
  });
  const messages = [...found.values()].sort((a, b) => a.seq - b.seq);
  return { messages, lastSeq };
}

/** Whether a row of a damaged file is one that could have been put: SQLite reads a lost page as empty values. */
function isWhole({ seq, topic, qos, timeMs, payload }: QueuedMessage): boolean {
  return seq > 0 && typeof topic === "string" && topic !== "" && (qos === 0 || qos === 1) &&
    typeof timeMs === "number" && typeof payload === "string";
}
