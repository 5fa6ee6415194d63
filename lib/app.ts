/** The composition root: from a command line to an exit code. The only place that prints errors which end a run. */

import { grantHint } from "./core/build.ts";
import { EXIT, type ExitCode, formatError, settingsError, UserError } from "./core/errors.ts";
import { helpText, parseCommand, runCommand } from "./commands/mod.ts";
import { forJournal } from "./core/text.ts";
import type { World } from "./core/process.ts";

/** Runs the program; `args` are those after its name. Returns the exit code. */
export async function app(args: readonly string[], world: World): Promise<ExitCode> {
  try {
    if (args.length === 0) {
      world.err(helpText(""));
      return EXIT.usage;
    }
    return await runCommand(parseCommand(args), world);
  } catch (error) {
    // The reader of our output has gone (`mqtt443 watch … | head`).
    if (error instanceof Deno.errors.BrokenPipe) return EXIT.ok;
    const shown = error instanceof Deno.errors.NotCapable ? notGranted(error) : error;
    try {
      const text = formatError(shown);
      world.err(world.isErrJournal ? forJournal(3, text) : text);
    } catch { /* stderr is closed; the exit code still says it */ }
    return shown instanceof UserError ? shown.exitCode : EXIT.bug;
  }
}

/** The error about a missing permission that no module handled. */
function notGranted(cause: Error): UserError {
  const what = cause.message.replace(/, run again.*/s, "");
  const message = `Cannot continue: this process lacks a permission: ${what}`;
  return settingsError("not-granted", message, grantHint(), { cause });
}
