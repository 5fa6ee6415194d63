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

/** What to do about lines that are not taken, by the first word of the reason; they are counted apart by it. */
const HINTS: Readonly<Record<string, string>> = {
  queue: "see `mqtt443 queue`; raise --queue-max-messages or --queue-max-bytes, or mend the link",
  storage: "free some space for the state directory (`df -h`)",
  too: "let clients keep one connection, and close it when they are done",
  topic: "name a topic below the setting topicPrefix",
  time: "set the clock of what writes the lines, or leave `time` out",
};

/** A line that was not taken. */
export function refusedLine(error: string): UserError {
  const kind = /^\w+/.exec(error)?.[0] ?? "";
  return new UserError(`A line that was handed in is not taken: ${error}`, {
    code: "line-refused",
    hint: HINTS[kind] ?? "correct what writes the lines; its receipt says the same",
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
