/**
 * A message a second: memory, CPU, wake-ups and syncs, everybody side by side.
 *
 * Several processes of each run at once, so that one round gives as many values as seven would. Pages of files are then
 * shared with somebody in any case: private memory is what one process more would need.
 */

import { type Form, ourFlags } from "./ours.ts";
import { PAYLOAD, type Peer } from "./peers.ts";
import {
  delay,
  endOf,
  gainOf,
  kill,
  memoryOf,
  type Threads,
  threadsOf,
  writtenBytesOf,
} from "./process.ts";
import { type Figure, OURS } from "./report.ts";
import { type CommandLine, commandOf, run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { TARGETS } from "./targets.ts";

/** What {@linkcode measureSteady} is told. */
export interface SteadyOptions extends PhaseOptions {
  /** What stands for ours, first; then its other forms. */
  readonly forms: readonly Form[];
  readonly peers: readonly Peer[];
  /** Processes of each. */
  readonly runs: number;
  /** How long to let them settle, then watch them. */
  readonly settleMs: number;
  readonly watchMs: number;
}

/** One of them. */
interface Running {
  readonly name: string;
  readonly child: Deno.ChildProcess;
  readonly stop: () => Promise<void>;
}

/** Runs everybody at once and measures each. */
export async function measureSteady(options: SteadyOptions): Promise<Figure[]> {
  const { forms, peers, runs, settleMs, watchMs, signal } = options;
  // An executable unpacks itself at its first start.
  for (const form of forms.slice(1)) await run(form.command(["version"]), { signal });
  const running: Running[] = [];
  try {
    for (let number = 0; number < runs; number++) {
      for (const form of forms) {
        const name = form === forms[0] ? OURS : form.name;
        running.push(start(name, oursAt(form, "1s", number, options)));
      }
      running.push(start(IDLE, oursAt(forms[0]!, "24h", number, options)));
      for (const { name, steady, byLine } of peers) {
        if (steady) running.push(start(name, steady, byLine));
      }
    }
    await delay(settleMs, signal);
    const before = running.map(lookAt);
    const idleSettleMs = Math.min(Math.max(DEADLINES_MS - settleMs, 0), watchMs / 2);
    await delay(idleSettleMs, signal);
    const beforeIdle = running.map(lookAt);
    await delay(watchMs - idleSettleMs, signal);
    const after = running.map(lookAt);
    const memory = await Promise.all(running.map(({ child }) => memoryOf(child.pid)));
    const of = (value: (index: number) => number) => {
      const samples: Record<string, number[]> = {};
      running.forEach(({ name }, index) => (samples[name] ??= []).push(value(index)));
      return samples;
    };
    const without = (name: string, samples: Record<string, number[]>) =>
      Object.fromEntries(Object.entries(samples).filter(([other]) => other !== name));
    const gain = (key: "cpuMs" | "wakeups", from = before) =>
      of((index) => gainOf(from[index]!.threads, after[index]!.threads)[key]);
    const written = of((index) => after[index]!.writtenBytes - before[index]!.writtenBytes);
    const perMessage = (values: readonly number[]) => values.map((sum) => sum * 1000 / watchMs);
    const perMinute = (values: readonly number[], ms = watchMs) =>
      values.map((n) => n * 60_000 / ms);
    const seconds = Math.round((settleMs + watchMs) / 1000);
    return [
      {
        id: "rss",
        what: `memory at 1 Hz after ${seconds} s, RSS`,
        unit: "MiB",
        samples: without(IDLE, of((index) => memory[index]!.rss)),
        targets: TARGETS.rss,
      },
      {
        id: "private",
        what: `memory at 1 Hz after ${seconds} s, private`,
        unit: "MiB",
        samples: without(IDLE, of((index) => memory[index]!.private)),
        targets: TARGETS.private,
      },
      {
        id: "cpu at 1 Hz",
        what: "CPU per message at 1 Hz",
        unit: "ms",
        samples: mapped(without(IDLE, gain("cpuMs")), perMessage),
        targets: TARGETS.cpuAt1Hz,
      },
      {
        id: "written at 1 Hz",
        what: "written to disk per message at 1 Hz",
        unit: "bytes",
        samples: { [OURS]: perMessage(written[OURS]!) },
        targets: TARGETS.writtenAt1Hz,
      },
      {
        id: "wake-ups at 1 Hz",
        what: "wake-ups in a minute at 1 Hz",
        unit: "wake-ups",
        samples: mapped(without(IDLE, gain("wakeups")), (values) => perMinute(values)),
      },
      {
        id: "wake-ups",
        what: "wake-ups in an idle minute, with no keep-alive or sampling due",
        unit: "wake-ups",
        samples: { [OURS]: perMinute(gain("wakeups", beforeIdle)[IDLE]!, watchMs - idleSettleMs) },
        targets: TARGETS.wakeups,
      },
    ];
  } finally {
    for (const { child, stop } of running) {
      await stop();
      kill(child);
    }
    for (const { child } of running) await endOf(child, 6000);
  }
}

/** The name of ours when it has nothing to do. */
const IDLE = "idle";
/**
 * How long after its start it may be woken for the deadlines of that, in ms: 15 s for connecting, 20 s for the first PUBACK
 * and 30 s for CONNACK, and some for so many starts at once. They are taken back, but Deno wakes for a timer that was.
 */
const DEADLINES_MS = 40_000;

function mapped(
  samples: Record<string, number[]>,
  change: (values: readonly number[]) => number[],
): Record<string, number[]> {
  return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, change(list)]));
}

/** Ours with the system source, the disk queue, and every commit synced; the longest keep-alive where that is to rest. */
function oursAt(
  form: Form,
  interval: string,
  number: number,
  { servers: { main, paths }, dir }: SteadyOptions,
): CommandLine {
  const id = `bench-${interval}-${form.name.replaceAll(" ", "-")}-${number}`;
  return form.command([
    ...["publish", "--interval", interval, "--topic", "bench/steady"],
    ...(interval === "1s" ? [] : ["--keep-alive", "1200s"]),
    ...ourFlags(main, paths, { state: `${dir}/state-${id}`, id }),
  ]);
}

function start(name: string, command: CommandLine, byLine?: true): Running {
  const child = commandOf(command, {
    stdin: byLine ? "piped" : "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return { name, child, stop: byLine ? sendLines(child) : () => Promise.resolve() };
}

/** What one of them has used so far. */
interface Look {
  readonly threads: Threads;
  readonly writtenBytes: number;
}

function lookAt({ name, child: { pid } }: Running): Look {
  try {
    return { threads: threadsOf(pid), writtenBytes: writtenBytesOf(pid) };
  } catch (cause) {
    throw new Error(`${name} did not go on to the end`, { cause });
  }
}

/** Writes a line a second; returns how to stop that. */
function sendLines(child: Deno.ChildProcess): () => Promise<void> {
  const input = child.stdin.getWriter();
  const bytes = new TextEncoder().encode(`${PAYLOAD}\n`);
  const timer = setInterval(() => input.write(bytes).catch(() => {}), 1000);
  return async () => {
    clearInterval(timer);
    await input.close().catch(() => {});
  };
}
