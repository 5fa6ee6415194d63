/** Messages for the queue, made of readings and of lines. */

import type { Code } from "../core/codes.ts";
import { EXIT, UserError } from "../core/errors.ts";
import {
  MAX_PAYLOAD_BYTES,
  type Metrics,
  payloadOf,
  type Qos,
  type RawMetrics,
  type SampleTime,
  utf8Bytes,
} from "../core/message.ts";
import type { NewMessage } from "../queue/mod.ts";
import type { Settings } from "../settings/mod.ts";
import { type Line, type LineMessage, parseLine } from "../sources/mod.ts";
import type { Reports } from "./reports.ts";

/** A message whose payload is made once its `seq` is known. */
export interface Draft {
  readonly topic: string;
  readonly qos: Qos;
  /** When it was sampled, ms since the epoch. */
  readonly timeMs: number;
  readonly payload: (seq: number) => string;
}

/**
 * Drafts as messages with the text of their payload, numbered from a `seq`; a payload that no endpoint takes is left out
 * and gets no number.
 */
export function numbered(
  drafts: readonly Draft[],
  nextSeq: number,
  onTooLarge: (bytes: number) => void,
): NewMessage[] {
  const messages: NewMessage[] = [];
  for (const { topic, qos, timeMs, payload: make } of drafts) {
    const payload = make(nextSeq + messages.length);
    // No text has more than three bytes for each of its units.
    const bytes = payload.length * 3 > MAX_PAYLOAD_BYTES ? utf8Bytes(payload) : 0;
    if (bytes > MAX_PAYLOAD_BYTES) onTooLarge(bytes);
    else messages.push({ topic, qos, timeMs, payload });
  }
  return messages;
}

/** The settings that make a message. */
export type DraftSettings = Pick<Settings, "clientId" | "tags" | "topic" | "qos" | "format">;

/** A draft; metrics that have to be made are made with its payload, so that they are not in memory before. */
export function draftOf(
  { clientId: device, tags, topic, qos, format }: DraftSettings,
  { timeMs, clock }: SampleTime,
  metricsOf: () => Metrics | RawMetrics,
): Draft {
  const sample = () => ({ device, tags: tagsOf(tags), timeMs, clock, metrics: metricsOf() });
  return { topic, qos, timeMs, payload: (seq) => payloadOf(sample(), format, seq) };
}

/** `NAME=VALUE` each, as an object. */
function tagsOf(tags: readonly string[] | undefined): Readonly<Record<string, string>> | undefined {
  return tags && Object.fromEntries(tags.map((tag) => {
    const at = tag.indexOf("=");
    return [tag.slice(0, at), tag.slice(at + 1)];
  }));
}

/** The draft of a line that was taken; a line that says its own time is not marked for this device's clock. */
export function lineDraft(settings: DraftSettings, now: SampleTime, line: LineMessage): Draft {
  const { metrics, payload, topic = settings.topic, timeMs } = line;
  const time = timeMs === undefined ? now : { timeMs };
  return payload === undefined
    ? draftOf({ ...settings, topic }, time, () => metrics!)
    : { topic, qos: settings.qos, timeMs: time.timeMs, payload: () => payload };
}

/** Makes drafts of the lines of an input, and tells of odd ones with their number. */
export class LineDrafts {
  readonly #settings: DraftSettings;
  readonly #topicPrefix: string | undefined;
  readonly #reports: Reports;
  /** Lines so far, empty ones too. */
  #lines = 0;

  constructor(settings: DraftSettings, reports: Reports, topicPrefix?: string) {
    this.#settings = settings;
    this.#reports = reports;
    this.#topicPrefix = topicPrefix;
  }

  /** The drafts of the next lines, at most so many. */
  of(lines: readonly Line[], now: SampleTime, most: number): Draft[] {
    const options = { nowMs: now.timeMs, topicPrefix: this.#topicPrefix };
    const drafts: Draft[] = [];
    for (const line of lines) {
      if (drafts.length === most) break;
      this.#lines++;
      if (line === "") continue;
      if (typeof line !== "string") {
        this.#reports.sourceFailed("stdin", tooLarge(line.bytes, this.#lines));
        continue;
      }
      const message = parseLine(line, options);
      if ("refused" in message) {
        this.#tell(
          "line-refused",
          `was not taken: ${message.refused}`,
          "correct what writes the lines",
        );
        continue;
      }
      const { note, notFinite } = message;
      if (note !== undefined) this.#tell("line-odd", note, "look at what writes the lines");
      if (notFinite > 0) {
        this.#tell(
          "line-odd",
          `lost ${notFinite} values that are NaN or Infinity, which JSON does not have`,
          "write null, or leave out what was not measured",
          notFinite,
        );
      }
      drafts.push(lineDraft(this.#settings, now, message));
    }
    return drafts;
  }

  #tell(code: Code, problem: string, hint: string, times?: number): void {
    const error = new UserError(`Line ${this.#lines} of the input ${problem}`, {
      code,
      hint,
      exitCode: EXIT.config,
      step: "source",
    });
    this.#reports.sourceFailed("stdin", error, times);
  }
}

/**
 * The error about a message that no endpoint takes.
 *
 * @param line The number of the line that it was.
 */
export function tooLarge(bytes: number, line?: number): UserError {
  const where = line === undefined ? "" : `, line ${line} of the input`;
  return new UserError(
    `Cannot publish a message of ${bytes} bytes${where}: ` +
      `AWS IoT Core takes at most ${MAX_PAYLOAD_BYTES}`,
    {
      code: "message-too-large",
      hint: "send smaller messages; this one was left out",
      exitCode: EXIT.config,
      step: "source",
    },
  );
}
