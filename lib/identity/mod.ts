/** The identity room: the device's certificate and key, the CAs it trusts, and its passwords. */

import type { Settings } from "../settings/mod.ts";
import { readIdentityFiles } from "./files.ts";
import { type Identity, inspectIdentity } from "./parse.ts";

export { dayOf, describeCertificate, fileError } from "./certificate.ts";
export { createExpiryWatch, EXPIRY_LOOK_MS, type ExpiryWatch } from "./expiry.ts";
export {
  checkOwners,
  findIdentityFiles,
  ownerOf,
  readIdentityFiles,
  readIdentityTexts,
} from "./files.ts";
export { authoritiesOf } from "./pem_certificates.ts";
export {
  checkKey,
  type Identity,
  type IdentityFiles,
  identityOf,
  inspectIdentity,
  type ParsedIdentity,
  parseIdentity,
} from "./parse.ts";
export {
  authorityWarning,
  checkClock,
  checkDates,
  type ClockFacts,
  clockWarning,
  wholeDaysLeft,
} from "./validity.ts";

/** Reads and checks the identity, except for its dates. @throws {UserError} With exit code 78. */
export function loadIdentity(settings: Settings): Identity {
  const { files, texts } = readIdentityFiles(settings);
  return inspectIdentity(files, texts);
}
