/**
 * Tells of a device certificate that runs out: 30, 7 and 1 days before its end, and at its end, each once for each
 * certificate. A clock that cannot be right tells nothing.
 */

import { fileError } from "./certificate.ts";
import { failureFields } from "../core/errors.ts";
import type { Identity } from "./parse.ts";
import type { Logger } from "../core/log.ts";
import { checkClock, checkDates, expiryStage } from "./validity.ts";
import { quote } from "../core/text.ts";

/** How often {@linkcode ExpiryWatch.look} is wanted, in ms. */
export const EXPIRY_LOOK_MS = 3_600_000;

/** Looks at the certificate in use. */
export interface ExpiryWatch {
  /** Says that a stage was crossed since the last look. */
  look(): void;
}

/** Options of {@linkcode createExpiryWatch}. */
export interface ExpiryOptions {
  /** The identity in use. */
  readonly identity: () => Pick<Identity, "certFile" | "facts">;
  readonly now: () => Date;
  /** No clock is right that is before this. */
  readonly builtAt: Date;
  readonly log: Logger;
}

/** Makes a watch that has said nothing yet. */
export function createExpiryWatch({ identity, now, builtAt, log }: ExpiryOptions): ExpiryWatch {
  let told = { fingerprint: "", stage: Infinity };
  return {
    look() {
      const { certFile, facts } = identity();
      const clock = { now: now(), builtAt };
      if (certFile === undefined || facts === undefined || checkClock(clock) !== undefined) return;
      const { fingerprint, validTo } = facts;
      if (fingerprint !== told.fingerprint) told = { fingerprint, stage: Infinity };
      const stage = expiryStage(validTo, clock.now);
      if (stage >= told.stage) return;
      told.stage = stage;
      if (stage === 0) {
        return log.error(
          "warning",
          failureFields(fileError(
            "certificate-expired",
            `Device certificate ${
              quote(certFile)
            } expired at ${validTo.toISOString()}: the endpoint will not take it any more`,
            "make a new certificate and put it in place; it is read at the next attempt and on SIGHUP",
          )),
        );
      }
      for (const warning of checkDates(certFile, facts, clock)) {
        log.warn("warning", failureFields(warning));
      }
    },
  };
}
