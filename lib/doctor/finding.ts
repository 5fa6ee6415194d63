/** What one check found, and how it is made of an error. Pure. */

import type { Code } from "../core/codes.ts";
import type { ExitCode, UserError } from "../core/errors.ts";

/** One thing that was seen, in the order of seeing; for scripts and for who wants to check the verdict. */
export type Evidence = Readonly<Record<string, string | number | boolean | null>>;

/** What a check found. */
export interface Finding {
  readonly status: "ok" | "warn" | "fail" | "skipped";
  /** What was seen. */
  readonly saw: string;
  /** The same in a line, for a text in which all is well. */
  readonly brief?: string;
  /** Which failure it is, unless ok. */
  readonly code?: Code;
  /** The one likely cause, unless ok. */
  readonly cause?: string;
  /** What to type or click, unless ok. */
  readonly hint?: string;
  /** What the verdict rests on. */
  readonly evidence?: readonly Evidence[];
  /** The server's own words, cut. */
  readonly said?: string;
  /** Exit code if this is the first failure. */
  readonly exitCode?: ExitCode;
}

/** A finding that all is well. */
export function ok(saw: string, brief?: string): Finding {
  return { status: "ok", saw, ...(brief !== undefined && { brief }) };
}

/** A failure as a finding: what was seen is the error's own sentence. */
export function findingOf(error: UserError, status: "fail" | "warn" = "fail"): Finding {
  return {
    status,
    code: error.code,
    saw: [error.message, ...error.problems].join("; "),
    cause: error.message,
    hint: error.hint,
    ...(error.said !== undefined && { said: error.said }),
    exitCode: error.exitCode,
  };
}
