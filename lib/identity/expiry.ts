/** Logs that the device certificate expires in 30, 7 and 1 days, and that it has expired; each once a certificate. */

import { fileError } from "./certificate.ts";
import { failureFields } from "../core/errors.ts";
import type { Identity } from "./parse.ts";
import type { Logger } from "../core/log.ts";
import { checkClock, checkDates, expiryStage } from "./validity.ts";
import { quote } from "../core/text.ts";

/** How often to call {@linkcode ExpiryWatch.look}, in ms. */
export const EXPIRY_LOOK_MS = 3_600_000;

/** Watches the certificate in use. */
export interface ExpiryWatch {
  /** Logs a stage that was reached since the last look; nothing where the clock is wrong. */
  look(): void;
}

/** Options of {@linkcode createExpiryWatch}. */
export interface ExpiryOptions {
  /** The identity in use. */
  readonly identity: () => Pick<Identity, "certFile" | "facts">;
  readonly now: () => Date;
  /** A clock before this is wrong. */
  readonly builtAt: Date;
  readonly log: Logger;
}

/** Makes a watch that has logged nothing yet. */
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
