/** A backlog drained: from the queue on disk, and the same from memory alone. */

import { type Draft, openQueue } from "../../lib/queue.ts";
import { V8_FLAGS } from "../v8_flags.ts";
import { ourFlags } from "./clients.ts";
import type { BenchEndpoint } from "./endpoint.ts";
import { endOf, median } from "./process.ts";
import { DRAFT, roomy } from "./queue.ts";
import type { Row } from "./report.ts";

/** Windows: the default, the largest with which AWS copes, the largest there is. */
const WINDOWS = [20, 100, 1000];
/** Up to this one, memory is judged: nobody needs a larger one but to see how fast it can be. */
const JUDGED_WINDOW = 100;
/** From disk it is at least so fast, of the same from memory. */
const LEAST_RATIO = 0.8;
/** Memory it may have at its peak, in MiB. */
const MOST_MIB = 100;
/** Bytes of a large message. */
const LARGE_BYTES = 100 * 1024;

/** What {@linkcode measureDrain} is told. */
export interface DrainOptions {
  readonly endpoint: BenchEndpoint;
  readonly dir: string;
  /** Messages that wait. */
  readonly backlog: number;
  /** The same, of the large ones. */
  readonly large: number;
  /** Times it is done, of which the medians count. */
  readonly rounds: number;
  readonly signal: AbortSignal;
}

/** One drain. Memory in MiB at the peak; `file` is what of it was pages of files at the end, mostly Deno's own code. */
interface Drain {
  readonly perS: number;
  readonly cpuUs: number;
  readonly peak: number;
  readonly file: number;
}

/** Drains with each window, from disk and from memory in turn. */
export async function measureDrain(options: DrainOptions): Promise<Row[]> {
  const { backlog, large, dir } = options;
  const rows: Row[] = [];
  fill(`${dir}/backlog.db`, backlog, DRAFT);
  for (const inflight of WINDOWS) {
    const what = `drain of ${backlog.toLocaleString("en")}, window ${inflight}`;
    rows.push(...await compare(what, inflight, options));
  }
  fill(`${dir}/backlog.db`, large, { ...DRAFT, payload: () => "x".repeat(LARGE_BYTES) });
  const drains = await repeat(options, () => drain(`${dir}/backlog.db`, large, 20, options));
  const what = `drain of ${large} x ${LARGE_BYTES / 1024} KiB, window 20`;
  rows.push(
    { what, unit: "msg/s", values: { mqtt443: middle(drains, "perS") } },
    memoryRow(`  peak RSS, ${LARGE_BYTES / 1024} KiB, window 20`, middle(drains, "peak"), true),
  );
  return rows;
}

async function compare(what: string, inflight: number, options: DrainOptions): Promise<Row[]> {
  const { backlog, dir } = options;
  const pairs = await repeat(options, async () => ({
    disk: await drain(`${dir}/backlog.db`, backlog, inflight, options),
    memory: await drain(":memory:", backlog, inflight, options),
  }));
  const disk = pairs.map((pair) => pair.disk);
  const memory = pairs.map((pair) => pair.memory);
  /** Of those that were measured one after the other. */
  const ratio = (key: "perS" | "cpuUs") =>
    median(pairs.map((pair) => pair.disk[key] / pair.memory[key]));
  return [
    {
      what: `${what}, durability power`,
      unit: "msg/s",
      values: { mqtt443: middle(disk, "perS") },
      ratio: { of: "none", value: ratio("perS") },
      wanted: { ratioAtLeast: LEAST_RATIO },
    },
    {
      what: `${what}, durability none`,
      unit: "msg/s",
      values: { mqtt443: middle(memory, "perS") },
    },
    {
      what: `  CPU per message, window ${inflight}, durability power`,
      unit: "us",
      values: { mqtt443: middle(disk, "cpuUs") },
      ratio: { of: "none", value: ratio("cpuUs") },
    },
    memoryRow(
      `  peak RSS, window ${inflight}, durability power`,
      middle(disk, "peak"),
      inflight <= JUDGED_WINDOW,
    ),
    memoryRow(`    of that, pages of files, window ${inflight}`, middle(disk, "file"), false),
  ];
}

function memoryRow(what: string, mqtt443: number, isJudged: boolean): Row {
  return {
    what,
    unit: "MiB",
    values: { mqtt443 },
    ...(isJudged && { wanted: { below: MOST_MIB } }),
  };
}

function middle(drains: readonly Drain[], key: keyof Drain): number {
  return median(drains.map((drain) => drain[key]));
}

async function repeat<T>({ rounds }: DrainOptions, action: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  while (results.length < rounds) results.push(await action());
  return results;
}

/** Makes a queue anew, with a backlog in it. */
function fill(path: string, messages: number, draft: Draft): void {
  remove(path);
  const queue = openQueue(path, roomy("crash"));
  // Bounded in bytes too: a commit lies in memory.
  const batch = Math.max(1, Math.floor(1e6 / draft.payload(1).length));
  for (let put = 0; put < messages; put += batch) {
    queue.put(Array(Math.min(batch, messages - put)).fill(draft));
  }
  queue.close();
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Drains a copy of a queue, or as many messages in memory. */
async function drain(
  queue: string,
  messages: number,
  inflight: number,
  { endpoint, dir, signal }: DrainOptions,
): Promise<Drain> {
  const path = queue === ":memory:" ? queue : `${dir}/drain.db`;
  if (path !== queue) await Deno.copyFile(queue, path);
  const arrival = endpoint.arrival(messages);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--frozen", V8_FLAGS, `${import.meta.dirname}/drain_process.ts`],
      ...[path, `${messages}`, "--inflight", `${inflight}`, ...ourFlags(endpoint, "unused")],
    ],
    signal,
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const said = new Response(child.stdout).text();
  const isGood = await endOf(child);
  signal.throwIfAborted();
  if (!isGood) throw new Error(`${messages} messages of ${path} were not delivered`);
  const arrived = await arrival;
  const { peak, file, cpuMs } = JSON.parse(await said);
  const perS = arrived.messages * 1000 / arrived.ms;
  return { perS, peak, file, cpuUs: cpuMs * 1000 / messages };
}
