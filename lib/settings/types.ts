/** The layers that settings come from, and what becomes of them. */

import type { Machine, Settings } from "./table.ts";
export type { Settings } from "./table.ts";

/** Where a value came from. */
export type Origin = "default" | "file" | "environment" | "flag";

/** One layer of settings. */
export interface Layer {
  readonly origin: Origin;
  /** Name of the layer in errors: the file's path, or empty where the key names itself. */
  readonly name: string;
  /** Keys as in the settings file; values as found. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** What the defaults take from the machine, and checks of other rooms. */
export interface Surroundings extends Machine {
  /** What is wrong with a list of sources, or undefined. */
  readonly sourcesProblem: (specs: readonly string[]) => string | undefined;
}

/** The outcome of {@linkcode mergeSettings}. */
export interface EffectiveSettings {
  readonly settings: Settings;
  /** By key: the text or value given, and the layer; keys left at their default are absent. */
  readonly origins: Readonly<Record<string, { origin: Origin; from: string }>>;
}

/** What the command line says of the settings. */
export interface CommandLine {
  /** `--config`. */
  readonly config: string | undefined;
  /** The settings given as flags. */
  readonly flags: Layer;
}
