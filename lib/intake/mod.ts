/**
 * The intake room: other processes hand messages to the running publisher through a Unix socket, and learn when each is on
 * disk. It knows no queue: that comes in as `put`.
 */

import type { Logger } from "../core/log.ts";
import type { SampleTime } from "../core/message.ts";
import type { Settings } from "../settings/mod.ts";
import type { LineMessage } from "../sources/mod.ts";
import { type Draft, draftOf } from "./draft.ts";
import { Intake, type IntakeReports } from "./intake.ts";
import { openSocket } from "./socket.ts";
export { answering } from "./answers.ts";
export { notWithListen, oddLine, refusedLine } from "./errors.ts";
export { handIn, type HandInOptions } from "./hand_in.ts";
export { Intake, type IntakeReports, type Put } from "./intake.ts";
export { type Answer, type Refusal } from "./receipt.ts";

/** Options of {@linkcode openIntake}. */
export interface OpenIntakeOptions {
  /** `listen` is set. */
  readonly settings: Settings;
  readonly env: Pick<Deno.Env, "get">;
  readonly sampleTime: () => SampleTime;
  /** Makes the message of a line that was taken. */
  readonly makeDraft: (now: SampleTime, line: LineMessage) => Draft;
  readonly reports: IntakeReports;
  readonly log: Logger;
}

/**
 * Opens the socket that the settings name; its clients wait until {@linkcode Intake.start}.
 *
 * @throws {UserError} With exit code 73.
 */
export async function openIntake(
  { settings, env, sampleTime, makeDraft, reports, log }: OpenIntakeOptions,
): Promise<Intake> {
  const { listen, listenMode, topicPrefix, queueMaxMessages, queueMaxBytes } = settings;
  const server = await openSocket({ listen: listen!, mode: listenMode, env });
  return new Intake(server, {
    drafter() {
      const now = sampleTime();
      const make = (line: LineMessage) => makeDraft(now, line);
      return (line) => draftOf(line, { topicPrefix, now, make, onOdd: reports.odd });
    },
    limits: { messages: queueMaxMessages, bytes: queueMaxBytes },
    reports,
    log,
  });
}
