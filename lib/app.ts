/**
 * The composition root: from a command line to an exit code.
 *
 * Every error a user can meet is printed here, and only here.
 */

import { grantHint } from "./core/build.ts";
import { EXIT, type ExitCode, formatError, UserError } from "./core/errors.ts";
import { helpText, parseCommand, runCommand } from "./commands/mod.ts";
import { forJournal } from "./core/text.ts";
import type { World } from "./core/process.ts";

/**
 * Runs the program.
 *
 * @param args What was typed after the program's name.
 * @returns The exit code.
 */
export async function app(args: readonly string[], world: World): Promise<ExitCode> {
  try {
    if (args.length === 0) {
      world.err(helpText(""));
      return EXIT.usage;
    }
    return await runCommand(parseCommand(args), world);
  } catch (error) {
    // The reader of our output has gone (`mqtt443 watch … | head`): nobody is left to tell.
    if (error instanceof Deno.errors.BrokenPipe) return EXIT.ok;
    const told = error instanceof Deno.errors.NotCapable ? notGranted(error) : error;
    try {
      const text = formatError(told);
      world.err(world.isErrJournal ? forJournal(3, text) : text);
    } catch { /* stderr is closed; the exit code still tells */ }
    return told instanceof UserError ? told.exitCode : EXIT.bug;
  }
}

/** A permission that no module expected to miss. */
function notGranted(cause: Error): UserError {
  const what = cause.message.replace(/, run again.*/s, "");
  return new UserError(`Cannot go on: this process was not granted what it needs: ${what}`, {
    code: "not-granted",
    hint: grantHint(),
    exitCode: EXIT.config,
    step: "settings",
    cause,
  });
}
