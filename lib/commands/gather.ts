/** What a run publishes: opens what settings name as a source, and gathers from it. */

import { EXIT, messageOf, UserError } from "../core/errors.ts";
import type { World } from "../core/process.ts";
import {
  type ClockWatch,
  type Draft,
  gatherLines,
  gatherTicks,
  type Reports,
  type RunStatus,
} from "../publisher/mod.ts";
import type { Queue } from "../queue/mod.ts";
import type { Settings } from "../settings/mod.ts";
import { nameFilter, openSources, readAll, readLines } from "../sources/mod.ts";

/** What {@linkcode gather} works with. */
export interface GatherTools {
  readonly put: (drafts: readonly Draft[]) => void;
  readonly room: (signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  readonly reports: Reports;
  readonly status: Pick<RunStatus, "read" | "readings">;
  readonly clock: ClockWatch;
  readonly queue: Pick<Queue, "load">;
}

/** Gathers messages as settings ask: one text, lines of input, or the readings of sources. */
export async function gather(settings: Settings, world: World, tools: GatherTools): Promise<void> {
  const { sampleTime } = tools.clock;
  if (settings.message !== undefined) {
    const { topic, qos, message } = settings;
    tools.put([{ topic, qos, timeMs: sampleTime().timeMs, payload: () => message }]);
    return;
  }
  const options = { ...tools, settings, sampleTime, monotonicMs: world.monotonicMs };
  if (settings.source.includes("stdin")) {
    const lines = readable(readLines(world.input(), { signal: tools.signal }));
    const put: typeof tools.put = (drafts) => {
      tools.put(drafts);
      tools.status.read([{ name: "stdin" }]);
    };
    return await gatherLines(lines, { ...options, put });
  }
  const self = () => tools.status.readings();
  const sources = openSources(settings.source, { now: world.now, tz: world.env.get("TZ"), self });
  if (sources.length === 0) return;
  const intervalOf = (source: typeof sources[number]) => source.intervalMs ?? settings.interval;
  const intervalsMs = [...new Set(sources.map(intervalOf))];
  // A source that hangs delays the others by an interval at most; 1-Wire sensors take 0.75 s each, one after the other.
  const timeoutMs = Math.min(Math.max(Math.min(...intervalsMs) / 2, 1000), 5000);
  const wants = nameFilter(settings.only, settings.except);
  return await gatherTicks(
    async (dueMs) => {
      const due = sources.filter((source) => dueMs.includes(intervalOf(source)));
      const result = await readAll(due, { timeoutMs, wants });
      tools.status.read(due, result.failures);
      return result;
    },
    { ...options, intervalsMs },
  );
}

/** Standard input, with read errors in words. */
async function* readable<T>(batches: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* batches;
  } catch (cause) {
    throw new UserError(`Cannot read standard input: ${messageOf(cause)}`, {
      code: "input-failed",
      hint: "give it a pipe or a file: `cat FILE | mqtt443 publish --source stdin`",
      exitCode: EXIT.config,
      step: "source",
      cause,
    });
  }
}
