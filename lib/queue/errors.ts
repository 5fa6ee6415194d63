/** What SQLite says of a queue file, in words with a way out. Pure. */

import { placeHint } from "../core/build.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";

/** The file is there, but is no queue that can be read. */
export class DamagedQueueError extends UserError {
  override readonly name = "DamagedQueueError";
}

/** The failure behind an error of SQLite. */
export function storageError(path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const message = messageOf(error);
  const options = { exitCode: EXIT.cannotCreate, step: "queue", cause: error } as const;
  if (/malformed|not a database|corrupt/.test(message)) {
    return new DamagedQueueError(`Cannot use queue ${quote(path)}: it is damaged (${message})`, {
      ...options,
      code: "queue-damaged",
      hint:
        "start mqtt443 publish again: it moves the file aside, and saves what can be read of it",
    });
  }
  return new UserError(`Cannot use queue ${quote(path)}: ${message}`, {
    ...options,
    code: "queue-failed",
    hint: storageHint(message),
  });
}

function storageHint(message: string): string {
  if (/full/.test(message)) return `free some space there (\`df -h\`), or ${placeHint("state")}`;
  if (/readonly|read-only/.test(message)) return `mount it writable, or ${placeHint("state")}`;
  if (/locked|busy/.test(message)) return "stop the other process that uses it";
  return `${placeHint("state")} that can be written to`;
}
