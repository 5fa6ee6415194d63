/**
 * What a line of input means: an object is metrics, or an envelope around them; anything else is text.
 *
 * One parser for standard input and for the socket (`listen`). Numbers are not rewritten: the metrics of an object are
 * its own text. Pure.
 */

import { JsonObject, type Member } from "../core/json_text.ts";
import { type Metrics, RawMetrics, topicProblem } from "../core/message.ts";

/** What a line may say, and is held against. */
export interface LineOptions {
  /** Topic below which an envelope may name one, `{clientId}` replaced; undefined: it may name none. */
  readonly topicPrefix?: string | undefined;
  /** The time by which an envelope's `time` is judged, ms since the epoch. */
  readonly nowMs: number;
}

/** What a line says. */
export interface LineMessage {
  /** To be formatted as `format` says. */
  readonly metrics?: Metrics | RawMetrics;
  /** To be sent as it is, in place of metrics. */
  readonly payload?: string;
  /** The whole topic; undefined: the one of the settings. */
  readonly topic?: string;
  /** When it was measured, ms since the epoch; undefined: now. */
  readonly timeMs?: number;
  /** Values that were left out, as JSON has no NaN and no Infinity. */
  readonly notFinite: number;
  /** What is odd about the line, which is taken all the same: the end of a sentence. */
  readonly note?: string;
}

/** A line that is not taken, and why: `topic: must hold no wildcard (+ or #)`. */
export interface RefusedLine {
  readonly refused: string;
}

const BOM = "\ufeff";
/** What stands in a line for bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";
const OPENS_OBJECT = /^\ufeff?[ \t]*\{/;
const ENVELOPE = ["metrics", "payload", "topic", "time"];
const RFC_3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;
/** 2000-01-01: a time before it is that of a clock that was never set. */
const EARLIEST_MS = Date.UTC(2000);
const DAY_MS = 86_400_000;

/**
 * Parses a line. Never throws.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { RawMetrics } from "../core/message.ts";
 * import { parseLine } from "./line.ts";
 *
 * assertEquals(parseLine("pump started", { nowMs: 0 }), { metrics: { text: "pump started" }, notFinite: 0 });
 * assertEquals(
 *   parseLine('{"topic":"boiler","metrics":{"flow":20.0}}', { topicPrefix: "dt/gw-7", nowMs: 0 }),
 *   { metrics: new RawMetrics('{"flow":20.0}'), topic: "dt/gw-7/boiler", notFinite: 0 },
 * );
 * assertEquals(parseLine('{"topic":"a/#","payload":""}', { topicPrefix: "dt/gw-7", nowMs: 0 }), {
 *   refused: "topic: must hold no wildcard (+ or #)",
 * });
 * ```
 */
export function parseLine(line: string, options: LineOptions): LineMessage | RefusedLine {
  const note = line.includes(REPLACEMENT)
    ? { note: "holds bytes that are not UTF-8, sent as U+FFFD" }
    : {};
  if (!OPENS_OBJECT.test(line)) return { metrics: { text: line }, notFinite: 0, ...note };
  let object: JsonObject;
  try {
    object = new JsonObject(line.startsWith(BOM) ? line.slice(BOM.length) : line);
  } catch (error) {
    const problem = `begins like a JSON object and ${(error as Error).message}: sent as text`;
    return { metrics: { text: line }, notFinite: 0, note: problem };
  }
  const { members, notFinite, repeated } = object;
  const odd = repeated === undefined ? note : { note: `holds the key "${repeated}" twice` };
  return isEnvelope(members)
    ? openEnvelope(object, options, odd)
    : { metrics: new RawMetrics(object.text()), notFinite, ...odd };
}

/** Whether an object has no keys but an envelope's, and just one of `metrics` and `payload`. */
function isEnvelope(members: readonly Member[]): boolean {
  const has = (name: string) => members.some(({ key }) => key === name);
  return members.every(({ key }) => ENVELOPE.includes(key)) && has("metrics") !== has("payload");
}

function openEnvelope(
  object: JsonObject,
  { topicPrefix, nowMs }: LineOptions,
  odd: Pick<LineMessage, "note">,
): LineMessage | RefusedLine {
  const values = new Map(object.members.map((member) => [member.key, member]));
  if (values.size < object.members.length) {
    return { refused: `an envelope must not hold "${object.repeated}" twice` };
  }
  const textOf = (name: string) => {
    const member = values.get(name);
    return member && object.text(member.start, member.end);
  };
  const [metrics, payload, topic, time] = ENVELOPE.map(textOf);
  if (metrics !== undefined && !metrics.startsWith("{")) {
    return { refused: "metrics: must be an object" };
  }
  const whole = topic === undefined ? undefined : wholeTopic(stringOf(topic), topicPrefix);
  if (typeof whole === "object") return whole;
  const timeMs = time === undefined ? undefined : timeOf(time, nowMs);
  if (typeof timeMs === "object") return timeMs;
  return {
    ...(metrics !== undefined
      ? { metrics: new RawMetrics(metrics) }
      : { payload: stringOf(payload!) ?? payload! }),
    ...(whole !== undefined && { topic: whole }),
    ...(timeMs !== undefined && { timeMs }),
    notFinite: object.notFinite,
    ...odd,
  };
}

/** A JSON text's string, if it is one. */
function stringOf(json: string): string | undefined {
  return json.startsWith('"') ? JSON.parse(json) : undefined;
}

function wholeTopic(
  topic: string | undefined,
  prefix: string | undefined,
): string | RefusedLine {
  if (topic === undefined) return { refused: "topic: must be a string" };
  if (prefix === undefined) {
    return { refused: "topic: must be absent, as the setting topicPrefix is none" };
  }
  const problem = topic.split("/").map(levelProblem).find(Boolean) ??
    topicProblem(topic) ?? topicProblem(`${prefix}/${topic}`);
  return problem === undefined ? `${prefix}/${topic}` : { refused: `topic: ${problem}` };
}

function levelProblem(level: string): string | undefined {
  if (level === "") return "must hold no empty level";
  if (level === "." || level === "..") return "must hold no level . or ..";
  return level.startsWith("$") ? "must hold no level that begins with $" : undefined;
}

function timeOf(json: string, nowMs: number): number | RefusedLine {
  const text = stringOf(json);
  const timeMs = text === undefined ? Math.floor(Number(json)) : rfc3339(text);
  return timeMs >= EARLIEST_MS && timeMs <= nowMs + DAY_MS ? timeMs : {
    refused: "time: must be RFC 3339 or milliseconds since the epoch, " +
      "from 2000-01-01 to a day ahead",
  };
}

/** ms since the epoch, or NaN; days that the calendar does not have are none. */
function rfc3339(text: string): number {
  const [, day, time, fraction = "", zone] = RFC_3339.exec(text) ?? [];
  const local = Date.parse(`${day}T${time}Z`);
  if (Number.isNaN(local) || new Date(local).toISOString().slice(0, 10) !== day) return NaN;
  return Date.parse(`${day}T${time}${fraction}${zone!.toUpperCase()}`);
}
