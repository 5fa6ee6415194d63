/**
 * Measures start-up, memory and throughput, beside other clients that are installed here. It installs nothing, and
 * leaves nothing behind.
 *
 * The figures depend on the machine; what counts is ours against the others' of the same run.
 */

import { parseArgs } from "@std/cli/parse-args";
import { VERSION } from "../lib/version.ts";
import { findClients } from "./bench/clients.ts";
import { measureDrain } from "./bench/drain.ts";
import { startBenchEndpoint } from "./bench/endpoint.ts";
import { measureQueue } from "./bench/queue.ts";
import { jsonOf, type Row, tableOf } from "./bench/report.ts";
import { measureStart } from "./bench/start.ts";
import { measureSteady } from "./bench/steady.ts";
import { measureThroughput } from "./bench/throughput.ts";

const HELP =
  `Measures start-up, memory and throughput, beside other clients that are installed here.

Usage: deno task bench [--json] [--short] [--program FILE]

  --json          print the JSON line alone
  --short         less of everything: under a minute
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
};
const SHORT = {
  runs: 3,
  settleMs: 4000,
  watchMs: 5000,
  messages: 10_000,
  putsMs: 300,
  backlog: 20_000,
};

/** Runs every phase; returns the rows, and how many phases failed. `say` hears what is going on. */
export async function bench(
  { short, program }: { short: boolean; program: string | undefined },
  say: (line: string) => void,
): Promise<{ rows: Row[]; failed: number }> {
  const size = short ? SHORT : FULL;
  await using cleanup = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "mqtt443-bench-" });
  cleanup.defer(() => Deno.remove(dir, { recursive: true }));
  const endpoint = cleanup.use(await startBenchEndpoint(dir));
  const { clients, missing } = await findClients(endpoint, dir, program);
  for (const name of missing) say(`skipped: ${name} is not installed`);

  const rows: Row[] = [];
  let failed = 0;
  const phase = async (name: string, measure: () => Promise<Row[]> | Row[]) => {
    const startMs = performance.now();
    try {
      rows.push(...await measure());
      say(`${name}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    } catch (error) {
      // One phase that fails must not cost the others; what is missing in the table was said here.
      failed++;
      say(`${name} failed: ${error instanceof Error ? error.message : error}`);
    }
  };
  await phase("start", () => measureStart(clients, size.runs));
  await phase("steady", () => measureSteady(clients, size));
  await phase("queue", () => measureQueue(dir, size.putsMs));
  await phase("throughput", () => measureThroughput({ ...size, endpoint, dir, program }));
  await phase("drain", () => measureDrain(endpoint, dir, size.backlog));
  return { rows, failed };
}

if (import.meta.main) {
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
  } else if (unknown.length > 0) {
    console.error(`error: Cannot understand "${unknown.join(" ")}"\n\n${HELP}`);
    Deno.exitCode = 64;
  } else {
    const { short, program } = flags;
    const { rows, failed } = await bench({ short, program }, console.error);
    const { hardwareConcurrency } = navigator;
    const about = { mqtt443: VERSION, deno: Deno.version.deno, cpus: hardwareConcurrency };
    if (!flags.json) console.log(`\n${tableOf(rows)}\n`);
    console.log(jsonOf(rows, { ...about, short, failed }));
    if (failed > 0) Deno.exitCode = 1;
  }
}
