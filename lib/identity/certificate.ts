/** The facts of a certificate, and errors about the files of an identity. Pure. */

import type { Code } from "../core/codes.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";

/** The facts of a certificate. */
export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  /** SHA-256, colons between the bytes. */
  readonly fingerprint: string;
}

/** The facts of a CA certificate. */
export interface AuthorityFacts extends CertificateFacts {
  /** It is marked as a CA. */
  readonly isCa: boolean;
}

/** A certificate in one line: subject, issuer, dates, fingerprint. */
export function describeCertificate(facts: CertificateFacts): string {
  return `subject ${quote(facts.subject)}, issuer ${quote(facts.issuer)}, ` +
    `valid ${dayOf(facts.validFrom)} to ${dayOf(facts.validTo)}, SHA-256 ${facts.fingerprint}`;
}

/** The day of a date, for a sentence. */
export function dayOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? "an unknown day" : date.toISOString().slice(0, 10);
}

/** An error about the files of an identity: exit code 78, step `files`. */
export function fileError(code: Code, message: string, hint: string, cause?: unknown): UserError {
  return new UserError(message, { code, hint, exitCode: EXIT.config, step: "files", cause });
}

/** A file that a setting names. */
export interface NamedFile {
  /** `device certificate`, … */
  readonly what: string;
  readonly path: string;
  /** The flag that names it. */
  readonly flag: string;
}

/** The error about a file that cannot be used. */
export function cannotUse(
  code: Code,
  { what, path }: Pick<NamedFile, "what" | "path">,
  problem: string,
  hint: string,
  cause?: unknown,
): UserError {
  return fileError(code, `Cannot use ${what} ${quote(path)}: ${problem}`, hint, cause);
}
