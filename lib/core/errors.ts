/**
 * The error that a user can act on, and the lines that show it.
 *
 * Rules: a message is a sentence without a final period that names the thing, the rule and what was found; the hint can
 * be typed or clicked; neither ever holds key material. app.ts prints.
 */

import type { Code } from "./codes.ts";
import { oneLine } from "./text.ts";

/** Exit codes of the process, after sysexits(3). Scripts depend on them. */
export const EXIT = {
  /** All done. */
  ok: 0,
  /** A bug in this program. */
  bug: 1,
  /** Wrong command line. */
  usage: 64,
  /** The endpoint cannot be reached, or hung up. */
  unavailable: 69,
  /** The state directory or the queue in it cannot be used. */
  cannotCreate: 73,
  /** Kept on disk, not delivered yet. */
  kept: 75,
  /** Refused: certificate, policy or credentials. */
  refused: 77,
  /** Settings or certificate files are wrong. */
  config: 78,
} as const;

/** One of the values of {@linkcode EXIT}. */
export type ExitCode = typeof EXIT[keyof typeof EXIT];

/** How far an attempt got; the `step` field of a failure in the log. */
export type Step =
  | "settings"
  | "files"
  | "dns"
  | "tcp"
  | "proxy"
  | "tls"
  | "alpn"
  | "mqtt"
  | "publish"
  | "queue"
  | "listen"
  | "source";

/** What {@linkcode UserError} needs besides its message. */
export interface UserErrorOptions {
  /** Which failure it is: codes.ts has what each code means. Code branches on it, never on the message. */
  readonly code: Code;
  /** What to type or click next. */
  readonly hint: string;
  /** Exit code if this error ends the process. */
  readonly exitCode: ExitCode;
  /** The step at which it happened, for the log. */
  readonly step?: Step;
  /** MQTT's reason code, if the server gave one. */
  readonly reason?: number | undefined;
  /** What the server said in words, cut. */
  readonly said?: string | undefined;
  /** One line per problem, where several are told at once. */
  readonly problems?: readonly string[];
  /** The error beneath this one. */
  readonly cause?: unknown;
}

/**
 * An error that the person at the device can act on.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { EXIT, UserError } from "./errors.ts";
 *
 * const error = new UserError('Cannot read device key "certs/private.pem.key": file not found', {
 *   code: "file-not-found",
 *   hint: "copy the key that came with the certificate there, or pass --key PATH",
 *   exitCode: EXIT.config,
 * });
 * assertEquals(error.exitCode, 78);
 * ```
 */
export class UserError extends Error {
  override readonly name: string = "UserError";
  /** Which failure it is. */
  readonly code: Code;
  /** What to type or click next. */
  readonly hint: string;
  /** Exit code if this error ends the process. */
  readonly exitCode: ExitCode;
  /** MQTT's reason code, if the server gave one. */
  readonly reason: number | undefined;
  /** What the server said in words, cut. */
  readonly said: string | undefined;
  /** The step at which it happened, if it happened on the way to the endpoint. */
  readonly step: Step | undefined;
  /** One line per problem, where there are several. */
  readonly problems: readonly string[];

  constructor(message: string, options: UserErrorOptions) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = options.code;
    this.hint = options.hint;
    this.exitCode = options.exitCode;
    this.step = options.step;
    this.reason = options.reason;
    this.said = options.said;
    this.problems = options.problems ?? [];
  }

  /** The same failure in other words. */
  with(
    { message = this.message, ...changes }: Partial<UserErrorOptions> & { message?: string },
  ): UserError {
    const { code, hint, exitCode, step, reason, said, problems } = this;
    return new UserError(message, {
      ...{ code, hint, exitCode, reason, said, problems, cause: this },
      ...(step && { step }),
      ...changes,
    });
  }
}

/** An error about settings: exit code 78, step `settings`. */
export function settingsError(
  code: Code,
  message: string,
  hint: string,
  more: Pick<UserErrorOptions, "problems" | "cause"> = {},
): UserError {
  return new UserError(message, { code, hint, exitCode: EXIT.config, step: "settings", ...more });
}

/**
 * The lines a user reads: `error:`, one indented line per problem, `hint:`. Anything that is not a
 * {@linkcode UserError} is a bug and shows its stack.
 */
export function formatError(error: unknown): string {
  if (error instanceof UserError) {
    return [
      `error: ${error.message}`,
      ...error.problems.map((problem) => `  ${problem}`),
      `hint: ${error.hint}`,
    ].map(oneLine).join("\n");
  }
  const stack = error instanceof Error ? error.stack ?? String(error) : String(error);
  return `error: internal error, please report it: ${stack}`;
}

/** The message of anything thrown, for the end of a sentence. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What the log says of a failure: how far it got, which one it is, why, and what to do. */
export function failureFields(error: unknown): FailureFields {
  if (!(error instanceof UserError)) return { cause: messageOf(error) };
  const { step, code, reason, message, said, hint } = error;
  return {
    ...{ step, code },
    ...(reason !== undefined && { reason: reasonText(reason) }),
    cause: message,
    ...(said !== undefined && { said }),
    hint,
  };
}

/** The fields of a failure in the log. */
export type FailureFields = {
  readonly step?: Step | undefined;
  readonly code?: Code;
  readonly reason?: string;
  readonly cause: string;
  readonly said?: string;
  readonly hint?: string;
};

/** A reason code as it is shown: `0x87`. */
export function reasonText(reason: number): string {
  return `0x${reason.toString(16).padStart(2, "0")}`;
}
