/** As many QoS 1 messages as the window lets through, from memory and through the disk queue, beside others. */

import { type Bulk, runBulk } from "./bulk_run.ts";
import type { Form } from "./ours.ts";
import type { Peer } from "./peers.ts";
import { type Figure, OURS } from "./report.ts";
import { run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** Windows: the largest that AWS takes, and the largest there is. */
export const WINDOWS = [100, 1000] as const;

/** The figure of messages a second from memory. */
export const rateId = (window: number): string => `rate, window ${window}`;

/** What {@linkcode measureBulk} is told. */
export interface BulkPhaseOptions extends PhaseOptions {
  readonly form: Form;
  readonly peers: readonly Peer[];
  readonly runs: number;
  /** Messages of ours in a run. */
  readonly messages: number;
}

/** Measures everybody at each window, in turn. */
export async function measureBulk(options: BulkPhaseOptions): Promise<Figure[]> {
  const { servers: { main: server, paths }, form, peers, runs, messages, dir, signal } = options;
  const figures: Figure[] = [];
  for (const inflight of WINDOWS) {
    const rates: Record<string, number[]> = {};
    const cpus: Record<string, number[]> = {};
    const disk: Bulk[] = [];
    const common = { form, server, paths, messages, inflight, signal };
    const state = `${dir}/state-bulk`;
    for (let turn = 0; turn < runs; turn++) {
      const { perS, cpuUs } = await runBulk({ ...common, durability: "none", state });
      (rates[OURS] ??= []).push(perS);
      (cpus[OURS] ??= []).push(cpuUs);
      disk.push(await runBulk({ ...common, durability: "power", state }));
      for (const { name, bulk, share = 100 } of peers) {
        if (bulk === undefined) continue;
        const count = Math.ceil(messages * share / 100);
        const { ms, cpuMs } = JSON.parse(await run(bulk(count, inflight), { signal }));
        (rates[name] ??= []).push(count * 1000 / ms);
        (cpus[name] ??= []).push(cpuMs * 1000 / count);
      }
    }
    figures.push(
      {
        id: rateId(inflight),
        what: `QoS 1 in memory, window ${inflight}`,
        unit: "messages/s",
        samples: rates,
        targets: TARGETS.rate[inflight],
      },
      {
        id: `cpu, window ${inflight}`,
        what: `CPU per message in memory, window ${inflight}`,
        unit: "us",
        samples: cpus,
        targets: TARGETS.cpuInBulk,
      },
      {
        id: `disk rate, window ${inflight}`,
        what: `QoS 1 through the disk queue, synced, window ${inflight}`,
        unit: "messages/s",
        samples: { [OURS]: disk.map(({ perS }) => perS), [PEERS.memory]: rates[OURS]! },
        targets: TARGETS.diskRate,
      },
      {
        id: `disk cpu, window ${inflight}`,
        what: `CPU per message through the disk queue, window ${inflight}`,
        unit: "us",
        samples: { [OURS]: disk.map(({ cpuUs }) => cpuUs), [PEERS.memory]: cpus[OURS]! },
      },
      {
        id: `written, window ${inflight}`,
        what: `written to disk per message, window ${inflight}`,
        unit: "bytes",
        samples: { [OURS]: disk.map(({ writtenBytes }) => writtenBytes) },
        targets: TARGETS.written,
      },
    );
  }
  return figures;
}
