/** Packs taken apart again, as who receives them does. */

import type { TakenMessage } from "../../lib/queue/mod.ts";
import {
  type Json,
  type Metrics,
  payloadOf,
  type RawMetrics,
  utf8Bytes,
} from "../../lib/core/message.ts";

/** A sample, as it was put. */
export interface PutSample {
  readonly device: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly seq: number;
  readonly time: string;
  readonly clock?: string;
  readonly metrics: Metrics;
}

/** The samples in a payload: of a pack in either form, or of a message by itself. */
export function samplesOf(payload: string): PutSample[] {
  const { device, samples, names, rows, ...rest } = JSON.parse(payload);
  if (samples !== undefined) return samples;
  if (rows === undefined) return [{ device, ...rest }];
  return (rows as Json[][]).map((values) => {
    const [seq, time, ...others] = values;
    const metrics = Object.fromEntries(
      others.flatMap((value, at) => value === null ? [] : [[names[at + 2], value]]),
    );
    return { device, ...rest, seq, time, metrics };
  });
}

/** The `seq` of each sample that was received, in order. */
export function sampleSeqs(received: readonly { readonly payload: string }[]): number[] {
  return received.flatMap(({ payload }) => samplesOf(payload)).map(({ seq }) => seq);
}

/** A message as the queue hands it out. */
export function taken(
  seq: number,
  metrics: Metrics | RawMetrics,
  { topic = "dt/a", qos = 1, device = "gw-7", ...more }: {
    topic?: string;
    qos?: 0 | 1;
    device?: string;
    tags?: Readonly<Record<string, string>>;
    clock?: "unsynchronised";
  } = {},
): TakenMessage {
  const payload = payloadOf({ device, timeMs: 1000 * seq, metrics, ...more }, "json", seq);
  return ownPayload(seq, payload, topic, qos);
}

/** A message whose payload came as it is. */
export function ownPayload(
  seq: number,
  payload: string,
  topic = "dt/a",
  qos: 0 | 1 = 1,
): TakenMessage {
  const payloadBytes = utf8Bytes(payload);
  const bytes = payloadBytes + utf8Bytes(topic);
  return { seq, topic, qos, timeMs: 1000 * seq, payload, payloadBytes, bytes };
}
