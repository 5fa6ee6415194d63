/**
 * The machine this runs on, as one source for each thing measured.
 *
 * They share the name "system" and are read side by side, so that a sensor that hangs or a file that must not be
 * read hides nothing else. What the machine lacks is absent; {@linkcode systemLimits} tells what this process
 * cannot see.
 */

import { EXIT, UserError } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { readCpuCount } from "./cpu.ts";
import { diskPath, diskReader } from "./disk.ts";
import { type Host, HOST_VIEW_UNIT_LINE } from "./host.ts";
import { readLoadavg } from "./loadavg.ts";
import { readMeminfo } from "./meminfo.ts";
import { readNetDev } from "./network.ts";
import type { Source } from "./read_all.ts";
import { onceAtATime } from "./read_all.ts";
import { temperatureReader } from "./temperature.ts";
import { readUptime } from "./uptime.ts";

/** Options of {@linkcode systemSources}. */
export interface SystemOptions {
  /** Folder that stands for `/`. */
  readonly root: string;
  /** The clock. */
  readonly now: () => Date;
}

/** Sources for load, memory, CPU count, uptime, disk, network and temperatures, in this order. */
export function systemSources(
  host: Host,
  { root, now }: SystemOptions,
): Source[] {
  return [
    part(() => readLoadavg(host.proc)),
    part(() => readMeminfo(host.proc)),
    part(() => readCpuCount(host.proc)),
    part(() => readUptime(host.proc)),
    part(diskReader(diskPath(root))),
    part(() => readNetDev(host.proc)),
    onceAtATime({ name: "system", read: temperatureReader(host.sys, now) }),
  ];
}

/**
 * What a process with scoped permissions cannot see of its machine, to be told once; undefined if it sees all.
 */
export function systemLimits(host: Host): UserError | undefined {
  if (host.proc !== null) return undefined;
  return new UserError(
    'Cannot read network bytes and temperatures for source "system": ' +
      "Deno lets only a process with all permissions read below /proc and /sys",
    {
      code: "source-limited",
      hint: `add "${HOST_VIEW_UNIT_LINE}" to the service unit, or go without them`,
      exitCode: EXIT.config,
      step: "source",
    },
  );
}

function part(read: () => Reading[] | Promise<Reading[]>): Source {
  return { name: "system", read };
}
