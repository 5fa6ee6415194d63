/**
 * One message after the other, each when the PUBACK of the one before has come: whether anything waits for a delayed ACK.
 *
 * What is measured is the time between two PUBLISHes as the server sees them, in the log of mosquitto and in the endpoint.
 * Lines of a log may come a few together; no stall hides in that.
 */

import { runBulk } from "./bulk_run.ts";
import type { Form } from "./ours.ts";
import { type Figure, OURS } from "./report.ts";
import { type PhaseOptions, type Server, startMosquitto } from "./servers.ts";
import { TARGETS } from "./targets.ts";

/** What {@linkcode measureStalls} is told. */
export interface StallsOptions extends PhaseOptions {
  readonly form: Form;
  readonly runs: number;
  readonly messages: number;
}

/** Measures against each server. */
export async function measureStalls(options: StallsOptions): Promise<Figure[]> {
  const { servers, dir, signal } = options;
  let seen: number[] = [];
  await using mosquitto = await startMosquitto(dir, servers.paths, signal, (text) => {
    const lines = text.split("Received PUBLISH").length - 1;
    seen.push(...Array<number>(lines).fill(performance.now()));
  });
  const take = () => {
    const times = seen;
    seen = [];
    return Promise.resolve(times);
  };
  return [
    ...mosquitto ? await measure(mosquitto, take, options) : [],
    ...await measure(servers.endpoint, servers.arrivals, options),
  ];
}

async function measure(
  server: Server,
  arrivals: () => Promise<number[]>,
  { servers: { paths }, dir, form, runs, messages, signal }: StallsOptions,
): Promise<Figure[]> {
  const mean: number[] = [];
  const slow: number[] = [];
  for (let turn = 0; turn < runs; turn++) {
    await arrivals();
    const durability = "none";
    const state = `${dir}/state-stalls`;
    await runBulk({ form, server, paths, messages, inflight: 1, durability, state, signal });
    const times = await arrivals();
    const gaps = times.slice(1).map((time, index) => time - times[index]!).sort((a, b) => a - b);
    mean.push((times.at(-1)! - times[0]!) / gaps.length);
    slow.push(gaps[Math.floor(gaps.length * 0.99)]!);
  }
  return [
    {
      id: `one at a time, ${server.name}`,
      what: `one at a time against ${server.name}, on average`,
      unit: "ms",
      samples: { [OURS]: mean },
    },
    {
      id: `stalls, ${server.name}`,
      what: `one at a time against ${server.name}, 99 of 100 within`,
      unit: "ms",
      samples: { [OURS]: slow },
      targets: TARGETS.stall,
    },
  ];
}
