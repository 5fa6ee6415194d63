/**
 * Lines handed in through the socket: how many a second are answered, each after its commit with durability power. The
 * link is down, so that only the way into the queue is measured. The clients run in this process.
 */

import { type Form, ourFlags } from "./ours.ts";
import { rssKib } from "./process.ts";
import { type Figure, OURS } from "./report.ts";
import { run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** What {@linkcode measureIntake} is told. */
export interface IntakeOptions extends PhaseOptions {
  readonly form: Form;
  readonly runs: number;
  /** Lines of a client that does not await its receipts; one that does sends a fiftieth of it. */
  readonly messages: number;
}

/** Clients at a time that await each receipt. */
const CLIENTS = 50;
/** Lines that a pipelining client writes at once. */
const BATCH = 1000;
const LINE = '{"temperature_celsius":21.5,"humidity_ratio":0.48,"level":0.75}\n';

/** Lines answered a second, and MiB by which memory grows for 100,000 of them. */
interface Sample {
  readonly one: number;
  readonly many: number;
  readonly pipelined: number;
  readonly growth: number;
}

/** Measures so many times, each time a process of its own. */
export async function measureIntake(options: IntakeOptions): Promise<Figure[]> {
  const samples: Sample[] = [];
  const syncs: number[] = [];
  for (let turn = 0; turn < options.runs; turn++) {
    syncs.push(await rateOf(SYNCS, () => appends(options.dir)));
    samples.push(await measure(options));
  }
  const figure = (key: keyof Sample, what: string, unit = "lines/s"): Figure => ({
    id: `intake, ${key}`,
    what: `handed in, ${what}`,
    unit,
    samples: {
      [OURS]: samples.map((sample) => sample[key]),
      // What the disk allows to whoever waits for it.
      ...(key === "one" && { [PEERS.disk]: syncs }),
    },
    targets: TARGETS.intake[key],
  });
  return [
    figure("one", "one client awaits each receipt"),
    figure("many", `${CLIENTS} clients await each receipt`),
    figure("pipelined", "one client, pipelined"),
    figure("growth", "one client, pipelined, growth of RSS per 100,000", "MiB"),
  ];
}

async function measure(
  { servers: { main, paths }, dir, form, messages, signal }: IntakeOptions,
): Promise<Sample> {
  const state = `${dir}/state-intake`;
  const path = `${dir}/in.sock`;
  const args = [
    "publish",
    // Nobody listens there.
    ...ourFlags({ ...main, port: 1 }, paths, { state, id: "intake" }),
    ...["--listen", path, "--source", "none"],
    ...["--queue-max-messages", "10000000", "--queue-max-bytes", "4GiB"],
  ];
  const started = Promise.withResolvers<Deno.ChildProcess>();
  const running = run(form.command(args), {
    signal,
    onText: (said, child) => said.includes('"event":"start"') && started.resolve(child),
  });
  running.catch(started.reject);
  const child = await started.promise;
  try {
    await waiting(path, 100);
    const one = await waiting(path, messages / 50);
    const many = await rateOf(
      CLIENTS * 200,
      () => Promise.all(Array.from({ length: CLIENTS }, () => waiting(path, 200))),
    );
    // The heap of a young process grows.
    await pipelined(path, 2 * messages);
    const before = rssKib(child.pid);
    const rate = await pipelined(path, messages);
    const growth = (rssKib(child.pid) - before) / 1024 / (messages / 100_000);
    return { one, many, pipelined: rate, growth };
  } finally {
    child.kill("SIGTERM");
    await running;
    await Deno.remove(state, { recursive: true });
  }
}

/** One client that awaits each receipt before its next line; lines a second. */
async function waiting(path: string, lines: number): Promise<number> {
  using connection = await Deno.connect({ transport: "unix", path });
  const line = new TextEncoder().encode(LINE);
  const buffer = new Uint8Array(1024);
  return await rateOf(lines, async () => {
    for (let n = 0; n < lines; n++) {
      await connection.write(line);
      const length = await connection.read(buffer) ?? 0;
      if (buffer[length - 1] !== LF) throw new Error("the publisher did not answer a line");
    }
  });
}

/** One client that writes and reads at the same time; lines a second. */
async function pipelined(path: string, lines: number): Promise<number> {
  using connection = await Deno.connect({ transport: "unix", path });
  const batch = new TextEncoder().encode(LINE.repeat(BATCH));
  const write = async () => {
    for (let n = 0; n < lines; n += BATCH) {
      for (let at = 0; at < batch.length;) at += await connection.write(batch.subarray(at));
    }
  };
  const read = async () => {
    const buffer = new Uint8Array(64 * 1024);
    for (let receipts = 0; receipts < lines;) {
      const length = await connection.read(buffer);
      if (length === null) throw new Error(`the publisher answered ${receipts} of ${lines} lines`);
      for (const byte of buffer.subarray(0, length)) if (byte === LF) receipts++;
    }
  };
  return await rateOf(lines, () => Promise.all([write(), read()]));
}

/** Appends so many blocks to a file, each synced: what a log of SQLite that grows does. */
async function appends(dir: string): Promise<void> {
  const path = `${dir}/appends`;
  using file = await Deno.open(path, { create: true, append: true });
  for (let n = 0; n < SYNCS; n++) {
    file.writeSync(new Uint8Array(4096));
    file.syncDataSync();
  }
  await Deno.remove(path);
}

const SYNCS = 300;
const LF = 10;

/** How often in a second something was done that was done so often. */
async function rateOf(times: number, action: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await action();
  return times / ((performance.now() - startMs) / 1000);
}
