/** `doctor`: runs the checks and reports what they found; `--policy` prints the policy that this device needs. */

import type { Command } from "./arguments.ts";
import {
  accountOf,
  diagnose,
  policyDocument,
  reportDocument,
  type Result,
  resultText,
  summaryText,
} from "../doctor/mod.ts";
import { EXIT, type ExitCode } from "../core/errors.ts";
import { loadSettings } from "../settings/mod.ts";
import type { World } from "../core/process.ts";

/** Runs the checks and reports; the exit code is that of the first failure. */
export async function doctorCommand(command: Command, world: World): Promise<ExitCode> {
  if (command.switches.has("policy")) return printPolicy(command, world);
  const isJson = command.switches.has("json");
  // On a terminal the running check is shown until its result replaces it.
  const erase = world.isOutTerminal ? "\r\x1b[K" : "";
  const say = (result: Result) => world.out(`${erase}${resultText(result, world.paintOut)}\n`);
  const sayLooking = (name: string) => world.out(`looking at ${name} …`);
  const doctorCommand = {
    ...command,
    policyFile: command.values["policy-file"],
    isYes: command.switches.has("yes"),
  };
  const report = await diagnose(doctorCommand, world, {
    isOffline: command.switches.has("offline"),
    ...(!isJson && { onResult: say }),
    ...(!isJson && world.isOutTerminal && { onLook: sayLooking }),
  });
  world.out(
    isJson ? `${JSON.stringify(reportDocument(report), null, 2)}\n` : `${summaryText(report)}\n`,
  );
  return report.exitCode;
}

function printPolicy(command: Command, world: World): ExitCode {
  const { settings } = loadSettings(command, world, { needEndpoint: false });
  const { clientId, topic, endpoint } = settings;
  const account = accountOf(endpoint, command.values);
  world.out(`${JSON.stringify(policyDocument(clientId, topic, account, settings), null, 2)}\n`);
  return EXIT.ok;
}
