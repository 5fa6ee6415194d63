/** What is put into a queue becomes messages: numbered, and weighed. */

import { Buffer } from "node:buffer";
import { MAX_PAYLOAD_BYTES } from "../core/message.ts";
import type { Draft, QueuedMessage, TakenMessage } from "./types.ts";

/** Drafts that are put at once at most: the lines of 64 KiB, which is what a pipe holds. */
export const MOST_DRAFTS = 1200;
/** Bytes of messages after which no more are taken at once: what is taken lies in memory. */
export const TAKE_BYTES = 256 * 1024;

/**
 * Length of a text in UTF-8, counted without the bytes being made, which takes ten times as long. (message.ts, which needs
 * it now and then, is loaded where nothing of Node is.)
 */
function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}

/** A message with its bytes. */
export function weighed(message: QueuedMessage): TakenMessage {
  const payloadBytes = bytesOf(message.payload);
  return { ...message, payloadBytes, bytes: bytesOf(message.topic) + payloadBytes };
}

/**
 * Drafts as messages, numbered from the `seq` after the last one; a payload that no endpoint takes gets none.
 *
 * @throws What a draft's payload throws.
 */
export function numbered(
  drafts: readonly Draft[],
  lastSeq: number,
): { messages: TakenMessage[]; tooLarge: number[] } {
  const messages: TakenMessage[] = [];
  const tooLarge: number[] = [];
  let seq = lastSeq;
  let lastTopic = "";
  let topicBytes = 0;
  for (const draft of drafts) {
    const payload = draft.payload(seq + 1);
    const payloadBytes = bytesOf(payload);
    if (payloadBytes > MAX_PAYLOAD_BYTES) {
      tooLarge.push(payloadBytes);
      continue;
    }
    seq++;
    const { topic, qos, timeMs } = draft;
    if (topic !== lastTopic) topicBytes = bytesOf(lastTopic = topic);
    const bytes = topicBytes + payloadBytes;
    messages.push({ seq, topic, qos, timeMs, payload, payloadBytes, bytes });
  }
  return { messages, tooLarge };
}
