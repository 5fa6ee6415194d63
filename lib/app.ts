/**
 * The composition root: from a command line to an exit code.
 *
 * Every error a user can meet is printed here, and only here.
 */

import { grantHint } from "./core/build.ts";
import { type Command, parseCommand } from "./cli.ts";
import { EXIT, type ExitCode, formatError, UserError } from "./core/errors.ts";
import { helpText } from "./help.ts";
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
    return await run(parseCommand(args), world);
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
    hint: grantHint(),
    exitCode: EXIT.config,
    step: "settings",
    cause,
  });
}

/** A command is loaded when it is run: none waits for what another one needs. */
async function run(command: Command, world: World): Promise<ExitCode> {
  switch (command.name) {
    case "publish":
      return (await import("./commands/publish.ts")).publishCommand(command, world);
    case "doctor":
      return (await import("./commands/doctor.ts")).doctorCommand(command, world);
    case "watch":
      return (await import("./commands/watch.ts")).watchCommand(command, world);
    case "queue":
      return (await import("./commands/queue.ts")).queueCommand(command, world);
    case "settings":
      return (await import("./commands/settings.ts")).settingsCommand(command, world);
    case "version":
      return (await import("./commands/version.ts")).versionCommand(command, world);
    case "help":
      world.out(`${helpText(command.help ?? "")}\n`);
      return EXIT.ok;
  }
}
