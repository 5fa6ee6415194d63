/** How the program is started as a process that may do what its settings need, and nothing else. */

import { parseCommand } from "../../lib/commands/arguments.ts";
import type { Grants } from "../../lib/core/build.ts";
import { grantFlags, grantsOf } from "../../lib/settings/grants.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import type { World } from "../../lib/core/process.ts";
import { BUNDLE_FLAGS } from "../build/fresh.ts";
import { V8_FLAGS } from "../build/v8_flags.ts";

const MAIN = new URL("../../main.ts", import.meta.url);

/** A world without variables. */
const EMPTY: Pick<World, "env" | "hostName"> = {
  env: { get: () => undefined, set() {}, delete() {}, toObject: () => ({}) },
  hostName: () => "localhost",
};

/**
 * What the program needs to be permitted for these arguments. Help needs nothing; a dry run reads sources, and connects
 * nowhere.
 *
 * @param args A command and its flags.
 * @param world Where settings come from besides the flags. @default no variables
 * @throws {UserError} If the arguments or the settings are wrong.
 */
export function grantsFor(args: readonly string[], world = EMPTY): Grants {
  const command = parseCommand(args);
  if (command.name === "help") return { net: [], read: [], write: [], env: [], sys: [] };
  const isDry = command.switches.has("dry-run");
  const needEndpoint = command.name === "publish" && !isDry;
  const { settings, configPath } = loadSettings(command, world, { needEndpoint });
  const grants = grantsOf(settings, configPath);
  return isDry ? { ...grants, net: [], write: [] } : grants;
}

/**
 * The arguments of Deno that run the program with these grants.
 *
 * @param args A command and its flags.
 * @param bundle Path of the bundle to run. @default the source
 */
export function runArguments(args: readonly string[], grants: Grants, bundle?: string): string[] {
  const flags = ["--cached-only", "--deny-import", V8_FLAGS, ...grantFlags(grants)];
  const what = bundle === undefined
    ? ["--frozen", ...flags, MAIN.href]
    : [...BUNDLE_FLAGS, ...flags, bundle];
  return ["run", ...what, ...args];
}
