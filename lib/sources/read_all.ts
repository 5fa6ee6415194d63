/**
 * Sources and how they are read: side by side, each within a time limit, none at the expense of another.
 */

import { EXIT, messageOf, UserError } from "../errors.ts";
import type { Json, Reading } from "../message.ts";

/** Something that can be measured again and again. */
export interface Source {
  /** What its failures are told and counted under; several sources may share one. */
  readonly name: string;
  /** Measures now. Rejects with a {@linkcode UserError} that says what could not be read. */
  read(): Promise<readonly Reading[]>;
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
  const results = await settleWithin(sources, timeoutMs);
  const values = new Map<string, Json>();
  const failures: SourceFailure[] = [];
  const heard = new Set<string>();
  for (const [index, { name: source }] of sources.entries()) {
    const result = results[index]!;
    if (result.status === "rejected") {
      heard.add(source);
      failures.push({ source, error: asUserError(source, result.reason) });
      continue;
    }
    for (const { name, value } of result.value) {
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
    async read() {
      if (busy) {
        throw sourceError(
          source.name,
          "the read begun earlier has not ended",
          HANG_HINT,
        );
      }
      busy = true;
      try {
        return await source.read();
      } finally {
        busy = false;
      }
    },
  };
}

const HANG_HINT = "find the sensor or file that does not answer: read it with cat, look at dmesg";

/** Reads all sources under one timer. */
async function settleWithin(
  sources: readonly Source[],
  timeoutMs: number,
): Promise<PromiseSettledResult<readonly Reading[]>[]> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const within = async (source: Source) => {
    const readings = await Promise.race([source.read(), late]);
    if (readings !== undefined) return readings;
    throw sourceError(
      source.name,
      `no answer within ${timeoutMs} ms`,
      HANG_HINT,
    );
  };
  try {
    return await Promise.allSettled(sources.map(within));
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
    hint,
    exitCode: EXIT.config,
    step: "source",
    cause,
  });
}
