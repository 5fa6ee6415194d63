/**
 * The machine this runs on, as one source for each thing measured.
 *
 * They share the name "system" and are read side by side, so that a sensor that hangs or a file that must not be
 * read hides nothing else. What the machine lacks is absent; {@linkcode systemLimits} tells what this process
 * cannot see.
 */

import { EXIT, UserError } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { cpuReader } from "./cpu.ts";
import { diskReader, rootPaths } from "./disk.ts";
import { type Host, HOST_VIEW_UNIT_LINE } from "./host.ts";
import { readLoadavg } from "./loadavg.ts";
import { readMemory } from "./meminfo.ts";
import { NetworkCounter } from "./network.ts";
import type { Source, SourceGroup } from "./read_all.ts";
import { sensorGroup } from "./sensors.ts";
import { readUptime } from "./uptime.ts";

/** Options of {@linkcode systemSources}. */
export interface SystemOptions {
  /** Folder that stands for `/`. */
  readonly root: string;
  /** The clock. */
  readonly now: () => Date;
}

/** Sources for load, memory, CPUs, uptime, disk, network and sensors, in this order. */
export function systemSources(
  host: Host,
  { root, now }: SystemOptions,
): (Source | SourceGroup)[] {
  const network = new NetworkCounter(host, now);
  return [
    part(() => readLoadavg(host.proc)),
    part(() => readMemory(host)),
    part(cpuReader(host.proc)),
    part(() => readUptime(host.proc)),
    part(diskReader("disk", rootPaths(root))),
    part(() => network.read()),
    part(() => network.tell()),
    sensorGroup(host.sys, now),
  ];
}

/**
 * What a process with scoped permissions cannot see of its machine, to be told once; undefined if it sees all.
 */
export function systemLimits(host: Host): UserError | undefined {
  if (host.proc !== null) return undefined;
  return new UserError(
    'Cannot read CPU use, network bytes and sensors for source "system": ' +
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
