/**
 * Measures start-up, memory, CPU and throughput beside other clients that are installed here, and tells which targets are
 * met. It installs nothing, and leaves nothing behind, also when it is stopped.
 *
 * The figures depend on the machine; what counts is ours against the others' of the same run. What is wanted is in
 * bench/targets.ts; what does not depend on the machine is a test as well.
 */

import { parseArgs } from "@std/cli/parse-args";
import { VERSION } from "../../lib/core/build.ts";
import { measureBulk, rateId, WINDOWS } from "./bulk.ts";
import { chartOf } from "./chart.ts";
import { measureDrain } from "./drain.ts";
import { findForms, sizeFigure } from "./forms.ts";
import { measureIntake } from "./intake.ts";
import { measurePacks } from "./packs.ts";
import { findPeers } from "./peers.ts";
import { isFile } from "./run.ts";
import { measureProxy } from "./proxy.ts";
import { type Figure, jsonOf, missedBy, tableOf, unjudgedBy } from "./report.ts";
import { startServers } from "./servers.ts";
import { measureStart } from "./start.ts";
import { measureSteady } from "./steady.ts";
import { PEERS } from "./targets.ts";
import { denoDir } from "../build/run_deno.ts";

/** In their order. */
const PHASES = ["start", "steady", "bulk", "intake", "drain", "packs", "proxy"] as const;

const HELP =
  `Measures start-up, memory, CPU and throughput beside other clients that are installed here.

Usage: deno task bench [--json] [--short] [--only PHASES] [--program FILE] [--chart FILE]

  --json          print the JSON line alone
  --short         less of everything: a minute and a half; nothing is judged
  --only PHASES   of ${PHASES.join(",")}
  --program FILE  measure this executable instead of the bundle under plain Deno;
                  it must be permitted to reach localhost and the temporary folder
  --chart FILE    draw start-up and memory as SVG
  --help          show this

Clients for Node are found in the folder that BENCH_NODE_MODULES names.
Exit codes: 0 done, 1 a target was missed or a phase failed, 64 wrong command line
`;

/** How much of everything; all medians are of at least seven. */
const FULL = {
  starts: 11,
  runs: 7,
  settleMs: 15_000,
  watchMs: 60_000,
  messages: 120_000,
  backlog: 500_000,
};
const SHORT: typeof FULL = {
  starts: 3,
  runs: 1,
  settleMs: 4000,
  watchMs: 6000,
  messages: 20_000,
  backlog: 50_000,
};

/** What {@linkcode bench} is told. */
export interface BenchOptions {
  readonly short: boolean;
  /** An executable, or undefined: the bundle. */
  readonly program: string | undefined;
  /** Phases that are run. @default all */
  readonly only?: readonly string[] | undefined;
  /** Stops it. */
  readonly signal: AbortSignal;
  /** Hears what is going on. */
  readonly say: (line: string) => void;
}

/** Runs every phase; returns the figures, and how many phases failed. */
export async function bench(
  { short, program, only = PHASES, signal, say }: BenchOptions,
): Promise<{ figures: Figure[]; failed: number }> {
  const size = short ? SHORT : FULL;
  await using cleanup = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "mqtt443-bench-" });
  cleanup.defer(() => Deno.remove(dir, { recursive: true }));
  const cache = await denoDir();
  const servers = cleanup.use(await startServers(dir, cache, signal));
  say(`server: ${servers.main.name}, port ${servers.main.port}`);
  const { forms, missing: missingForms } = await findForms({
    dir,
    cache,
    servers,
    program,
    signal,
  });
  const [form] = forms;
  const paths = servers.paths;
  const { peers, missing } = await findPeers({ dir, server: servers.main, paths, cache, signal });
  say(`measured: ${form.name}`);
  for (const name of [...missingForms, ...missing]) say(`skipped: ${name}`);

  const figures = new Map<string, Figure[]>(PHASES.map((name) => [name, []]));
  let failed = 0;
  const phase = async (
    name: typeof PHASES[number],
    measure: () => Promise<Figure[]>,
  ): Promise<Figure[]> => {
    if (signal.aborted || !only.includes(name)) return [];
    const startMs = performance.now();
    try {
      const found = await measure();
      figures.set(name, found);
      say(`${name}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
      return found;
    } catch (error) {
      if (signal.aborted) return [];
      // One phase that fails must not cost the others; what is missing in the table was said here.
      failed++;
      say(`${name} failed: ${error instanceof Error ? error.message : error}`);
      return [];
    }
  };
  const all = { ...size, servers, dir, forms, form, peers, signal };
  await phase("start", () => measureStart({ ...all, runs: size.starts, firstRuns: size.runs }));
  await phase("steady", () => measureSteady(all));
  const rates = await phase("bulk", () => measureBulk(all));
  await phase("intake", () => measureIntake(all));
  const live = new Map(WINDOWS.map((window) => [
    window,
    rates.find(({ id }) => id === rateId(window))?.samples[PEERS.c] ?? [],
  ]));
  await phase("drain", () => measureDrain({ ...all, live }));
  await phase("packs", () =>
    measurePacks({
      ...all,
      runs: Math.min(size.runs, 3),
      peersAt: async (port) =>
        (await findPeers({ dir, server: { ...servers.main, port }, paths, cache, signal })).peers,
    }));
  await phase("proxy", () => measureProxy({ ...all, runs: Math.min(size.runs, 3) }));
  return { figures: [sizeFigure(forms), ...[...figures.values()].flat()], failed };
}

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const unknown: string[] = [];
  const flags = parseArgs(Deno.args, {
    string: ["only", "program", "chart"],
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
  const only = flags.only?.split(",");
  const wrong = only?.find((name) => !(PHASES as readonly string[]).includes(name));
  if (wrong !== undefined) {
    console.error(`error: Unknown phase "${wrong}"\n\n${HELP}`);
    return 64;
  }
  if (flags.program !== undefined && !isFile(flags.program)) {
    console.error(`error: Cannot measure "${flags.program}": there is no such file`);
    return 64;
  }
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => stop.abort(new Error("stopped")));
  }
  const { short, program } = flags;
  const { signal } = stop;
  let failed: number;
  let figures: Figure[];
  try {
    ({ figures, failed } = await bench({ short, program, only, signal, say: console.error }));
  } catch (error) {
    if (!signal.aborted) throw error;
    [figures, failed] = [[], 1];
  }
  if (signal.aborted) {
    console.error("stopped");
    return 1;
  }
  const missed = short ? [] : missedBy(figures);
  const { hardwareConcurrency: cpus } = navigator;
  const about = { mqtt443: VERSION, deno: Deno.version.deno, cpus, short };
  if (!flags.json) console.log(`\n${tableOf(figures, { judge: !short })}\n`);
  console.log(jsonOf(figures, { ...about, failed, missed: missed.length }));
  if (flags.chart !== undefined) await Deno.writeTextFile(flags.chart, chartOf(figures));
  for (const line of missed) console.error(`missed: ${line}`);
  if (!short) { for (const line of unjudgedBy(figures)) console.error(`not judged: ${line}`); }
  return failed + missed.length > 0 ? 1 : 0;
}
