/**
 * `deno task publish`: runs the program with just the permissions that its effective settings need.
 *
 * It reads the settings as the program does, turns them into grants, and starts `main.ts` with those
 * and nothing else: the bundle that `deno task compile` left, where that is younger than the source, as it starts in half
 * the time. Signals and the exit code pass through.
 */

import { parseCommand } from "../lib/cli.ts";
import { formatError, UserError } from "../lib/errors.ts";
import { checkOwners, findIdentityFiles } from "../lib/identity_files.ts";
import { loadSettings } from "../lib/load.ts";
import { realWorld } from "../lib/world.ts";
import { freshBundle } from "./bundle/fresh.ts";
import { grantsFor, runArguments } from "./scoped.ts";
import { MALLOC } from "./v8_flags.ts";

/** What the program's process gets besides our own environment: run from source, Deno would ask for its newest version. */
export const ENVIRONMENT = { DENO_NO_UPDATE_CHECK: "1", ...MALLOC } as const;

/** Makes Deno fetch the program's packages now: in the child, fetching them would be its first use of TLS. */
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
 * Looks at the files and their folders, which the grants do not let the program do: see lib/grants.ts.
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
  let denoArgs: string[];
  try {
    denoArgs = denoArguments(args, freshBundle());
    checkFiles(args);
  } catch (error) {
    console.error(formatError(error));
    return error instanceof UserError ? error.exitCode : 1;
  }
  const child = new Deno.Command(Deno.execPath(), {
    args: denoArgs,
    env: ENVIRONMENT,
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
  return (await child.status).code;
}
