/**
 * From the command line, the environment and the settings file to effective settings. Thin: it reads; settings.ts
 * decides.
 */

import { grantHint, placeHint } from "./core/build.ts";
import type { Command } from "./cli.ts";
import { EXIT, messageOf, UserError } from "./core/errors.ts";
import { guardFile } from "./core/file_guard.ts";
import {
  type EffectiveSettings,
  environmentLayer,
  fileLayer,
  type Layer,
  mergeSettings,
} from "./settings.ts";
import { sourceProblem, sourcesProblem } from "./sources/mod.ts";
import { quote } from "./core/text.ts";
import type { World } from "./core/process.ts";

/** Where a settings file is looked for if none is named. */
export const CONFIG_PATHS = ["./mqtt443.json", "/etc/mqtt443/mqtt443.json"] as const;
/** Where certificates are looked for if no directory is named. */
export const CERTS_PATHS = ["./certs", "/etc/mqtt443/certs"] as const;

/** Variables that are ours and no settings. */
const OTHER_VARIABLES = ["MQTT443_CONFIG", "MQTT443_RUNTIME", "MQTT443_RUNTIME_DIR"];
/** No settings file is as large; a wrong path may be. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/** Effective settings, and the file they came from. */
export interface LoadedSettings extends EffectiveSettings {
  readonly configPath: string | undefined;
}

/**
 * Loads the settings of a command.
 *
 * @throws {UserError} With exit code 78.
 */
export function loadSettings(
  command: Command,
  world: Pick<World, "env" | "hostName">,
  { needEndpoint }: { needEndpoint: boolean },
): LoadedSettings {
  const variables = world.env.toObject();
  const named = command.config ?? variables.MQTT443_CONFIG;
  const file = readConfig(named);
  const layers: Layer[] = [
    ...(file ? [fileLayer(file.path, file.text)] : []),
    environmentLayer(variables, OTHER_VARIABLES),
    command.flags,
  ];
  const surroundings = {
    hostName: world.hostName(),
    certs: isDirectory(CERTS_PATHS[0]) ? CERTS_PATHS[0] : CERTS_PATHS[1],
    sourcesProblem: (specs: readonly string[]) =>
      specs.map(sourceProblem).find((problem) => problem !== undefined) ?? sourcesProblem(specs),
  };
  const merged = mergeSettings(layers, surroundings, { needEndpoint });
  return { ...merged, configPath: file?.path };
}

function readConfig(named: string | undefined): { path: string; text: string } | undefined {
  if (named !== undefined) return { path: named, text: readText(named) };
  for (const path of CONFIG_PATHS) {
    try {
      Deno.statSync(path);
    } catch {
      // Not there, or not granted because it was not there when the grants were made.
      continue;
    }
    return { path, text: readText(path) };
  }
  return undefined;
}

function readText(path: string): string {
  try {
    const { size, isFile } = Deno.statSync(path);
    if (!isFile) throw new Error("it is not a regular file");
    if (size > MAX_CONFIG_BYTES) {
      throw new Error(
        `it has ${size} bytes, and no settings file has more than ${MAX_CONFIG_BYTES}`,
      );
    }
    const found = guardFile(path, { isSecret: false });
    if (found) {
      throw new UserError(`Cannot use settings file ${quote(path)}: ${found.problem}`, {
        hint: found.hint,
        exitCode: EXIT.config,
        step: "settings",
      });
    }
    return decode(Deno.readFileSync(path));
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const isDenied = cause instanceof Deno.errors.NotCapable;
    const why = isDenied
      ? "this process was not granted to read there"
      : cause instanceof Deno.errors.NotFound
      ? "file not found"
      : messageOf(cause);
    throw new UserError(`Cannot read settings file ${quote(path)}: ${why}`, {
      hint: isDenied
        ? grantHint("settings")
        : `${placeHint("settings")}; \`mqtt443 help settings\` shows a sample`,
      exitCode: EXIT.config,
      step: "settings",
      cause,
    });
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    const text = new TextDecoder().decode(bytes);
    const line = text.slice(0, text.indexOf("\uFFFD")).split("\n").length;
    throw new Error(`line ${line} is not valid UTF-8`);
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
