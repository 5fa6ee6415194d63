/** The doctor room: checks in their order, what they found, and the policy a device needs. */

import type { World } from "../core/process.ts";
import { UserError } from "../core/errors.ts";
import { type Report, type Result, runChecks } from "./checks.ts";
import { findingOf } from "./finding.ts";
import { type DoctorCommand, localChecks } from "./local.ts";
import { listenCheck } from "./listen.ts";
import { queueCheck } from "./queue.ts";
import { reachChecks } from "./reach.ts";
import { sessionChecks } from "./session.ts";
import { tlsChecks } from "./tls.ts";

export type { Report, Result } from "./checks.ts";
export { accountOf, policyDocument } from "./policy.ts";
export { reportDocument, resultText, summaryText } from "./report.ts";

/** Runs all checks, or those that need no network. */
export async function diagnose(
  command: DoctorCommand,
  world: World,
  { isOffline, onLook, onResult }: {
    readonly isOffline: boolean;
    /** A check begins; some take seconds. */
    readonly onLook?: (name: Result["name"]) => void;
    readonly onResult?: (result: Result) => void;
  },
): Promise<Report> {
  const local = [...localChecks(command, world), queueCheck(world), listenCheck()];
  const checks = isOffline ? local : [
    ...local,
    ...reachChecks(world),
    ...tlsChecks(world),
    ...sessionChecks(world, command.isYes),
  ];
  return await runChecks(checks, {
    asFailure(error) {
      if (!(error instanceof UserError)) throw error;
      return findingOf(error);
    },
    ...(onLook && { onLook }),
    ...(onResult && { onResult }),
  });
}
