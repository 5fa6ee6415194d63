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

/** Makes a watch of the identity in use; a clock before `builtAt` is wrong. */
export function createExpiryWatch({ identity, now, builtAt, log }: {
  readonly identity: () => Pick<Identity, "certFile" | "facts">;
  readonly now: () => Date;
  readonly builtAt: Date;
  readonly log: Logger;
}): ExpiryWatch {
  let logged = { fingerprint: "", stage: Infinity };
  return {
    look() {
      const { certFile, facts } = identity();
      const clock = { now: now(), builtAt };
      if (certFile === undefined || facts === undefined || checkClock(clock) !== undefined) return;
      const { fingerprint, validTo } = facts;
      if (fingerprint !== logged.fingerprint) logged = { fingerprint, stage: Infinity };
      const stage = expiryStage(validTo, clock.now);
      if (stage >= logged.stage) return;
      logged.stage = stage;
      if (stage === 0) {
        const expired = fileError(
          "certificate-expired",
          `Device certificate ${quote(certFile)} expired at ${validTo.toISOString()}: the ` +
            "endpoint no longer accepts it",
          "make a new certificate and put it in place; it is read at the next attempt and on SIGHUP",
        );
        return log.error("warning", failureFields(expired));
      }
      for (const warning of checkDates(certFile, facts, clock)) {
        log.warn("warning", failureFields(warning));
      }
    },
  };
}
