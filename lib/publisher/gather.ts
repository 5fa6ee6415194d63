/**
 * From sources to the queue: a message each interval, or one per line of input.
 *
 * Rules: ticks stay on the grid of the monotonic clock and a missed one is skipped; a failing source never stops the
 * others; input is read only while the queue has room, so a pipe waits instead of losing lines. Owns no I/O: sources,
 * lines and queue come in.
 */

import { EXIT, UserError } from "../core/errors.ts";
import {
  MAX_PAYLOAD_BYTES,
  type Metrics,
  metricsOf,
  payloadOf,
  type Reading,
  type SampleTime,
} from "../core/message.ts";
import { type Draft, MOST_DRAFTS } from "../queue/mod.ts";
import type { Reports } from "./reports.ts";
import type { Settings } from "../settings/mod.ts";
import type { Line } from "../sources/mod.ts";
import { sleep } from "../core/wait.ts";

/** The settings gathering needs. */
export type GatherSettings = Pick<
  Settings,
  | "clientId"
  | "topic"
  | "qos"
  | "format"
  | "interval"
  | "giveUpAfter"
  | "count"
  | "inflight"
  | "queueMaxMessages"
  | "queueMaxBytes"
>;

/** What gathering works with. */
export interface GatherOptions {
  readonly settings: GatherSettings;
  readonly reports: Reports;
  /** Takes drafts; returns when they are queued. */
  readonly put: (drafts: readonly Draft[]) => void;
  /** No more readings are wanted. */
  readonly signal: AbortSignal;
  /** The time, for the payload. */
  readonly sampleTime: () => SampleTime;
  /** ms of a clock that never jumps, for the ticks. */
  readonly monotonicMs: () => number;
}

/** Reads all sources once. */
export type ReadSources = () => Promise<{
  readonly readings: readonly Reading[];
  readonly failures: readonly { readonly source: string; readonly error: UserError }[];
}>;

/**
 * Gathers a message each interval until the signal or the count ends it.
 *
 * @throws {UserError} If a run that ends by itself has got no reading for `giveUpAfter`.
 */
export async function gatherTicks(read: ReadSources, options: GatherOptions): Promise<void> {
  const { settings, reports, put, signal, sampleTime, monotonicMs } = options;
  const startMs = monotonicMs();
  let readMs = startMs;
  for (let taken = 0, tick = 0; !signal.aborted && taken < (settings.count ?? Infinity);) {
    const time = sampleTime();
    const { readings, failures } = await read();
    for (const { source, error } of failures) reports.sourceFailed(source, error);
    if (readings.length > 0) {
      put([draftOf(settings, time, () => metricsOf(readings))]);
      taken++;
      if (taken === settings.count) return;
      readMs = monotonicMs();
    }
    const nowMs = monotonicMs();
    if (settings.count !== undefined && nowMs - readMs >= settings.giveUpAfter) {
      throw noReadings(settings.giveUpAfter, failures[0]?.error);
    }
    tick = Math.max(tick + 1, Math.ceil((nowMs - startMs) / settings.interval));
    await sleep(startMs + tick * settings.interval - nowMs, signal);
  }
}

function noReadings(giveUpAfterMs: number, error: UserError | undefined): UserError {
  return new UserError(`No source gave a reading for ${giveUpAfterMs / 1000} s`, {
    code: "no-reading",
    hint: error?.hint ??
      "see `mqtt443 settings` for the sources, and the log for what is wrong with them",
    exitCode: EXIT.config,
    step: "source",
    cause: error,
  });
}

/** What input needs besides. */
export interface GatherLinesOptions extends GatherOptions {
  readonly lineMetrics: (line: string) => Metrics;
  /** Number and size of what waits. */
  readonly waiting: () => { readonly messages: number; readonly bytes: number };
  /** Settles when something leaves the queue. */
  readonly room: () => Promise<void>;
}

