/** What is said of the socket, its clients and their lines. */

import { EXIT, UserError } from "../core/errors.ts";

/** Settings of a run that ends by itself, beside `listen`. */
export function notWithListen(flag: string): UserError {
  return new UserError(`Cannot listen in a run with ${flag}: it ends by itself`, {
    code: "wrong-command-line",
    hint: `hand the message to the running publisher with \`mqtt443 send\`, or pass --listen none`,
    exitCode: EXIT.usage,
    step: "listen",
  });
}

/** A line that was not taken. */
export function refusedLine(error: string): UserError {
  return new UserError(`A line that was handed in is not taken: ${error}`, {
    code: "line-refused",
    hint: "its receipt says the same to who wrote it",
    exitCode: EXIT.config,
    step: "listen",
  });
}

/** A line that was taken, and is not what it seems. */
export function oddLine(note: string): UserError {
  return new UserError(`A line that was handed in ${note}`, {
    code: "line-odd",
    hint: "correct what writes it",
    exitCode: EXIT.config,
    step: "listen",
  });
}

/** A client whose receipts are switched off. */
export function unreadReceipts(): UserError {
  return new UserError("A client does not read its receipts: it gets none any more", {
    code: "receipts-unread",
    hint: "its lines are still taken; a client that must know reads a line for each that it writes",
    exitCode: EXIT.config,
    step: "listen",
  });
}
