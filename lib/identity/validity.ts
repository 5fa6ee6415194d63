/**
 * Compares a certificate's dates with the clock, and the clock with the age of this program. Pure.
 *
 * A device without a battery starts in 1970, or at the time when it was switched off. So dates are judged only by a
 * clock that may be right, and a certificate from the future means a wrong clock, not a wrong certificate.
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

/** The clock that judges dates. */
export interface ClockFacts {
  readonly now: Date;
  /** A clock before this is wrong. */
  readonly builtAt: Date;
}

const DAY_MS = 86_400_000;
/** Days before the expiry at which it is logged; the last stage is the expiry itself. */
const STAGES = [30, 7, 1, 0] as const;

const CLOCK_HINT =
  "set the clock (`timedatectl`), or wait for the network time; attempts to connect continue";

/** The error about a wrong clock, or undefined. */
export function checkClock({ now, builtAt }: ClockFacts): UserError | undefined {
  if (now >= builtAt) return undefined;
  return fileError(
    "clock-wrong",
    `The clock says ${now.toISOString()}, which is before this program was built (${
      dayOf(builtAt)
    })`,
    CLOCK_HINT,
  );
}

/**
 * Checks a certificate's dates by a clock that is right.
 *
 * @returns A warning if it expires within 30 days.
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
  const days = wholeDaysLeft(facts.validTo, now);
  if (days >= STAGES[0]) return [];
  return [fileError(
    "certificate-expires-soon",
    `Device certificate ${quote(path)} expires in ${days} days, on ${dayOf(facts.validTo)}`,
    "make a new certificate and put it in place before that day",
  )];
}

/**
 * A warning about the clock: it is wrong, or the certificate's dates say so.
 *
 * @throws {UserError} With exit code 78 if the certificate has expired, by a clock that may be right.
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
    CLOCK_HINT,
  );
}

/** CA certificates named in one warning. */
const MOST_NAMED = 3;

/** One warning about CA certificates that are out of date or not marked as CA: TLS checks neither in an anchor. */
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
      : "is not marked as a CA";
    return why === undefined ? [] : [`${quote(subject)} ${why}`];
  });
  if (problems.length === 0) return undefined;
  const more = problems.length - MOST_NAMED;
  return fileError(
    "ca-doubtful",
    `Of the CA certificates in ${caFiles.map(quote).join(", ")} ${
      problems.slice(0, MOST_NAMED).join(", ")
    }${more > 0 ? `, and so on (${more} more)` : ""}; servers that it signed are still trusted`,
    "ask who runs the endpoint which CA signs its certificate now (AWS: AmazonRootCA1.pem), and use that one instead",
  );
}

/** Whole days until a certificate expires; below 0 when it has. */
export function wholeDaysLeft(validTo: Date, now: Date): number {
  return Math.floor((validTo.getTime() - now.getTime()) / DAY_MS);
}

/** The stage that a certificate has reached: 30, 7 or 1 (days left at most), 0 (expired), or Infinity before. */
export function expiryStage(validTo: Date, now: Date): number {
  const days = (validTo.getTime() - now.getTime()) / DAY_MS;
  return Math.min(Infinity, ...STAGES.filter((stage) => days < stage));
}
