/** A message as a row of the queue file, with a checksum by which disk damage shows: SQLite keeps none of its own. */

import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { Qos } from "../core/message.ts";
import type { NewMessage, QueuedMessage, TakenMessage } from "./types.ts";

/** A row as it is read; nothing in it is sure. */
export type Row = [
  seq: number,
  topic: string,
  qos: Qos,
  timeMs: number,
  payload: string,
  /** Null in rows of schema 1. */
  checksum: number | null,
];

/** Rows written by one statement: that takes half the time of one for each. */
export const ROWS_AT_ONCE = 10;

/**
 * CRC-32 over all that a message consists of. It detects disk damage, not tampering.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { checksumOf } from "./row.ts";
 *
 * const message = { seq: 1, topic: "t", qos: 1, timeMs: 0, payload: "21.5" } as const;
 * assert(checksumOf(message) !== checksumOf({ ...message, payload: "21.7" }));
 * ```
 */
export function checksumOf({ seq, topic, qos, timeMs, payload }: QueuedMessage): number {
  // A time has more than 32 bits.
  const numbers = seq + qos + timeMs + Math.floor(timeMs / 2 ** 32);
  return crc32(payload, crc32(topic, numbers >>> 0));
}

/** A message in quarantine. */
export interface AsideMessage extends QueuedMessage {
  readonly reason: string;
}

/** A message as the values of its row. */
export function valuesOf(
  { topic, qos, timeMs, payload }: NewMessage,
  seq: number,
): [number, string, number, number, string, number] {
  return [seq, topic, qos, timeMs, payload, checksumOf({ seq, topic, qos, timeMs, payload })];
}

/** The checksum of the two counters. */
export function countersChecksum(seq: number, dropped: number): number {
  return crc32(`${seq} ${dropped}`);
}

/** Bytes of topic and payload. (Counted without the bytes being made, which takes ten times as long.) */
export function bytesOf({ topic, payload }: Pick<QueuedMessage, "topic" | "payload">): number {
  return Buffer.byteLength(topic) + Buffer.byteLength(payload);
}

/** The message of a row; undefined if it is damaged. */
export function messageOfRow(row: Row): TakenMessage | undefined {
  const [seq, topic, qos, timeMs, payload, checksum] = row;
  if (typeof topic !== "string" || typeof payload !== "string") return undefined;
  const payloadBytes = Buffer.byteLength(payload);
  const bytes = payloadBytes + Buffer.byteLength(topic);
  const message = { seq, topic, qos, timeMs, payload, payloadBytes, bytes };
  return checksum === checksumOf(message) ? message : undefined;
}

/** Sorted numbers as ranges without gaps. */
export function rangesOf(seqs: readonly number[]): [first: number, last: number][] {
  const ranges: [number, number][] = [];
  for (const seq of seqs.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === seq - 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}
