/** The settings room: reads the file and the environment, and merges them with the flags. */

import { environmentLayer, mergeSettings } from "./merge.ts";
import type { CommandLine, EffectiveSettings, Layer } from "./types.ts";
import { fileLayer, readConfig } from "./file.ts";
import { sourceProblem, sourcesProblem } from "../sources/mod.ts";
import { folderOf } from "../core/file_guard.ts";
import type { World } from "../core/process.ts";
import { CERTS_PATHS, STATUS_PATH } from "./places.ts";
export { settingsDoubt } from "./doubt.ts";
export { allGrants, grantsOf, newStatusPath } from "./grants.ts";
export { settingsDocument } from "./merge.ts";
export { duration } from "./parsers.ts";
export { settingsSchema } from "./schema.ts";
export type { CommandLine } from "./types.ts";
export { NOTIFY_PATH, PROXY_VARIABLES, STATUS_PATH, TRUST_VARIABLES } from "./places.ts";
export { flagOf, SETTINGS, type Settings, type SettingSpec, variableOf } from "./table.ts";
export { MAX_CLIENT_ID_BYTES } from "./texts.ts";
export type { EffectiveSettings, Layer } from "./types.ts";

/** Our variables that are not settings. */
const OTHER_VARIABLES = ["MQTT443_CONFIG", "MQTT443_RUNTIME", "MQTT443_RUNTIME_DIR"];

/** Effective settings, and the settings file in use. */
export interface LoadedSettings extends EffectiveSettings {
  readonly configPath: string | undefined;
}

/**
 * Loads the settings of a command.
 *
 * @throws {UserError} With exit code 78.
 */
export function loadSettings(
  command: CommandLine,
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
    statusFile: isStatusOurs() ? STATUS_PATH : undefined,
    sourcesProblem: (specs: readonly string[]) =>
      specs.map(sourceProblem).find((problem) => problem !== undefined) ?? sourcesProblem(specs),
  };
  const merged = mergeSettings(layers, surroundings, { needEndpoint });
  return { ...merged, configPath: file?.path };
}

/** Whether the folder of the status file is this user's; a process with scoped permissions may not look at it. */
function isStatusOurs(): boolean {
  try {
    const { isDirectory, uid } = Deno.statSync(folderOf(STATUS_PATH));
    return isDirectory && uid === Deno.uid();
  } catch (error) {
    const write = { name: "write", path: STATUS_PATH } as const;
    return error instanceof Deno.errors.NotCapable &&
      Deno.permissions.querySync(write).state === "granted";
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
