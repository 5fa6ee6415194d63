/** The identity room: the device's certificate and key, and whom it trusts. */

export { dayOf, describeCertificate, fileError } from "./certificate.ts";
export { createExpiryWatch, EXPIRY_LOOK_MS } from "./expiry.ts";
export {
  checkOwners,
  findIdentityFiles,
  ownerOf,
  readIdentityFiles,
  readIdentityTexts,
} from "./files.ts";
export {
  authoritiesOf,
  checkKey,
  type Identity,
  type IdentityFiles,
  identityOf,
  inspectIdentity,
  type ParsedIdentity,
  parseIdentity,
} from "./parse.ts";
export { authorityWarning, checkClock, checkDates, clockWarning } from "./validity.ts";
