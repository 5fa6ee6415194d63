/** From a line to a message. What a line means is the sources' to say: sources/line.ts. Pure. */

import { MAX_PAYLOAD_BYTES, type Qos, type SampleTime } from "../core/message.ts";
import { type LineMessage, parseLine } from "../sources/mod.ts";
import { type ClientLine, CUT_OFF } from "./client.ts";
import { type Refusal, refused } from "./receipt.ts";

/** A message that is to be queued. */
export interface Draft {
  readonly topic: string;
  readonly qos: Qos;
  /** When it was sampled, ms since the epoch. */
  readonly timeMs: number;
  /** The payload, once its `seq` is known. */
  readonly payload: (seq: number) => string;
}

/** What makes messages of lines. */
export interface Drafter {
  /** Topic below which an envelope may name one; undefined: it may name none. */
  readonly topicPrefix: string | undefined;
  /** The time, for a line that says none. */
  readonly now: SampleTime;
  /** Makes the message of a line that was taken. */
  readonly make: (line: LineMessage) => Draft;
  /** Told what is odd about such a line. */
  readonly onOdd: (note: string) => void;
}

/** The message of a line, or why it cannot be one. */
export function draftOf(
  line: ClientLine,
  { topicPrefix, now, make, onOdd }: Drafter,
): Draft | Refusal {
  if (line === CUT_OFF) return refused("line: must end with LF");
  if (typeof line !== "string") return tooLong("line", line.bytes);
  const message = parseLine(line, { topicPrefix, nowMs: now.timeMs });
  if ("refused" in message) return refused(message.refused);
  if (message.note !== undefined) onOdd(message.note);
  if (message.notFinite > 0) onOdd("holds NaN or Infinity, which JSON does not have: left out");
  return make(message);
}

/** The refusal of what no endpoint takes. */
export function tooLong(what: "line" | "payload", bytes: number): Refusal {
  return refused(`${what}: must be at most ${MAX_PAYLOAD_BYTES} bytes, and is ${bytes}`);
}
