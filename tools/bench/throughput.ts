/** QoS 1 messages a second through the whole program: lines on stdin, the queue, TLS, PUBACK, and out of the queue. */

import { ourCommand, ourFlags } from "./clients.ts";
import type { BenchEndpoint } from "./endpoint.ts";
import { endOf, peakOf } from "./process.ts";
import type { Row } from "./report.ts";

/** What {@linkcode measureThroughput} is told. */
export interface ThroughputOptions {
  readonly endpoint: BenchEndpoint;
  readonly dir: string;
  readonly messages: number;
  /** Our executable, or undefined: from source. */
  readonly program: string | undefined;
  readonly signal: AbortSignal;
}

/** Measures each window with the queue on disk and in memory. */
export async function measureThroughput(options: ThroughputOptions): Promise<Row[]> {
  const input = `${options.dir}/lines`;
  await Deno.writeTextFile(input, linesOf(options.messages));
  const rows: Row[] = [];
  for (const inflight of [20, 100, 1000]) {
    const disk = await run(input, inflight, "power", options);
    const memory = await run(input, inflight, "none", options);
    rows.push(
      {
        what: `stdin to PUBACK, window ${inflight}, durability power`,
        unit: "msg/s",
        values: { mqtt443: disk.perS },
        ratio: { of: "none", value: disk.perS / memory.perS },
      },
      {
        what: `stdin to PUBACK, window ${inflight}, durability none`,
        unit: "msg/s",
        values: { mqtt443: memory.perS },
      },
      {
        what: `  peak RSS, window ${inflight}, durability power`,
        unit: "MiB",
        values: { mqtt443: disk.peak },
      },
    );
  }
  return rows;
}

function linesOf(count: number): string {
  return Array.from(
    { length: count },
    (_, index) => `{"n":${index},"temperature_celsius":21.5,"cpu_load_1m":0.12,"pump":"on"}\n`,
  ).join("");
}

async function run(
  input: string,
  inflight: number,
  durability: "power" | "none",
  { endpoint, dir, messages, program, signal }: ThroughputOptions,
): Promise<{ perS: number; peak: number }> {
  const state = `${dir}/state-${inflight}-${durability}`;
  const ours = ourCommand(program, [
    ...["publish", "--source", "stdin", "--topic", "bench/stdin", "--durability", durability],
    ...["--inflight", `${inflight}`, ...ourFlags(endpoint, state)],
  ]);
  const arrival = endpoint.arrival(messages);
  // A shell, because Deno cannot give a child a file as its stdin; `exec` leaves only the program.
  const child = new Deno.Command("sh", {
    args: ["-c", 'input=$1; shift; exec "$@" <"$input"', "sh", input, ours.program, ...ours.args],
    signal,
    stdout: "null",
    stderr: "null",
  }).spawn();
  let peak = 0;
  const watch = setInterval(async () => {
    peak = Math.max(peak, await peakOf(child.pid).catch(() => 0) || 0);
  }, 50);
  try {
    const isGood = await endOf(child);
    // Ours ends well when it is told to.
    signal.throwIfAborted();
    if (!isGood) throw new Error(`mqtt443 did not deliver ${messages} messages`);
  } finally {
    clearInterval(watch);
  }
  const arrived = await arrival;
  return { perS: arrived.messages * 1000 / arrived.ms, peak };
}
