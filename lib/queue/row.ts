/** A message as a row of the queue file, and rows as messages: with a checksum, by which damage is told. */

import type { StatementSync } from "node:sqlite";
import { checksumOf } from "./checksum.ts";
import type { Qos } from "../core/message.ts";
import type { QueuedMessage, TakenMessage } from "./types.ts";

/** A row as the statement `take` reads it. The checksum is null in a message put by a version that kept none. */
type Row = [
  seq: number,
  topic: string,
  qos: Qos,
  timeMs: number,
  payload: string,
  checksum: number | null,
  payloadBytes: number,
  bytes: number,
];

/** Rows written together: one statement for several takes half the time of one for each. */
export const ROWS_AT_ONCE = 10;

/** Rows on their way into the file. */
export interface Rows {
  add(message: QueuedMessage): void;
  /** Writes what has been added. */
  flush(): void;
  /** Writes it never. */
  forget(): void;
}

/** Makes an empty one. */
export function createRows(
  statements: { readonly insert: StatementSync; readonly insertMany: StatementSync },
): Rows {
  let waiting: QueuedMessage[] = [];
  return {
    add(message) {
      if (waiting.push(message) < ROWS_AT_ONCE) return;
      statements.insertMany.run(...waiting.flatMap(valuesOf));
      waiting = [];
    },
    flush() {
      for (const message of waiting) statements.insert.run(...valuesOf(message));
      waiting = [];
    },
    forget: () => void (waiting = []),
  };
}

/** What was read. */
export interface Found {
  readonly messages: readonly TakenMessage[];
  /** The `seq` of those that are damaged. */
  readonly damaged: readonly number[];
  /** The last `seq`, or the one after which nothing is left. */
  readonly last: number;
}

/** A message as the values of its row. */
export function valuesOf(
  message: QueuedMessage,
): [number, string, number, number, string, number] {
  const { seq, topic, qos, timeMs, payload } = message;
  return [seq, topic, qos, timeMs, payload, checksumOf(message)];
}

/** The next messages after a `seq`. */
export function readAfter(take: StatementSync, after: number, most: number): Found {
  const rows = take.all(after, most) as unknown as Row[];
  const messages: TakenMessage[] = [];
  const damaged: number[] = [];
  for (const [seq, topic, qos, timeMs, payload, checksum, payloadBytes, bytes] of rows) {
    const message = { seq, topic, qos, timeMs, payload, payloadBytes, bytes };
    if (checksum === null || checksum === checksumOf(message)) messages.push(message);
    else damaged.push(seq);
  }
  return { messages, damaged, last: rows.at(-1)?.[0] ?? after };
}

/** Numbers as ranges without gaps. */
export function rangesOf(seqs: readonly number[]): [first: number, last: number][] {
  const ranges: [number, number][] = [];
  for (const seq of seqs.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === seq - 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}
