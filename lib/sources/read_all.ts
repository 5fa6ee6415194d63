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
  /** How often it is read, ms; undefined: as the setting `interval` says. */
  readonly intervalMs?: number | undefined;
  /**
   * Measures now: at once if that cannot hang. Throws, or rejects with, a {@linkcode UserError} that says what could not
   * be read.
   */
  read(): readonly Reading[] | Promise<readonly Reading[]>;
  /** Nobody waits for the read under way any more. */
  missed?(): void;
}

/** Sources that come and go, as sensors do. */
export interface SourceGroup extends Pick<Source, "name" | "intervalMs"> {
  /** Those that are there now; at once if nothing has to be looked for. */
  find(): readonly Source[] | Promise<readonly Source[]>;
}

/** Options of {@linkcode readAll}. */
export interface ReadAllOptions {
  /** How long one source may take, ms. @default {2000} */
  readonly timeoutMs?: number;
  /** Says of a reading's name whether it is wanted. @default all are */
  readonly wants?: (name: string) => boolean;
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
  sources: readonly (Source | SourceGroup)[],
  { timeoutMs = DEFAULT_TIMEOUT_MS, wants = () => true }: ReadAllOptions = {},
): Promise<ReadAllResult> {
  const limit = new Limit(timeoutMs);
  const begun = sources.map((source) =>
    "find" in source ? readGroup(source, limit) : readOne(source, limit)
  );
  const isAllThere = !begun.some((outcome) => outcome instanceof Promise);
  const outcomes = isAllThere
    ? begun as readonly ReadAllResult[]
    : await Promise.all(begun).finally(() => limit.clear());
  const values = new Map<string, Json>();
  const failures = outcomes.flatMap(({ failures }) => failures);
  const heard = new Set(failures.map(({ source }) => source));
  for (const [at, { readings }] of outcomes.entries()) {
    for (const { name, value } of readings) {
      if (typeof value === "number" && !Number.isFinite(value)) continue;
      heard.add(sources[at]!.name);
      if (wants(name)) values.set(name, value);
    }
  }
  if (values.size === 0 && failures.length === 0 && heard.size > 0) failures.push(unwanted());
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

/** How long a value that came too late for its message may wait for the next one, ms. */
const KEPT_MS = 10_000;
/** A sensor that answers within this, ms, is waited for again. */
const QUICK_MS = 250;

/**
 * Wraps a source whose read may hang or be slow: no new read is begun while one is under way, as each would hold a thread,
 * and what came too late for one message goes into the next one, which waits for nothing. So sensors of 0.75 s each on one
 * bus, which answer one after the other, are all heard at one reading a second.
 */
export function onceAtATime(
  source: Source,
  monotonicMs: () => number = () => performance.now(),
): Source {
  let busy = false;
  let isMissed = false;
  let late: { readonly readings: readonly Reading[]; readonly atMs: number } | undefined;
  return {
    ...source,
    read() {
      if (busy) {
        const why = "the read begun earlier has not ended";
        return Promise.reject(sourceError(source.name, why, HANG_HINT));
      }
      const startMs = monotonicMs();
      const kept = late !== undefined && startMs - late.atMs <= KEPT_MS ? late.readings : undefined;
      late = undefined;
      const reading = source.read();
      if (!(reading instanceof Promise)) return reading;
      busy = true;
      isMissed = false;
      const whole = reading.then((readings) => {
        const atMs = monotonicMs();
        const isSlow = kept === undefined ? isMissed : atMs - startMs > QUICK_MS;
        if (isSlow) late = { readings, atMs };
        return readings;
      }).finally(() => void (busy = false));
      if (kept === undefined) return whole;
      whole.catch(() => {});
      return kept;
    },
    missed: () => void (isMissed = true),
  };
}

const HANG_HINT = "find the sensor or file that does not answer: read it with cat, look at dmesg";

/** The time that all reads of one round share; no timer runs before somebody waits. */
class Limit {
  readonly ms: number;
  #late: PromiseWithResolvers<undefined> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.ms = ms;
  }

  /** Settles when the time is up. */
  get late(): Promise<undefined> {
    if (this.#late === undefined) {
      this.#late = Promise.withResolvers();
      this.#timer = setTimeout(() => this.#late!.resolve(undefined), this.ms);
    }
    return this.#late.promise;
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

/** Reads a source; never throws nor rejects. */
function readOne(source: Source, limit: Limit): ReadAllResult | Promise<ReadAllResult> {
  const failed = (error: unknown) => failure(source.name, asUserError(source.name, error));
  try {
    const reading = source.read();
    if (!(reading instanceof Promise)) return { readings: reading, failures: [] };
    const whole = reading.then((readings) => ({ readings, failures: [] }), failed);
    return Promise.race([whole, limit.late]).then((result) => {
      if (result !== undefined) return result;
      source.missed?.();
      return tooLate(source.name, limit);
    });
  } catch (error) {
    return failed(error);
  }
}

/** Reads what is found; never throws nor rejects. */
function readGroup(group: SourceGroup, limit: Limit): ReadAllResult | Promise<ReadAllResult> {
  const found = group.find();
  if (!(found instanceof Promise)) return readParts(found, limit);
  return Promise.race([found, limit.late]).then(
    (parts) => parts === undefined ? tooLate(group.name, limit) : readParts(parts, limit),
    (error) => failure(group.name, asUserError(group.name, error)),
  );
}

function readParts(
  parts: readonly Source[],
  limit: Limit,
): ReadAllResult | Promise<ReadAllResult> {
  if (parts.length === 0) return { readings: [], failures: [] };
  return Promise.all(parts.map((part) => readOne(part, limit))).then((results) => ({
    readings: results.flatMap(({ readings }) => readings),
    failures: results.flatMap(({ failures }) => failures),
  }));
}

function failure(source: string, error: UserError): ReadAllResult {
  return { readings: [], failures: [{ source, error }] };
}

function tooLate(source: string, { ms }: Limit): ReadAllResult {
  return failure(source, sourceError(source, `no answer within ${ms} ms`, HANG_HINT));
}

function unwanted(): SourceFailure {
  const error = new UserError("Cannot publish a reading: --only and --except leave none", {
    code: "no-reading",
    hint: "see what there is: mqtt443 publish --dry-run --only none --except none",
    exitCode: EXIT.config,
    step: "source",
  });
  return { source: "only", error };
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

/** The error of a source of which something could not be read. */
export function sourceError(
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
