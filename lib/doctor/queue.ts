/** The check of `doctor` that looks at the queue on disk, and whether a publisher holds it. */

import type { Check, Found } from "./checks.ts";
import { findingOf, ok } from "./finding.ts";
import { UserError } from "../core/errors.ts";
import { userName } from "../core/file_guard.ts";
import type { World } from "../core/process.ts";
import { quote, roundSize } from "../core/text.ts";
import { type Known, need } from "./facts.ts";
import { ownerOf } from "../identity/mod.ts";
import { runAs } from "./local.ts";
import {
  currentStatus,
  DamagedQueueError,
  NoStorageError,
  OlderQueueError,
  queueOptions,
  queuePathOf,
  type QueueStats,
  SqliteQueue,
  StateDirectory,
  volatileWarning,
} from "../queue/mod.ts";

/** The check. */
export function queueCheck(world: World): Check {
  return { name: "queue", needs: ["settings"], look: (known) => lookAtQueue(known, world) };
}

async function lookAtQueue(known: Known, world: World): Promise<Found> {
  const { settings } = need(known, "loaded");
  if (settings.durability === "none") {
    return ok("nothing is kept on disk (durability none)");
  }
  const path = queuePathOf(settings.state);
  const owner = ownerOf(settings.state);
  if (Deno.uid() === 0 && owner !== undefined && owner !== 0) {
    const name = userName(owner);
    return {
      status: "warn",
      code: "run-as-publisher",
      // Whether a publisher runs there is not known then.
      facts: { isBusy: true },
      saw: `${quote(settings.state)} belongs to user ${name}, and this is root: not looked into`,
      cause: `what root writes there user ${name} may not write to`,
      hint: runAs(name),
    };
  }
  let held;
  try {
    held = new StateDirectory(settings.state);
    held.prepare();
  } catch (error) {
    held?.release();
    if (error instanceof NoStorageError) return withoutDisk(error);
    if (!(error instanceof UserError) || error.code !== "state-in-use") throw error;
    const status = currentStatus(settings.state);
    return {
      status: "warn",
      code: error.code,
      facts: { isBusy: true },
      saw: `${quote(path)} is in use by a running mqtt443${status ? `: ${briefOf(status)}` : ""}`,
      cause: "a publisher runs on this state directory; connecting now would throw it out",
      hint: "to check the connection too, stop it first (`systemctl stop mqtt443`)",
    };
  }
  try {
    const queue = new SqliteQueue(path, queueOptions(settings, world));
    const stats = queue.stats();
    queue.close();
    const brief = briefOf(stats);
    const saw = `${quote(path)}: ${brief}`;
    if (stats.quarantined > 0) {
      return {
        status: "warn",
        code: "queue-quarantine",
        saw,
        cause: "the endpoint did not take these messages",
        hint: "see the log for the reason; `mqtt443 queue clear` discards them",
      };
    }
    const warning = await volatileWarning(settings);
    return warning ? { ...findingOf(warning, "warn"), saw } : ok(saw, brief);
  } catch (error) {
    if (error instanceof OlderQueueError) {
      return ok(`${quote(path)} was made by an earlier version; publish carries it over`);
    }
    if (error instanceof NoStorageError) return withoutDisk(error);
    if (!(error instanceof DamagedQueueError)) throw error;
    return {
      ...findingOf(error, "warn"),
      hint: "nothing to do: `mqtt443 publish` moves it aside and saves what can be read of it",
    };
  } finally {
    held.release();
  }
}

function briefOf({ waiting, bytes, quarantined, dropped }: QueueStats): string {
  return `${waiting} waiting (${roundSize(bytes)}), ${quarantined} quarantined, ${dropped} dropped`;
}

/** A run goes on from memory then. */
function withoutDisk(error: UserError): Found {
  return { ...findingOf(error, "warn"), saw: "messages wait in memory, and end with the process" };
}
