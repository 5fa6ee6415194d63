/**
 * Measures start-up, memory and throughput, beside other clients that are installed here. It installs nothing, and
 * leaves nothing behind, also when it is stopped.
 *
 * The figures depend on the machine; what counts is ours against the others' of the same run. Those that must hold on
 * every machine have a criterion beside them, by which a full run ends well or not.
 */

import { parseArgs } from "@std/cli/parse-args";
import { VERSION } from "../lib/version.ts";
import { findClients } from "./bench/clients.ts";
import { measureDrain } from "./bench/drain.ts";
import { startBenchEndpoint } from "./bench/endpoint.ts";
import { measureQueue } from "./bench/queue.ts";
import { jsonOf, missedBy, type Row, tableOf } from "./bench/report.ts";
import { measureStart } from "./bench/start.ts";
import { measureSteady } from "./bench/steady.ts";
import { measureThroughput } from "./bench/throughput.ts";

const HELP =
  `Measures start-up, memory and throughput, beside other clients that are installed here.

Usage: deno task bench [--json] [--short] [--program FILE]

  --json          print the JSON line alone
  --short         less of everything: about a minute; no criterion is judged
  --program FILE  measure this executable instead of main.ts
  --help          show this
`;

const FULL = {
  runs: 9,
  settleMs: 15_000,
  watchMs: 20_000,
  messages: 100_000,
  putsMs: 1500,
  backlog: 100_000,
  large: 600,
  rounds: 5,
};
const SHORT = {
  runs: 3,
  settleMs: 4000,
  watchMs: 5000,
  messages: 10_000,
  putsMs: 300,
  backlog: 20_000,
  large: 100,
  rounds: 1,
};

/** What {@linkcode bench} is told. */
export interface BenchOptions {
  readonly short: boolean;
  /** Our executable, or undefined: from source. */
  readonly program: string | undefined;
  /** Stops it. */
  readonly signal: AbortSignal;
  /** Hears what is going on. */
  readonly say: (line: string) => void;
}

/** Runs every phase; returns the rows, and how many phases failed. */
export async function bench(
  { short, program, signal, say }: BenchOptions,
): Promise<{ rows: Row[]; failed: number }> {
  const size = short ? SHORT : FULL;
  await using cleanup = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "mqtt443-bench-" });
  cleanup.defer(() => Deno.remove(dir, { recursive: true }));
  const endpoint = cleanup.use(await startBenchEndpoint(dir));
  say(`endpoint: port ${endpoint.port}`);
  const { clients, missing } = await findClients(endpoint, dir, program, signal);
  for (const name of signal.aborted ? [] : missing) say(`skipped: ${name} is not installed`);

  const rows: Row[] = [];
  let failed = 0;
  const phase = async (name: string, measure: () => Promise<Row[]>) => {
    if (signal.aborted) return;
    const startMs = performance.now();
    try {
      rows.push(...await measure());
      say(`${name}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (signal.aborted) return;
      // One phase that fails must not cost the others; what is missing in the table was said here.
      failed++;
      say(`${name} failed: ${error instanceof Error ? error.message : error}`);
    }
  };
  await phase("start", () => measureStart(clients, size.runs, signal));
  await phase("steady", () => measureSteady(clients, { ...size, signal }));
  await phase("queue", () => measureQueue(dir, size.putsMs, signal));
  await phase("throughput", () => measureThroughput({ ...size, endpoint, dir, program, signal }));
  await phase("drain", () => measureDrain({ ...size, endpoint, dir, signal }));
  return { rows, failed };
}

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const unknown: string[] = [];
  const flags = parseArgs(Deno.args, {
    string: ["program"],
    boolean: ["json", "short", "help"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  if (unknown.length > 0) {
    console.error(`error: Cannot understand "${unknown.join(" ")}"\n\n${HELP}`);
    return 64;
  }
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => stop.abort(new Error("stopped")));
  }
  const { short, program } = flags;
  const { signal } = stop;
  const { rows, failed } = await bench({ short, program, signal, say: console.error });
  if (signal.aborted) {
    console.error("stopped");
    return 1;
  }
  const missed = short ? [] : missedBy(rows);
  const { hardwareConcurrency: cpus } = navigator;
  const about = { mqtt443: VERSION, deno: Deno.version.deno, cpus };
  if (!flags.json) console.log(`\n${tableOf(rows)}\n`);
  console.log(jsonOf(rows, { ...about, short, failed, missed: missed.length }));
  for (const line of missed) console.error(`missed: ${line}`);
  return failed + missed.length > 0 ? 1 : 0;
}
