/** What `publish` wires its status with: the file, and that of a run that does not happen. */

import { targetOf } from "../connection/mod.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/process.ts";
import { openStatusFile, type Reports, RunStatus, type StatusFile } from "../publisher/mod.ts";
import { EMPTY_STATS } from "../queue/mod.ts";
import type { LoadedSettings, Settings } from "../settings/mod.ts";

/** The status file; a run of one message has none, as it may be typed beside the one that has it. */
export function statusFileOf(
  { settings, origins }: Pick<LoadedSettings, "settings" | "origins">,
  { every }: Pick<World, "every">,
  { status, log }: { readonly status: RunStatus; readonly log: Logger },
): StatusFile | undefined {
  const { statusFile: path, message } = settings;
  if (path === undefined || message !== undefined) return undefined;
  return openStatusFile({
    path,
    isDefault: origins.statusFile === undefined,
    content: () => status.document(),
    onTick: () => status.count(),
    log,
    every,
  });
}

/** That of a dry run: nothing waits, and nothing was published. */
export function idleStatus(settings: Settings, world: World, reports: Reports): RunStatus {
  return new RunStatus({
    ...world,
    settings,
    target: targetOf(settings, { caFiles: [] }),
    queue: { stats: () => EMPTY_STATS, diskState: "none" },
    reports,
    certificate: () => undefined,
  });
}
