/** The commands room: arguments, help, and one file a command. */

import { EXIT, type ExitCode } from "../core/errors.ts";
import type { World } from "../core/process.ts";
import type { Command } from "./arguments.ts";
import { helpText } from "./help.ts";

export { parseCommand } from "./arguments.ts";
export { helpText } from "./help.ts";

/** Runs a command. Each is loaded only when it runs. */
export async function runCommand(command: Command, world: World): Promise<ExitCode> {
  switch (command.name) {
    case "publish":
      return (await import("./publish.ts")).publishCommand(command, world);
    case "doctor":
      return (await import("./doctor.ts")).doctorCommand(command, world);
    case "watch":
      return (await import("./watch.ts")).watchCommand(command, world);
    case "queue":
      return (await import("./queue.ts")).queueCommand(command, world);
    case "settings":
      return (await import("./settings.ts")).settingsCommand(command, world);
    case "status":
      return (await import("./status.ts")).statusCommand(command, world);
    case "send":
      return (await import("./send.ts")).sendCommand(command, world);
    case "version":
      return (await import("./version.ts")).versionCommand(command, world);
    case "completion":
      world.out((await import("./completion.ts")).completionScript(command.operands[0]!));
      return EXIT.ok;
    case "help":
      world.out(`${helpText(command.help ?? "")}\n`);
      return EXIT.ok;
  }
}
