/** From a line to a message. What a line means is the sources' to say: sources/line.ts. Pure. */

import { MAX_PAYLOAD_BYTES, payloadOf, type Qos, type SampleTime } from "../core/message.ts";
import type { Settings } from "../settings/mod.ts";
import { parseLine } from "../sources/mod.ts";
import { type ClientLine, CUT_OFF } from "./client.ts";
import { type Refusal, refused } from "./receipt.ts";

/** A message that is to be queued. */
export interface Draft {
  readonly topic: string;
  readonly qos: Qos;
  /** When it was handed in, ms since the epoch. */
  readonly timeMs: number;
  /** The payload, once its `seq` is known. */
  readonly payload: (seq: number) => string;
}

/** The settings that decide. */
export type DraftSettings = Pick<Settings, "clientId" | "topic" | "topicPrefix" | "qos" | "format">;

/**
 * The message of a line, or why it cannot be one.
 *
 * @param now The time, for a line that says none.
 * @param onOdd Told what is odd about a line that is taken.
 */
export function draftOf(
  line: ClientLine,
  settings: DraftSettings,
  now: SampleTime,
  onOdd: (cause: string) => void,
): Draft | Refusal {
  if (line === CUT_OFF) return refused("line: must end with LF");
  if (typeof line !== "string") return tooLong("line", line.bytes);
  const { topic, topicPrefix, qos, format, clientId: device } = settings;
  const message = parseLine(line, { topicPrefix, nowMs: now.timeMs });
  if ("refused" in message) return refused(message.refused);
  if (message.note !== undefined) onOdd(message.note);
  if (message.notFinite > 0) onOdd("holds NaN or Infinity, which JSON has not: left out");
  const { metrics, payload, timeMs } = message;
  const sample = timeMs === undefined ? now : { timeMs };
  return {
    topic: message.topic ?? topic,
    qos,
    // Its age in the queue is not the age of the sample.
    timeMs: now.timeMs,
    payload: metrics === undefined
      ? () => payload!
      : (seq) => payloadOf({ device, ...sample, metrics }, format, seq),
  };
}

/** The refusal of what no endpoint takes. */
export function tooLong(what: "line" | "payload", bytes: number): Refusal {
  return refused(`${what}: must be at most ${MAX_PAYLOAD_BYTES} bytes, and is ${bytes}`);
}
