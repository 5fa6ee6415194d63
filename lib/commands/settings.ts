/** `settings`: every effective setting and where it came from. */

import type { Command } from "./arguments.ts";
import { EXIT, type ExitCode } from "../core/errors.ts";
import { loadSettings, settingsDocument, settingsSchema } from "../settings/mod.ts";
import { oneLine } from "../core/text.ts";
import type { World } from "../core/process.ts";

/** Columns of a terminal. */
const COLUMNS = 80;

/** Prints them, or the schema of the settings file. A missing endpoint is shown, not an error. */
export function settingsCommand(command: Command, world: World): ExitCode {
  if (command.switches.has("schema")) {
    world.out(`${JSON.stringify(settingsSchema(), null, 2)}\n`);
    return EXIT.ok;
  }
  const document = settingsDocument(loadSettings(command, world, { needEndpoint: false }));
  if (command.switches.has("json")) {
    world.out(`${JSON.stringify(document, null, 2)}\n`);
    return EXIT.ok;
  }
  const rows = Object.entries(document).map(([key, { value, origin, from }]) => ({
    key,
    text: oneLine(value === null ? "-" : Array.isArray(value) ? value.join(",") : String(value)),
    from: oneLine(from ?? origin),
  }));
  const keyWidth = Math.max(...rows.map(({ key }) => key.length));
  const textWidth = Math.min(44, Math.max(...rows.map(({ text }) => text.length)));
  for (const { key, text, from } of rows) {
    const line = `${key.padEnd(keyWidth)}  ${text.padEnd(textWidth)}`;
    // A terminal would break a longer one in the middle of a word.
    const between = line.length + 2 + from.length > COLUMNS ? `\n${" ".repeat(keyWidth)}` : "";
    world.out(`${line}${between}  ${from}\n`);
  }
  return EXIT.ok;
}
