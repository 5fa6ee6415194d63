/** A failure in words, before it is an error. Pure. */

import type { Code } from "../core/codes.ts";
import { EXIT, type ExitCode, type Step, UserError } from "../core/errors.ts";
import type { Target } from "../core/endpoint.ts";

/** What is said of a failure. */
export interface Words {
  readonly code: Code;
  readonly message: string;
  readonly hint: string;
  readonly step: Step;
  /** @default EXIT.unavailable */
  readonly exitCode?: ExitCode;
}

/** An endpoint or a proxy. */
export type Place = Pick<Target, "endpoint" | "port" | "isProxy">;

/** A host without its port, in a sentence. */
export function hostOf({ endpoint, isProxy }: Place): string {
  return `${isProxy ? "the proxy " : ""}${endpoint}`;
}

/** The error of a failure. */
export function failure(words: Words, cause?: unknown): UserError {
  const { message, exitCode = EXIT.unavailable, ...rest } = words;
  return new UserError(message, { ...rest, exitCode, cause });
}
