/**
 * Readings, payloads and topics, and the limits on them. Pure.
 *
 * The limits are AWS IoT Core's (quotas page "iot-core"). They hold for every broker, so that a gateway that moves to
 * AWS later does not start to lose messages.
 */

import { JsonObject } from "./json_text.ts";

/** A value as JSON has it. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** One measured value; the unit is in the name, OpenMetrics style (`memory_used_bytes`). */
export interface Reading {
  readonly name: string;
  readonly value: Json;
}

/** Measured values by name, in their order. */
export type Metrics = Readonly<Record<string, Json>>;

/** Metrics in the very text they came in: no number is written anew. */
export class RawMetrics {
  /** @param json A JSON object. */
  constructor(readonly json: string) {}
}

/** How metrics become a payload. */
export type Format = "json" | "text" | "shadow";

/** Quality of service; AWS IoT Core answers no QoS 2. */
export type Qos = 0 | 1;

/** When a sample was taken. */
export interface SampleTime {
  /** ms since the epoch. */
  readonly timeMs: number;
  /** Said where the clock could not be right. */
  readonly clock?: "unsynchronised" | undefined;
}

/** What a payload is made of, besides its `seq`, which the queue gives. */
export interface Sample extends SampleTime {
  /** The client id. */
  readonly device: string;
  /** What does not change from message to message, by name. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  readonly metrics: Metrics | RawMetrics;
}

/** Largest payload in bytes that AWS IoT Core takes: 128 KiB. */
export const MAX_PAYLOAD_BYTES = 131_072;
/** Largest topic in UTF-8 bytes that AWS IoT Core takes. */
export const MAX_TOPIC_BYTES = 256;
/** Most slashes in a topic that AWS IoT Core takes, `$aws/rules/<name>/` not counted. */
export const MAX_TOPIC_SLASHES = 7;

const encoder = new TextEncoder();

/** Length of a text in UTF-8 bytes. */
export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

/**
 * The payload of a sample.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { payloadOf } from "./message.ts";
 *
 * const sample = { device: "gw-7", timeMs: 0, metrics: { cpu_load_1m: 0.12 } };
 * assertEquals(
 *   payloadOf(sample, "json", 1042),
 *   '{"device":"gw-7","seq":1042,"time":"1970-01-01T00:00:00.000Z","metrics":{"cpu_load_1m":0.12}}',
 * );
 * assertEquals(
 *   payloadOf({ ...sample, clock: "unsynchronised" }, "json", 1042),
 *   '{"device":"gw-7","seq":1042,"time":"1970-01-01T00:00:00.000Z","clock":"unsynchronised",' +
 *     '"metrics":{"cpu_load_1m":0.12}}',
 * );
 * assertEquals(payloadOf(sample, "text", 1042), "0.12");
 * assertEquals(payloadOf(sample, "shadow", 1042), '{"state":{"reported":{"cpu_load_1m":0.12}}}');
 * ```
 */
export function payloadOf(
  { device, tags, timeMs, clock, metrics }: Sample,
  format: Format,
  seq: number,
): string {
  if (format === "text") return firstOf(metrics);
  const text = metrics instanceof RawMetrics ? metrics.json : JSON.stringify(metrics);
  if (format === "shadow") return `{"state":{"reported":${text}}}`;
  const mark = clock === undefined ? "" : `,"clock":"${clock}"`;
  const head = JSON.stringify(device) + (tags ? `,"tags":${JSON.stringify(tags)}` : "");
  return `{"device":${head},"seq":${seq},"time":"${textOfTime(timeMs)}"${mark},"metrics":${text}}`;
}

/** The first value alone, a string as it is. */
function firstOf(metrics: Metrics | RawMetrics): string {
  if (metrics instanceof RawMetrics) {
    const object = new JsonObject(metrics.json);
    const [first] = object.members;
    if (first === undefined) return "";
    const text = object.text(first.start, first.end);
    return text.startsWith('"') ? JSON.parse(text) : text;
  }
  for (const name in metrics) {
    const value = metrics[name]!;
    return typeof value === "string" ? value : JSON.stringify(value);
  }
  return "";
}

/** Readings by their names; of two of one name the last. */
export function metricsOf(readings: readonly Reading[]): Metrics {
  const metrics: Record<string, Json> = {};
  for (const { name, value } of readings) {
    // Assigned to that name, it would not become a metric.
    if (name === "__proto__") {
      Object.defineProperty(metrics, name, { value, enumerable: true, configurable: true });
    } else metrics[name] = value;
  }
  return metrics;
}

/** The last time that was written out: lines that come together have one, and writing it takes longer than all else. */
let lastTime = { ms: NaN, text: "" };

function textOfTime(ms: number): string {
  if (ms !== lastTime.ms) lastTime = { ms, text: new Date(ms).toISOString() };
  return lastTime.text;
}

/** The topic with `{clientId}` replaced. */
export function expandTopic(template: string, clientId: string): string {
  return template.replaceAll("{clientId}", () => clientId);
}

/** What is wrong with a topic to publish to, as the end of a sentence, or undefined. */
export function topicProblem(topic: string): string | undefined {
  if (topic === "") return "must not be empty";
  if (topic.includes("\0")) return "must not hold NUL";
  if (/[+#]/.test(topic)) return "must hold no wildcard (+ or #)";
  return textProblem(topic) ?? sizeProblem(topic);
}

/** What is wrong with a topic filter to subscribe to, as the end of a sentence, or undefined. */
export function filterProblem(filter: string): string | undefined {
  if (filter === "") return "must not be empty";
  const levels = filter.split("/");
  for (const [index, level] of levels.entries()) {
    if (level === "+" || (level === "#" && index === levels.length - 1)) continue;
    if (/[+#]/.test(level)) return "must hold + as a whole level and # as the last one only";
  }
  return textProblem(filter) ?? sizeProblem(filter);
}

/**
 * Whether a topic matches a topic filter (MQTT 5 section 4.7); of a shared subscription, the filter in it.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { matchesFilter } from "./message.ts";
 *
 * assertEquals(matchesFilter("dt/+/a", "dt/gw-7/a"), true);
 * assertEquals(matchesFilter("dt/#", "dt"), true);
 * assertEquals(matchesFilter("#", "$SYS/uptime"), false);
 * ```
 */
export function matchesFilter(filter: string, topic: string): boolean {
  const levels = filter.replace(/^\$share\/[^/]+\//, "").split("/");
  const names = topic.split("/");
  if (topic.startsWith("$") && /^[+#]$/.test(levels[0]!)) return false;
  const last = levels.at(-1) === "#" ? levels.pop() : undefined;
  if (last === undefined ? names.length !== levels.length : names.length < levels.length) {
    return false;
  }
  return levels.every((level, index) => level === "+" || level === names[index]);
}

/** What is wrong with a text that goes into an MQTT packet as UTF-8, or undefined. */
export function textProblem(text: string): string | undefined {
  if (!text.isWellFormed()) return "must be valid Unicode (it holds half of a surrogate pair)";
  // deno-lint-ignore no-control-regex -- MQTT 5 section 1.5.4 forbids just these
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) return "must hold no control characters";
  return undefined;
}

function sizeProblem(topic: string): string | undefined {
  const bytes = utf8Bytes(topic);
  if (bytes > MAX_TOPIC_BYTES) {
    return `must be at most ${MAX_TOPIC_BYTES} bytes of UTF-8, and is ${bytes}`;
  }
  const slashes = topic.replace(/^\$aws\/rules\/[^/]+\//, "").split("/").length - 1;
  if (slashes > MAX_TOPIC_SLASHES) {
    return `must hold at most ${MAX_TOPIC_SLASHES} slashes, and holds ${slashes}`;
  }
  return undefined;
}
