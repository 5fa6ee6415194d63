/** A month at 1 Hz, from what a shorter time costs: the wire, the flash, the bill, CPU, memory; everybody side by side. */

import { Feed, Gateway } from "./gateway.ts";
import {
  delay,
  gainOf,
  memoryOf,
  type Threads,
  threadsOf,
  usedByChildren,
  waitFor,
  writtenBytesOf,
} from "./process.ts";
import { findPublishers, type PublishersOptions } from "./publishers.ts";
import type { Figure } from "./report.ts";
import type { PhaseOptions } from "./servers.ts";
import { Tally } from "./tally.ts";
import { type Counter, startCounter } from "./wire.ts";

/** What {@linkcode measureMonth} is told. */
export interface MonthOptions extends PhaseOptions, PublishersOptions {
  /** How long to let them connect, then watch them; a multiple of `packWaitMs`. */
  readonly settleMs: number;
  readonly watchMs: number;
}

/** Samples of 30 days. */
const MONTH = 30 * 24 * 3600;

/** How long they may take to send their first sample, in ms. */
const MOST_START_MS = 30_000;

/** A gateway and the relay that counts its bytes. */
interface Watched {
  readonly gateway: Gateway;
  readonly counter: Counter;
}

/** What a gateway had cost at one moment. */
interface Look {
  readonly samples: number;
  readonly billed: number;
  readonly wireBytes: number;
  readonly flashBytes: number;
  readonly threads: readonly Threads[];
  /** Of their children that have ended. */
  readonly endedCpuMs: number;
  /** Of its processes: another one has been started again. */
  readonly pids: string;
}

/** Runs everybody at once and measures each. */
export async function measureMonth(options: MonthOptions): Promise<Figure[]> {
  const { settleMs, watchMs, signal } = options;
  await using stack = new AsyncDisposableStack();
  const tally = stack.use(await Tally.start(options.servers));
  const watched: Watched[] = [];
  for (const [number, publisher] of findPublishers(options).entries()) {
    const counter = stack.use(startCounter(tally.endpoint.port));
    const server = tally.server(counter.port);
    const gateway = stack.use(await Gateway.start(publisher, number, server, options));
    watched.push({ gateway, counter });
  }
  stack.use(new Feed(watched.map(({ gateway }) => gateway), 1000));
  // An interpreter takes its time to start.
  const hasSent = ({ gateway }: Watched) => tally.of(gateway.device).samples.size > 0;
  await waitFor(() => watched.every(hasSent), MOST_START_MS, signal);
  await delay(settleMs, signal);
  const before = watched.map((one) => lookAt(one, tally));
  await delay(watchMs, signal);
  const after = watched.map((one) => lookAt(one, tally));
  for (const [at, { gateway: { publisher: { name } } }] of watched.entries()) {
    if (before[at]!.pids !== after[at]!.pids) throw new Error(`${name} did not go on to the end`);
    if (before[at]!.samples === after[at]!.samples) throw new Error(`${name} sent nothing`);
  }
  const seconds = watchMs / 1000;
  const figure = (
    id: string,
    what: string,
    unit: string,
    values: readonly number[],
  ) => ({
    id: `month, ${id}`,
    what: `a month at 1 Hz, from ${seconds} s: ${what}`,
    unit,
    samples: Object.fromEntries(
      watched.map(({ gateway: { publisher: { name } } }, at) => [name, [values[at]!]]),
    ),
  });
  const each = (cost: (before: Look, after: Look) => number) =>
    before.map((look, at) => cost(look, after[at]!) * MONTH);
  const perSample = (key: "billed" | "wireBytes") =>
    each((a, b) => (b[key] - a[key]) / (b.samples - a.samples));
  return [
    figure("wire", "TCP payload, both ways", "MB", perSample("wireBytes").map((n) => n / 1e6)),
    figure(
      "flash",
      "written to disk",
      "MB",
      each((a, b) => (b.flashBytes - a.flashBytes) / seconds / 1e6),
    ),
    figure("billed", "messages billed, each 5 KiB", "messages", perSample("billed")),
    figure("cpu", "CPU", "s", each((a, b) => cpuMsBetween(a, b) / seconds / 1000)),
    figure("memory", "memory, RSS", "MiB", await Promise.all(watched.map(memoryIn))),
  ];
}

function lookAt({ gateway, counter }: Watched, tally: Tally): Look {
  const { pids, device } = gateway;
  const { billed, samples } = tally.of(device);
  return {
    samples: samples.size,
    billed,
    wireBytes: counter.counts.bytes,
    flashBytes: sumOf(pids, writtenBytesOf),
    threads: pids.map(threadsOf),
    endedCpuMs: sumOf(pids, (pid) => usedByChildren(pid).cpuMs),
    pids: `${pids}`,
  };
}

function cpuMsBetween(before: Look, after: Look): number {
  return after.threads.reduce(
    (sum, threads, at) => sum + gainOf(before.threads[at]!, threads).cpuMs,
    after.endedCpuMs - before.endedCpuMs,
  );
}

async function memoryIn({ gateway: { pids } }: Watched): Promise<number> {
  return sumOf(await Promise.all(pids.map(memoryOf)), ({ rss }) => rss);
}

function sumOf<T>(list: readonly T[], value: (one: T) => number): number {
  return list.reduce((sum, one) => sum + value(one), 0);
}
