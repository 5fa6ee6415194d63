/** The log that the commands share. */

import type { Settings } from "../settings/mod.ts";
import { type Logger, openLog } from "../core/log.ts";
import type { World } from "../core/process.ts";

/** Opens the log on stderr. */
export function openLogOf(settings: Settings, world: World): Logger {
  return openLog({
    format: settings.logFormat,
    level: settings.logLevel,
    write: world.err,
    isJournal: world.isErrJournal ?? false,
    colour: world.isErrTerminal && !world.env.get("NO_COLOR"),
  });
}
