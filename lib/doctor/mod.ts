/** The doctor room: checks in their order, what they found, and the policy a device needs. */

export {
  findingOf,
  reportDocument,
  type Result,
  resultText,
  runChecks,
  summaryText,
} from "./checks.ts";
export { type Case, localChecks } from "./local.ts";
export { accountOf, policyDocument } from "./policy.ts";
export { onlineChecks } from "./online.ts";