/** Gathers a message per line until the input, the signal or the count ends it. */
export async function gatherLines(
  batches: AsyncIterable<readonly Line[]>,
  options: GatherLinesOptions,
): Promise<void> {
  const { settings, reports, put, sampleTime, lineMetrics } = options;
  let taken = 0;
  for await (const batch of batches) {
    for (const lines of partsOf(batch, settings)) {
      if (!await waitForRoom(lines, options)) return;
      await waitForTurn(lines, options);
      const time = sampleTime();
      const drafts: Draft[] = [];
      for (const line of lines) {
        if (taken === settings.count) break;
        if (typeof line !== "string") {
          reports.sourceFailed("stdin", tooLarge(line.bytes));
          continue;
        }
        drafts.push(draftOf(settings, time, () => lineMetrics(line)));
        taken++;
      }
      if (drafts.length > 0) put(drafts);
      if (taken === settings.count) return;
    }
  }
}

/** How often a full queue is looked at again, in ms. */
const ROOM_MS = 1000;
/** Cuts lines into parts of at most a quarter of what the queue may hold, of about one size, a single large line apart. */
function* partsOf(
  lines: readonly Line[],
  { queueMaxMessages, queueMaxBytes }: GatherSettings,
): Generator<readonly Line[]> {
  const even = Math.ceil(lines.length / Math.ceil(lines.length / MOST_DRAFTS));
  const most = Math.min(even, Math.max(1, Math.floor(queueMaxMessages / 4)));
  let part: Line[] = [];
  let bytes = 0;
  for (const line of lines) {
    const more = mostBytes(line);
    if (part.length === most || (part.length > 0 && bytes + more > queueMaxBytes / 4)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(line);
    bytes += more;
  }
  if (part.length > 0) yield part;
}

/** Bytes that a line's message takes in the queue, or more: topic, names and UTF-8 included. */
function mostBytes(line: Line): number {
  return typeof line === "string" ? Math.min(line.length * 3, MAX_PAYLOAD_BYTES) + 1024 : 0;
}

/**
 * Waits until the queue would be at most half full, so that its limits are never met by input. False where the signal came
 * before: what has room is put all the same.
 */
async function waitForRoom(
  lines: readonly Line[],
  { settings, waiting, room, signal }: GatherLinesOptions,
): Promise<boolean> {
  const more = lines.reduce((sum, line) => sum + mostBytes(line), 0);
  for (;;) {
    const { messages, bytes } = waiting();
    const hasRoom = messages + lines.length <= settings.queueMaxMessages / 2 &&
      bytes + more <= settings.queueMaxBytes / 2;
    if (hasRoom || messages === 0) return true;
    if (signal.aborted) return false;
    // A look now and then, as drops make room too.
    const enough = new AbortController();
    await Promise.race([room(), sleep(ROOM_MS, AbortSignal.any([signal, enough.signal]))]);
    enough.abort();
  }
}

/** Messages that wait besides those in flight before lines wait for them. */
const AHEAD = MOST_DRAFTS / 4;
/** How long they wait for that, in ms for each: however slow the link, 20,000 lines a second are taken. */
const TURN_MS = 0.05;

/**
 * Waits, not for long, until what was put before is nearly gone: a short queue is read from memory, and its place on disk
 * is used again.
 */
async function waitForTurn(
  { length }: readonly Line[],
  { settings, waiting, room, signal }: GatherLinesOptions,
): Promise<void> {
  const isNear = () => signal.aborted || waiting().messages <= settings.inflight + AHEAD;
  if (isNear()) return;
  const enough = new AbortController();
  let isLate = false;
  const late = sleep(length * TURN_MS, AbortSignal.any([signal, enough.signal])).then(() =>
    isLate = true
  );
  while (!isLate && !isNear()) await Promise.race([room(), late]);
  enough.abort();
}

/** A draft; its metrics are made with its payload, so that they are not in memory before. */
function draftOf(
  { clientId: device, topic, qos, format }: GatherSettings,
  { timeMs, clock }: SampleTime,
  metricsOf: () => Metrics,
): Draft {
  return {
    topic,
    qos,
    timeMs,
    payload: (seq) => payloadOf({ device, timeMs, clock, metrics: metricsOf() }, format, seq),
  };
}

/** The error about a message that no endpoint takes. */
export function tooLarge(bytes: number): UserError {
  return new UserError(
    `Cannot publish a message of ${bytes} bytes: AWS IoT Core takes at most ${MAX_PAYLOAD_BYTES}`,
    {
      code: "message-too-large",
      hint: "send smaller messages; this one was left out",
      exitCode: EXIT.config,
      step: "source",
    },
  );
}
