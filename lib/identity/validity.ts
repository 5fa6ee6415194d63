/**
 * A certificate's dates held against the clock, and the clock held against the age of this program. Pure.
 *
 * A clock can be wrong: a device without a battery starts in 1970, or where it was switched off. So only a clock that
 * can be right judges dates, and a certificate from the future is a sign of a wrong clock, not of a wrong certificate.
 */

import {
  type AuthorityFacts,
  type CertificateFacts,
  dayOf,
  describeCertificate,
  fileError,
} from "./certificate.ts";
import type { UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";

/** What dates are held against. */
export interface ClockFacts {
  readonly now: Date;
  /** No clock is right that is before this. */
  readonly builtAt: Date;
}

const DAY_MS = 86_400_000;
/** Days before its end at which a certificate is told of; the last is the end itself. */
const STAGES = [30, 7, 1, 0] as const;

/** What is wrong with the clock, or undefined. */
export function checkClock({ now, builtAt }: ClockFacts): UserError | undefined {
  if (now >= builtAt) return undefined;
  return fileError(
    "clock-wrong",
    `The clock says ${now.toISOString()}, which is before this program was built (${
      dayOf(builtAt)
    })`,
    "set the clock (`timedatectl`), or wait for the network time; connecting goes on trying",
  );
}

/**
 * Holds a certificate's dates against the clock, which must be right.
 *
 * @returns What is not wrong yet.
 * @throws {UserError} With exit code 78 if it is not valid now.
 */
export function checkDates(
  path: string,
  facts: CertificateFacts,
  { now }: Pick<ClockFacts, "now">,
): UserError[] {
  const seen = `${quote(path)}: ${describeCertificate(facts)}`;
  if (now < facts.validFrom) {
    throw fileError(
      "certificate-not-yet-valid",
      `Cannot use device certificate ${seen}: not valid yet at ${now.toISOString()}`,
      "if the clock is wrong, set it (`timedatectl`); else use another certificate",
    );
  }
  if (now > facts.validTo) {
    throw fileError(
      "certificate-expired",
      `Cannot use device certificate ${seen}: expired on ${dayOf(facts.validTo)}`,
      "make a new certificate in the AWS IoT console; if the clock is wrong, set it (`timedatectl`)",
    );
  }
  const days = Math.floor((facts.validTo.getTime() - now.getTime()) / DAY_MS);
  if (days >= STAGES[0]) return [];
  return [fileError(
    "certificate-expires-soon",
    `Device certificate ${quote(path)} expires in ${days} days, on ${dayOf(facts.validTo)}`,
    "make a new certificate and put it in place before that day",
  )];
}

/**
 * What the clock has against using a certificate now, as a warning: the clock itself, or a certificate from the future.
 *
 * @throws {UserError} With exit code 78 if the certificate has expired, by a clock that can be right.
 */
export function clockWarning(
  path: string | undefined,
  facts: CertificateFacts | undefined,
  clock: ClockFacts,
): UserError | undefined {
  const wrong = checkClock(clock);
  if (wrong !== undefined || path === undefined || facts === undefined) return wrong;
  if (clock.now >= facts.validFrom) {
    checkDates(path, facts, clock);
    return undefined;
  }
  return fileError(
    "certificate-not-yet-valid",
    `Device certificate ${quote(path)} is valid from ${facts.validFrom.toISOString()} only, and ` +
      `this device says it is ${clock.now.toISOString()}: the clock is probably wrong`,
    "set the clock (`timedatectl`), or wait for the network time; connecting goes on trying",
  );
}

/** CA certificates named in a warning. */
const MOST_NAMED = 3;

/**
 * What the CA certificates say against being trusted, as one warning: TLS asks none of them for dates or rights.
 *
 * @param clock Dates are judged by a clock that can be right alone.
 */
export function authorityWarning(
  caFiles: readonly string[],
  authorities: readonly AuthorityFacts[],
  clock: ClockFacts,
): UserError | undefined {
  const isClockRight = checkClock(clock) === undefined;
  const problems = authorities.flatMap(({ subject, validFrom, validTo, isCa }) => {
    const why = isClockRight && clock.now > validTo
      ? `expired on ${dayOf(validTo)}`
      : isClockRight && clock.now < validFrom
      ? `is valid from ${dayOf(validFrom)} only`
      : isCa
      ? undefined
      : "does not say that it is a CA";
    return why === undefined ? [] : [`${quote(subject)} ${why}`];
  });
  if (problems.length === 0) return undefined;
  const more = problems.length - MOST_NAMED;
  return fileError(
    "ca-doubtful",
    `Of the CA certificates in ${caFiles.map(quote).join(", ")} ${
      problems.slice(0, MOST_NAMED).join(", ")
    }${
      more > 0 ? `, and so on (${more} more)` : ""
    }; a server that it vouches for is trusted all the same`,
    "ask who runs the endpoint which CA signs its certificate now (AWS: AmazonRootCA1.pem), and put that one there instead",
  );
}

/**
 * The last of the stages 30, 7, 1 (days left at most) and 0 (expired) that a certificate has come to; Infinity before
 * the first.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { expiryStage } from "./validity.ts";
 *
 * const validTo = new Date("2027-03-01T00:00:00Z");
 * assertEquals(expiryStage(validTo, new Date("2027-02-25T00:00:00Z")), 7);
 * assertEquals(expiryStage(validTo, new Date("2027-01-01T00:00:00Z")), Infinity);
 * ```
 */
export function expiryStage(validTo: Date, now: Date): number {
  const days = (validTo.getTime() - now.getTime()) / DAY_MS;
  return Math.min(Infinity, ...STAGES.filter((stage) => days < stage));
}
