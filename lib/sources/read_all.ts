/**
 * Sources and how they are read: side by side, each within a time limit, none at the expense of another.
 *
 * What cannot hang gives its readings at once. Where all do, nothing is waited for and no timer is set, which would wake
 * the process once more for each message.
 */

import { EXIT, messageOf, UserError } from "../core/errors.ts";
import type { Json, Reading } from "../core/message.ts";

/** Something that can be measured again and again. */
export interface Source {
  /** What its failures are told and counted under; several sources may share one. */
  readonly name: string;
  /**
   * Measures now: at once if that cannot hang. Throws, or rejects with, a {@linkcode UserError} that says what could not
   * be read.
   */
  read(): readonly Reading[] | Promise<readonly Reading[]>;
}

/** Options of {@linkcode readAll}. */
export interface ReadAllOptions {
  /** How long one source may take, ms. @default {2000} */
  readonly timeoutMs?: number;
}

/** A source that gave nothing, and why. */
export interface SourceFailure {
  /** Name of the source. */
  readonly source: string;
  readonly error: UserError;
}

/** What {@linkcode readAll} got. */
export interface ReadAllResult {
  readonly readings: readonly Reading[];
  readonly failures: readonly SourceFailure[];
}

const DEFAULT_TIMEOUT_MS = 2000;

/**
 * Reads all sources at the same time. It never rejects.
 *
 * Readings come in the order of the list. Where two sources give the same name the later one wins, in the place of
 * the earlier one, so that `file:cpu_load_1m=…` after `system` replaces it. Values that JSON does not have (NaN,
 * Infinity) are dropped. A name under which nothing at all was read, nor failed, is a failure.
 */
export async function readAll(
  sources: readonly Source[],
  { timeoutMs = DEFAULT_TIMEOUT_MS }: ReadAllOptions = {},
): Promise<ReadAllResult> {
  const begun = sources.map(begin);
  const isAllThere = !begun.some((outcome) => outcome instanceof Promise);
  const outcomes = isAllThere
    ? begun as readonly Outcome[]
    : await settleWithin(begun, sources, timeoutMs);
  const values = new Map<string, Json>();
  const failures: SourceFailure[] = [];
  const heard = new Set<string>();
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!.name;
    const outcome = outcomes[i]!;
    if ("error" in outcome) {
      heard.add(source);
      failures.push(outcome);
      continue;
    }
    for (const { name, value } of outcome) {
      if (typeof value === "number" && !Number.isFinite(value)) continue;
      heard.add(source);
      values.set(name, value);
    }
  }
  for (const source of new Set(sources.map(({ name }) => name))) {
    if (!heard.has(source)) {
      failures.push({ source, error: nothingError(source) });
    }
  }
  return {
    readings: Array.from(values, ([name, value]) => ({ name, value })),
    failures,
  };
}

/**
 * Wraps a source whose read may hang: no new read is begun while one is under way, as each would hold a thread.
 */
export function onceAtATime(source: Source): Source {
  let busy = false;
  return {
    name: source.name,
    read() {
      if (busy) {
        const why = "the read begun earlier has not ended";
        return Promise.reject(sourceError(source.name, why, HANG_HINT));
      }
      const reading = source.read();
      if (!(reading instanceof Promise)) return reading;
      busy = true;
      return reading.finally(() => {
        busy = false;
      });
    },
  };
}

const HANG_HINT = "find the sensor or file that does not answer: read it with cat, look at dmesg";

/** What became of a read. */
type Outcome = readonly Reading[] | SourceFailure;

/** Begins a read; never throws nor rejects. */
function begin(source: Source): Outcome | Promise<Outcome> {
  const failed = (error: unknown) => ({
    source: source.name,
    error: asUserError(source.name, error),
  });
  try {
    const reading = source.read();
    return reading instanceof Promise ? reading.catch(failed) : reading;
  } catch (error) {
    return failed(error);
  }
}

/** Waits for what was begun, under one timer. */
async function settleWithin(
  begun: readonly (Outcome | Promise<Outcome>)[],
  sources: readonly Source[],
  timeoutMs: number,
): Promise<readonly Outcome[]> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const within = async (outcome: Outcome | Promise<Outcome>, i: number) => {
    const source = sources[i]!.name;
    const why = `no answer within ${timeoutMs} ms`;
    return await Promise.race([outcome, late]) ??
      { source, error: sourceError(source, why, HANG_HINT) };
  };
  try {
    return await Promise.all(begun.map(within));
  } finally {
    clearTimeout(timer);
  }
}

function nothingError(source: string): UserError {
  return sourceError(
    source,
    "nothing could be read",
    "look whether /proc is mounted: ls /proc",
  );
}

function asUserError(source: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  return sourceError(
    source,
    messageOf(error),
    "this was not expected: please report it",
    error,
  );
}

function sourceError(
  source: string,
  problem: string,
  hint: string,
  cause?: unknown,
): UserError {
  return new UserError(`Cannot read source "${source}": ${problem}`, {
    code: "source-unreadable",
    hint,
    exitCode: EXIT.config,
    step: "source",
    cause,
  });
}
