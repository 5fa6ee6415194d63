/** From the start of the process to the first PUBACK. */

import type { Form } from "./ours.ts";
import { ourFlags } from "./ours.ts";
import { PAYLOAD, type Peer } from "./peers.ts";
import type { Figure } from "./report.ts";
import { OURS } from "./report.ts";
import { type CommandLine, run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** What {@linkcode measureStart} is told. */
export interface StartOptions extends PhaseOptions {
  /** What stands for ours, first; then its other forms. */
  readonly forms: readonly Form[];
  readonly peers: readonly Peer[];
  readonly runs: number;
  /** Runs with nothing unpacked or compiled. */
  readonly firstRuns: number;
}

/** Something that sends one message. */
export interface Starter {
  readonly name: string;
  readonly once: CommandLine;
  readonly acked?: RegExp | undefined;
}

/** Starts everybody so many times, in turn. */
export async function measureStart(options: StartOptions): Promise<Figure[]> {
  const { forms, peers } = options;
  const starters = [
    ...forms.map((form) => starterOf(form, options)),
    ...peers.flatMap(({ name, once, acked }) => once ? [{ name, once, acked }] : []),
  ];
  const times = await measureAgain(starters, options);
  const [ours] = forms as readonly [Form];
  return [
    {
      id: "start",
      what: "process start to first PUBACK",
      unit: "ms",
      samples: {
        [OURS]: times[ours.name]!,
        ...Object.fromEntries(
          peers.flatMap(({ name }) => times[name] === undefined ? [] : [[name, times[name]]]),
        ),
      },
      targets: TARGETS.start,
    },
    ...forms.filter(({ name }) => name !== PEERS.bundle).map(({ name, bytes }) => ({
      id: `start, ${name}`,
      what: `process start to first PUBACK, ${name}`,
      unit: "ms",
      samples: { [OURS]: times[name]!, [PEERS.bundle]: times[PEERS.bundle]! },
      targets: bytes === undefined ? undefined : TARGETS.packed,
    })),
    {
      id: "first start",
      what: "process start to first PUBACK, with nothing unpacked or compiled yet",
      unit: "ms",
      samples: await measureFirst(options),
    },
  ];
}

/** Starts each so many times, in turn; ms by name. */
export async function measureAgain(
  starters: readonly Starter[],
  { runs, signal }: Pick<StartOptions, "runs" | "signal">,
): Promise<Record<string, number[]>> {
  // The first time compiles, unpacks and fills caches.
  for (const starter of starters) await startOnce(starter, signal);
  const times: Record<string, number[]> = {};
  for (let turn = 0; turn < runs; turn++) {
    for (const starter of starters) {
      (times[starter.name] ??= []).push(await startOnce(starter, signal));
    }
  }
  return times;
}

/** Each form with nothing unpacked and nothing compiled; what it reads from disk is in the system's memory all the same. */
async function measureFirst(options: StartOptions): Promise<Record<string, number[]>> {
  const { forms, firstRuns, dir, signal } = options;
  const times: Record<string, number[]> = {};
  for (let turn = 0; turn < firstRuns; turn++) {
    for (const form of forms) {
      const fresh = `${dir}/fresh`;
      await Deno.mkdir(fresh, { mode: 0o700 });
      const name = form === forms[0] ? OURS : form.name;
      (times[name] ??= []).push(await startOnce(starterOf(form, options, fresh), signal));
      await Deno.remove(fresh, { recursive: true });
    }
  }
  return times;
}

/** A form that sends one message. */
export function starterOf(
  form: Form,
  { servers: { main, paths }, dir }: PhaseOptions,
  fresh?: string,
): Starter {
  const args = [
    ...["publish", "--topic", "bench/one", "--message", PAYLOAD],
    ...ourFlags(main, paths, { state: `${dir}/state-once`, id: "bench-once" }),
  ];
  return { name: form.name, once: form.command(args, fresh), acked: /"event":"published"/ };
}

/** Returns the ms to the PUBACK. */
async function startOnce({ once, acked }: Starter, signal: AbortSignal): Promise<number> {
  const startMs = performance.now();
  let ackedMs: number | undefined;
  await run(once, {
    signal,
    onText: (said) => {
      if (acked?.test(said)) ackedMs ??= performance.now() - startMs;
    },
  });
  return ackedMs ?? performance.now() - startMs;
}
