/**
 * From sources to the queue: a message each interval, or one per line of input.
 *
 * Rules: ticks stay on the grid of the monotonic clock and a missed one is skipped; a failing source never stops the
 * others; input is read only while the queue has room, so a pipe waits instead of losing lines. Owns no I/O: sources,
 * lines and queue come in.
 */

import { EXIT, UserError } from "../core/errors.ts";
import { MAX_PAYLOAD_BYTES, metricsOf, type Reading, type SampleTime } from "../core/message.ts";
import type { Queue } from "../queue/mod.ts";
import { type Draft, draftOf, LineDrafts } from "./drafts.ts";
import type { Reports } from "./reports.ts";
import type { Settings } from "../settings/mod.ts";
import type { Line } from "../sources/mod.ts";
import { orAborted, sleep } from "../core/wait.ts";

/** The settings gathering needs. */
export type GatherSettings = Pick<
  Settings,
  | "clientId"
  | "tags"
  | "topic"
  | "qos"
  | "format"
  | "interval"
  | "giveUpAfter"
  | "count"
  | "inflight"
>;

/** Lines that are put at once at most: those of 64 KiB, which is what a pipe holds. */
const MOST_LINES = 1200;

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

/** Reads once the sources whose interval is among these, ms. */
export type ReadSources = (dueMs: readonly number[]) => Promise<{
  readonly readings: readonly Reading[];
  readonly failures: readonly { readonly source: string; readonly error: UserError }[];
}>;

/** What ticks need besides. */
export interface GatherTicksOptions extends GatherOptions {
  /** The intervals of the sources, ms. @default the setting `interval` */
  readonly intervalsMs?: readonly number[];
}

/**
 * Gathers a message each interval until the signal or the count ends it. Sources of several intervals that are due at one
 * tick share a message.
 *
 * @throws {UserError} If a run that ends by itself has got no reading for `giveUpAfter`.
 */
export async function gatherTicks(
  read: ReadSources,
  { intervalsMs, ...options }: GatherTicksOptions,
): Promise<void> {
  const { settings, reports, put, signal, sampleTime, monotonicMs } = options;
  const startMs = monotonicMs();
  let readMs = startMs;
  /** By interval: when it is due next, ms after the start. */
  const next = new Map((intervalsMs ?? [settings.interval]).map((ms) => [ms, 0]));
  for (let taken = 0, atMs = 0; !signal.aborted && taken < (settings.count ?? Infinity);) {
    const time = sampleTime();
    const dueMs = [...next].filter(([, dueMs]) => dueMs <= atMs).map(([ms]) => ms);
    // A source that hangs does not keep a run that is stopped.
    const result = await orAborted(read(dueMs), signal);
    if (result === undefined) return;
    const { readings, failures } = result;
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
    for (const ms of dueMs) {
      next.set(ms, Math.max(next.get(ms)! + ms, Math.ceil((nowMs - startMs) / ms) * ms));
    }
    atMs = Math.min(...next.values());
    await sleep(startMs + atMs - nowMs, signal);
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
  readonly queue: Pick<Queue, "load">;
  /** Settles when something leaves the queue, or the signal comes. */
  readonly room: (signal: AbortSignal) => Promise<void>;
}

/** Gathers a message per line until the input, the signal or the count ends it. */
export async function gatherLines(
  batches: AsyncIterable<readonly Line[]>,
  options: GatherLinesOptions,
): Promise<void> {
  const { settings, reports, put, sampleTime } = options;
  const made = new LineDrafts(settings, reports);
  let taken = 0;
  for await (const batch of batches) {
    for (const lines of partsOf(batch, options.queue)) {
      if (!await waitForRoom(lines, options)) return;
      await waitForTurn(lines, options);
      const drafts = made.of(lines, sampleTime(), (settings.count ?? Infinity) - taken);
      taken += drafts.length;
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
  { load }: Pick<Queue, "load">,
): Generator<readonly Line[]> {
  const { messages, bytes: mostBytes } = load.most;
  const even = Math.ceil(lines.length / Math.ceil(lines.length / MOST_LINES));
  const most = Math.min(even, Math.max(1, Math.floor(messages / 4)));
  let part: Line[] = [];
  let bytes = 0;
  for (const line of lines) {
    const more = bytesAtMost(line);
    if (part.length === most || (part.length > 0 && bytes + more > mostBytes / 4)) {
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
function bytesAtMost(line: Line): number {
  return typeof line === "string" && line !== ""
    ? Math.min(line.length * 3, MAX_PAYLOAD_BYTES) + 1024
    : 0;
}

/**
 * Waits until the queue would be at most half full, so that its limits are never met by input: those of memory while the
 * disk fails. False where the signal came before: what has room is put all the same.
 */
async function waitForRoom(
  lines: readonly Line[],
  { queue, room, signal }: GatherLinesOptions,
): Promise<boolean> {
  const more = lines.reduce((sum, line) => sum + bytesAtMost(line), 0);
  for (;;) {
    const { used, most } = queue.load;
    const hasRoom = used.messages + lines.length <= most.messages / 2 &&
      used.bytes + more <= most.bytes / 2;
    if (hasRoom || used.messages === 0) return true;
    if (signal.aborted) return false;
    // A look now and then, as drops make room too.
    const enough = new AbortController();
    const either = AbortSignal.any([signal, enough.signal]);
    await Promise.race([room(either), sleep(ROOM_MS, either)]);
    enough.abort();
  }
}

/** How long lines wait for those before them, in ms for each: however slow the link, 20,000 lines a second are taken. */
const TURN_MS = 0.05;

/**
 * Waits, not for long, until what was put before is nearly gone: its place in the file is then used again, which alone
 * more than halves what is written to disk in bulk.
 */
async function waitForTurn(
  { length }: readonly Line[],
  { settings, queue, room, signal }: GatherLinesOptions,
): Promise<void> {
  const isNear = () => queue.load.used.messages <= settings.inflight + MOST_LINES / 4;
  if (isNear()) return;
  const enough = new AbortController();
  const late = sleep(length * TURN_MS, AbortSignal.any([signal, enough.signal]));
  void late.then(() => enough.abort());
  while (!enough.signal.aborted && !isNear()) {
    await Promise.race([room(enough.signal), late]);
  }
  enough.abort();
}
