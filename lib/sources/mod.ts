/**
 * The sources of telemetry: what the `source` setting can name, and how to open and read it.
 *
 * `stdin` is no {@linkcode Source}: it is a stream of messages, see {@linkcode readLines}.
 */

import { EXIT, UserError } from "../core/errors.ts";
import { clockReadings } from "./clock.ts";
import { readNumberFile } from "./file.ts";
import { openHost } from "./host.ts";
import { onceAtATime, type Source } from "./read_all.ts";
import { parseSpec } from "./spec.ts";
import { systemLimits, systemSources } from "./system.ts";

export { readAll } from "./read_all.ts";
export type { ReadAllOptions, ReadAllResult, Source, SourceFailure } from "./read_all.ts";
export { sourcePaths, sourceProblem, sourcesProblem, sourceSysKinds } from "./spec.ts";
export { parseLine } from "./line.ts";
export type { LineMessage, LineOptions, RefusedLine } from "./line.ts";
export { lineMetrics, LineSplitter, readLines } from "./stdin.ts";
export type { Line, ReadLinesOptions, TooLongLine } from "./stdin.ts";
export { HOST_VIEW } from "./host.ts";

/** Options of {@linkcode openSources}. */
export interface OpenSourcesOptions {
  /** Folder that stands for `/`. @default {"/"} */
  readonly root?: string;
  /** The clock. @default {() => new Date()} */
  readonly now?: () => Date;
}

/**
 * Opens the sources of a list, in its order; `system` becomes several of that name. Nothing is read yet.
 *
 * @throws {UserError} When an entry is wrong, or is `stdin`.
 */
export function openSources(
  specs: readonly string[],
  { root = "/", now = () => new Date() }: OpenSourcesOptions = {},
): Source[] {
  const host = openHost(root);
  return specs.flatMap((text): Source[] => {
    const spec = parseSpec(text);
    if (typeof spec === "string") throw specError(text, spec);
    switch (spec.kind) {
      case "system":
        return systemSources(host, { root, now });
      case "clock":
        return [{
          name: text,
          read: () => clockReadings(now()),
        }];
      case "file":
        return [
          onceAtATime({ name: text, read: () => readNumberFile(spec, host) }),
        ];
      case "none":
        return [];
      case "stdin":
        throw specError(text, "is a stream, and read line by line");
    }
  });
}

/**
 * What this process, by its permissions, cannot see of what these sources name, to be told once at the start;
 * undefined if it sees all.
 */
export function sourceLimits(specs: readonly string[]): UserError | undefined {
  return specs.includes("system") ? systemLimits(openHost()) : undefined;
}

function specError(text: string, problem: string): UserError {
  return new UserError(`Cannot use source "${text}": ${problem}`, {
    code: "wrong-settings",
    hint: "correct the setting source, or --source",
    exitCode: EXIT.config,
    step: "settings",
  });
}
