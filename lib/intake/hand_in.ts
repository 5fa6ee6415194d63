/** The other side of the socket: hands lines to the running publisher, and awaits a receipt for each. */

import { grantHint } from "../core/build.ts";
import type { Code } from "../core/codes.ts";
import { EXIT, type ExitCode, messageOf, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";
import { readLines } from "../sources/mod.ts";
import { type Answer, answerIn } from "./receipt.ts";

/** Options of {@linkcode handIn}. */
export interface HandInOptions {
  /** The socket. */
  readonly path: string;
  /** How long a line may be without its receipt while none comes, in ms. */
  readonly timeoutMs: number;
  /** Told of each receipt, in the order of the lines. */
  readonly onAnswer: (answer: Answer, receipt: string) => void;
}

/**
 * Hands in lines; settles when each has its receipt.
 *
 * @param batches Lines without their ends.
 * @throws {UserError} With exit code 69, 75 or 77 if they have not.
 */
export async function handIn(
  batches: AsyncIterable<readonly string[]>,
  { path, timeoutMs, onAnswer }: HandInOptions,
): Promise<void> {
  using connection = await connect(path);
  let [sent, answered] = [0, 0];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  const rearm = () => {
    clearTimeout(timer);
    if (answered >= sent) return;
    timer = setTimeout(() => {
      over.reject(unanswered(`no receipt came for ${timeoutMs / 1000} s`, sent - answered));
    }, timeoutMs);
  };
  const read = async () => {
    for await (const receipts of readLines(connection.readable)) {
      for (const receipt of receipts) {
        const answer = typeof receipt === "string" ? answerIn(receipt) : undefined;
        if (answer === undefined) throw noReceipt(path);
        answered++;
        onAnswer(answer, receipt as string);
      }
      rearm();
    }
  };
  const write = async () => {
    const writer = connection.writable.getWriter();
    for await (const lines of batches) {
      sent += lines.length;
      rearm();
      await writer.write(new TextEncoder().encode(lines.join("\n") + "\n"));
    }
    await connection.closeWrite();
  };
  try {
    const reading = read();
    const writing = write();
    // A socket that takes no more is told by its end; what is wrong with the lines ends it all.
    writing.catch((error) => error instanceof UserError && over.reject(error));
    await Promise.race([reading, over.promise]);
    if (answered < sent) throw unanswered("it hung up", sent - answered);
    await Promise.race([writing, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function connect(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    const [code, exitCode, hint] = whyNot(error, path);
    throw new UserError(
      `Cannot hand messages to the publisher at ${quote(path)}: ${messageOf(error)}`,
      {
        code,
        hint,
        exitCode,
        step: "listen",
        cause: error,
      },
    );
  }
}

function whyNot(error: unknown, path: string): [Code, ExitCode, string] {
  if (error instanceof Deno.errors.PermissionDenied) {
    return [
      "send-not-allowed",
      EXIT.refused,
      `whoever may connect is in the group of the socket: \`ls -l ${path}\`, then ` +
      "`sudo usermod -aG GROUP USER`, and log in again",
    ];
  }
  if (error instanceof Deno.errors.NotCapable) return ["not-granted", EXIT.config, grantHint()];
  return [
    "send-unreachable",
    EXIT.unavailable,
    "start `mqtt443 publish --listen PATH`, or name its socket with --listen PATH",
  ];
}

function unanswered(why: string, lines: number): UserError {
  return new UserError(
    `The publisher did not answer for ${lines === 1 ? "1 line" : `${lines} lines`}: ${why}`,
    {
      code: "send-unanswered",
      hint: "hand the same in again: without a receipt it is not known whether it was taken",
      exitCode: EXIT.kept,
      step: "listen",
    },
  );
}

function noReceipt(path: string): UserError {
  return new UserError(`What answers at ${quote(path)} is no mqtt443`, {
    code: "send-unreachable",
    hint: "name the socket of the publisher with --listen PATH",
    exitCode: EXIT.unavailable,
    step: "listen",
  });
}
