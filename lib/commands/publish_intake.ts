/** What other processes hand to a publisher: counted, told, and in the status. */

import { failureFields } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/process.ts";
import {
  type Intake,
  notWithListen,
  oddLine,
  openIntake,
  type Refusal,
  refusedLine,
} from "../intake/mod.ts";
import { type ClockWatch, lineDraft, type Reports, type RunStatus } from "../publisher/mod.ts";
import type { IntakeCounts } from "../queue/mod.ts";
import type { Settings } from "../settings/mod.ts";

/**
 * Where it is counted what is handed in; undefined: nothing is.
 *
 * @throws {UserError} If the settings name a socket beside what it does not go with.
 */
export function countsFor({ listen, message, count, source }: Settings): IntakeCounts | undefined {
  if (listen === undefined) return undefined;
  const flag = message !== undefined
    ? "--message"
    : count !== undefined
    ? "--count"
    : source.includes("stdin")
    ? "--source stdin"
    : undefined;
  if (flag !== undefined) throw notWithListen(flag);
  return { handedIn: 0, refused: 0 };
}

/** Opens the socket that settings name. @throws {UserError} If it cannot be opened. */
export async function openIntakeOf(
  settings: Settings,
  world: World,
  { clock, reports, status, log, counts }: {
    clock: ClockWatch;
    reports: Reports;
    status: RunStatus;
    log: Logger;
    counts: IntakeCounts;
  },
): Promise<Intake> {
  return await openIntake({
    settings,
    env: world.env,
    sampleTime: clock.sampleTime,
    makeDraft: (now, line) => lineDraft(settings, now, line),
    log,
    reports: {
      handedIn(messages) {
        counts.handedIn += messages;
        status.read([{ name: "listen" }]);
      },
      refused({ error }: Refusal) {
        counts.refused++;
        reports.sourceFailed("listen", refusedLine(error));
      },
      odd: (note) => reports.sourceFailed("listen", oddLine(note)),
      unread: (error) => log.warn("warning", failureFields(error)),
    },
  });
}
