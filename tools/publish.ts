/**
 * `deno task publish`: runs the program with just the permissions that its effective settings need.
 *
 * It reads the settings as the program does, turns them into grants, and starts `main.ts` with those
 * and nothing else: the bundle that `deno task compile` left, where that is younger than the source, as it starts in half
 * the time. Signals and the exit code pass through.
 */

import type { Grants } from "../lib/core/build.ts";
import { parseCommand } from "../lib/commands/arguments.ts";
import { formatError, UserError } from "../lib/core/errors.ts";
import { checkOwners, findIdentityFiles } from "../lib/identity/files.ts";
import { loadSettings } from "../lib/settings/mod.ts";
import { realWorld } from "../lib/core/process.ts";
import { freshBundle } from "./build/fresh.ts";
import { passed } from "./shared/environment.ts";
import { grantsFor, runArguments } from "./shared/scoped.ts";
import { MALLOC } from "./build/v8_flags.ts";

/** What the program's process gets besides what passes: run from source, Deno would ask for its newest version. */
export const ENVIRONMENT = { DENO_NO_UPDATE_CHECK: "1", ...MALLOC } as const;

/** Makes Deno fetch the program's packages now: the child fetches nothing. */
export const program = () => import("../main.ts");

/**
 * The arguments of Deno that run `publish` with scoped permissions.
 *
 * @param args What follows `publish`.
 * @param bundle Path of the bundle to run. @default the source
 * @throws {UserError} If the settings are wrong.
 */
export function denoArguments(args: readonly string[], bundle?: string): string[] {
  const words = ["publish", ...args];
  return runArguments(words, grantsFor(words, realWorld()), bundle);
}

/**
 * Looks at the files and their folders, which the grants do not let the program do: see lib/settings/grants.ts.
 *
 * @throws {UserError} If others may replace one of them.
 */
function checkFiles(args: readonly string[]): void {
  const command = parseCommand(["publish", ...args]);
  if (command.name === "help" || command.switches.has("dry-run")) return;
  const { settings } = loadSettings(command, realWorld(), { needEndpoint: true });
  checkOwners(findIdentityFiles(settings));
}

if (import.meta.main) {
  Deno.exit(await start(Deno.args[0] === "--" ? Deno.args.slice(1) : Deno.args));
}

async function start(args: readonly string[]): Promise<number> {
  const words = ["publish", ...args];
  let grants: Grants;
  try {
    grants = grantsFor(words, realWorld());
    checkFiles(args);
  } catch (error) {
    console.error(formatError(error));
    return error instanceof UserError ? error.exitCode : 1;
  }
  const denoDir = Deno.env.get("DENO_DIR");
  const child = new Deno.Command(Deno.execPath(), {
    args: runArguments(words, grants, freshBundle()),
    clearEnv: true,
    env: {
      ...passed(Deno.env.toObject(), grants.env),
      ...(denoDir !== undefined && { DENO_DIR: denoDir }),
      ...ENVIRONMENT,
    },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  // A terminal's Ctrl-C and hang-up reach the child by themselves; sent twice, they would mean "leave at once".
  const isTerminal = Deno.stdin.isTerminal() || Deno.stderr.isTerminal();
  for (const name of ["SIGINT", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => isTerminal || child.kill(name));
  }
  Deno.addSignalListener("SIGTERM", () => child.kill("SIGTERM"));
  // Here too it would open Deno's debugger.
  Deno.addSignalListener("SIGUSR1", () => {
    child.kill("SIGUSR1");
    Deno.exit(128 + 10);
  });
  return (await child.status).code;
}
