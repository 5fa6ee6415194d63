/** The layers of settings, and what they merge to. */

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

/** Facts of the machine for defaults, and checks that other rooms bring. */
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

/** The part of a command line that concerns settings. */
export interface CommandLine {
  /** `--config`. */
  readonly config: string | undefined;
  /** The settings given as flags. */
  readonly flags: Layer;
}
