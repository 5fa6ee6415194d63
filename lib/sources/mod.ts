/**
 * The sources of telemetry: what the `source` setting can name, and how to open and read it.
 *
 * `stdin` is no {@linkcode Source}: it is a stream of messages, see {@linkcode readLines}.
 */

import { settingsError, type UserError } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { clockReadings } from "./clock.ts";
import { diskReader } from "./disk.ts";
import { readNumberFile } from "./file.ts";
import { type Host, openHost } from "./host.ts";
import { onceAtATime, type Source, type SourceGroup } from "./read_all.ts";
import { parseSpec, type Spec } from "./spec.ts";
import { systemLimits, systemSources } from "./system.ts";
import { isZone, zoneReader } from "./zone.ts";

export { readAll } from "./read_all.ts";
export type {
  ReadAllOptions,
  ReadAllResult,
  Source,
  SourceFailure,
  SourceGroup,
} from "./read_all.ts";
export { sourcePaths, sourceProblem, sourcesProblem, sourceSysKinds } from "./spec.ts";
export { parseLine } from "./line.ts";
export type { LineMessage, LineOptions, RefusedLine } from "./line.ts";
export { LineSplitter, readLines } from "./stdin.ts";
export type { Line, ReadLinesOptions, TooLongLine } from "./stdin.ts";
export { HOST_VIEW } from "./host.ts";
export { nameFilter } from "./names.ts";
export { isSynchronised, TIMESYNC } from "./synchronised.ts";

/** Options of {@linkcode openSources}. */
export interface OpenSourcesOptions {
  /** Folder that stands for `/`. @default {"/"} */
  readonly root?: string;
  /** The clock. @default {() => new Date()} */
  readonly now?: () => Date;
  /** The variable TZ. */
  readonly tz?: string | undefined;
  /** What this program knows of itself, for `self`. @default nothing */
  readonly self?: () => readonly Reading[];
}

/**
 * Opens the sources of a list, in its order; `system` becomes several of that name. Nothing is read yet.
 *
 * @throws {UserError} When an entry is wrong, or is `stdin`.
 */
export function openSources(
  specs: readonly string[],
  { root = "/", now = () => new Date(), tz, self = () => [] }: OpenSourcesOptions = {},
): (Source | SourceGroup)[] {
  const host = openHost(root);
  return specs.flatMap((text) => {
    const spec = parseSpec(text);
    if (typeof spec === "string") throw specError(text, spec);
    const { intervalMs } = spec;
    return openOne(text, spec, host, { root, now, tz, self }).map((source) => ({
      ...source,
      intervalMs,
    }));
  });
}

function openOne(
  name: string,
  spec: Spec,
  host: Host,
  { root, now, tz, self }: Required<Omit<OpenSourcesOptions, "tz">> & { tz: string | undefined },
): (Source | SourceGroup)[] {
  switch (spec.kind) {
    case "system":
      return systemSources(host, { root, now });
    case "clock": {
      const zone = zoneReader(tz);
      let isTold = tz === undefined || isZone(tz);
      const tell = () => {
        if (isTold) return [];
        isTold = true;
        throw specError(
          name,
          `TZ is "${tz}", which is no zone: the time is that of UTC`,
          ZONE_HINT,
        );
      };
      return [{ name, read: () => clockReadings(now(), zone()(now())) }, { name, read: tell }];
    }
    case "self":
      return [{ name, read: self }];
    case "file":
      return [onceAtATime({ name, read: () => readNumberFile(spec, host) })];
    case "disk": {
      const read = diskReader(`disk_${spec.name}`, [spec.path]);
      return [onceAtATime({ name, read })];
    }
    case "none":
      return [];
    case "stdin":
      throw specError(name, "is a stream, and read line by line");
  }
}

/**
 * What this process, by its permissions, cannot see of what these sources name, to be told once at the start;
 * undefined if it sees all.
 */
export function sourceLimits(specs: readonly string[]): UserError | undefined {
  return specs.some((text) => /^system(@|$)/.test(text)) ? systemLimits(openHost()) : undefined;
}

const ZONE_HINT =
  "set TZ to a name as Europe/Berlin or a rule as CET-1CEST,M3.5.0,M10.5.0/3, or to nothing";

function specError(
  text: string,
  problem: string,
  hint = "correct the setting source, or --source",
): UserError {
  return settingsError("wrong-settings", `Cannot use source "${text}": ${problem}`, hint);
}
