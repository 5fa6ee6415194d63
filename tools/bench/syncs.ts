/** How often the queue is synced to disk, as `strace` counts it. */

import { bulkArgs } from "./bulk_run.ts";
import { type Form, ourFlags } from "./ours.ts";
import { type Figure, OURS } from "./report.ts";
import { type CommandLine, programPath, run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { TARGETS } from "./targets.ts";

/** What {@linkcode measureSyncs} is told. */
export interface SyncsOptions extends PhaseOptions {
  readonly form: Form;
  /** Messages at 1 Hz. */
  readonly seconds: number;
  /** Messages in bulk. */
  readonly messages: number;
}

/** Whether it can be measured here. */
export const canCountSyncs: boolean = programPath("strace") !== undefined;

/** Counts at a message a second and in bulk; what the start and the end need is counted apart, and left out. */
export async function measureSyncs(options: SyncsOptions): Promise<Figure[]> {
  const { servers: { main: server, paths }, form, seconds, messages } = options;
  const at1Hz = (count: number, state: string) =>
    countSyncs(
      form.command([
        ...["publish", "--interval", "1s", "--count", `${count}`, "--topic", "bench/syncs"],
        ...ourFlags(server, paths, { state, id: `bench-syncs-${count}` }),
      ]),
      options,
    );
  const inBulk = (count: number, state: string) =>
    countSyncs(
      form.command(bulkArgs({ server, paths, inflight: 100, durability: "power", state })),
      options,
      "{}\n".repeat(count),
    );
  const slope = async (
    count: (messages: number, state: string) => Promise<number>,
    more: number,
    name: string,
  ) => {
    const [few, many] = [`few-${name}`, `many-${name}`].map((name) =>
      `${options.dir}/syncs-${name}`
    );
    // The first run makes the directory.
    await Promise.all([count(1, few!), count(1, many!)]);
    const [less, all] = await Promise.all([count(1, few!), count(1 + more, many!)]);
    return (all - less) / more;
  };
  return [
    {
      id: "fsyncs at 1 Hz",
      what: "fsyncs per message at 1 Hz",
      unit: "fsyncs",
      samples: { [OURS]: [await slope(at1Hz, seconds, "1hz")] },
      targets: TARGETS.syncsAt1Hz,
    },
    {
      id: "fsyncs",
      what: "fsyncs per message in bulk, window 100",
      unit: "fsyncs",
      samples: { [OURS]: [await slope(inBulk, messages, "bulk")] },
    },
  ];
}

/** Runs something to its end; returns how often it synced a file. */
async function countSyncs(
  { program, args, env = {} }: CommandLine,
  { dir, signal }: SyncsOptions,
  input?: string,
): Promise<number> {
  const out = `${dir}/strace-${crypto.randomUUID()}`;
  const calls = "trace=fsync,fdatasync,sync_file_range,msync";
  const trace = ["-f", "--seccomp-bpf", "-qq", "-e", calls, "-e", "signal=none", "-o", out];
  let fed = false;
  await run({ program: "strace", args: [...trace, program, ...args], env }, {
    signal,
    stdin: input === undefined ? "null" : "piped",
    onText: (_said, child) => {
      if (input === undefined || fed) return;
      fed = true;
      const writer = child.stdin.getWriter();
      writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
    },
  });
  const lines = (await Deno.readTextFile(out)).split("\n");
  // A call that another thread interrupts takes two lines.
  return lines.filter((line) => /\b(fsync|fdatasync|sync_file_range|msync)\(/.test(line)).length;
}
