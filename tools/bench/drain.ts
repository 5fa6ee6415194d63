/** A backlog drained from the queue on disk: how fast, and in how much memory. */

import { SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import { eventOf } from "./bulk_run.ts";
import { type Form, ourFlags } from "./ours.ts";
import { PAYLOAD } from "./peers.ts";
import { peakOf, rssKib } from "./process.ts";
import { type Figure, OURS } from "./report.ts";
import { run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** Bytes of a large message, and how many of them wait. */
const LARGE_BYTES = 100 * 1024;
const LARGE = 600;
/** How often memory is looked at, in ms. */
const LOOK_MS = 50;

/** What {@linkcode measureDrain} is told. */
export interface DrainOptions extends PhaseOptions {
  readonly form: Form;
  readonly runs: number;
  /** Messages that wait. */
  readonly backlog: number;
  /** Messages a second of a C client that sends live, by window. */
  readonly live: ReadonlyMap<number, readonly number[]>;
}

/** One drain; memory in MiB, its growth in MiB for 100,000 messages. */
interface Drain {
  readonly perS: number;
  readonly peak: number;
  readonly slope: number;
}

/** Drains so many times, at each window in turn. */
export async function measureDrain(options: DrainOptions): Promise<Figure[]> {
  const { backlog, dir, live, runs } = options;
  fill(`${dir}/backlog.db`, backlog, PAYLOAD);
  const drains = new Map([...live.keys()].map((window) => [window, [] as Drain[]]));
  for (let turn = 0; turn < runs; turn++) {
    for (const [window, list] of drains) list.push(await drain(backlog, window, options));
  }
  fill(`${dir}/backlog.db`, LARGE, "x".repeat(LARGE_BYTES));
  const large: Drain[] = [];
  for (let turn = 0; turn < runs; turn++) large.push(await drain(LARGE, 20, options));
  return [
    ...[...drains].flatMap(([window, list]) => figuresOf(window, list, options)),
    {
      id: "large drain",
      what: `peak of memory, drain of ${LARGE} messages of ${LARGE_BYTES / 1024} KiB, RSS`,
      unit: "MiB",
      samples: { [OURS]: large.map(({ peak }) => peak) },
    },
  ];
}

function figuresOf(
  window: number,
  drains: readonly Drain[],
  { backlog, live }: DrainOptions,
): Figure[] {
  const what = `drain of ${backlog.toLocaleString("en")}, window ${window}`;
  const of = (key: keyof Drain) => ({ [OURS]: drains.map((drain) => drain[key]) });
  const theirs = live.get(window)!;
  return [
    {
      id: `drain, window ${window}`,
      what,
      unit: "messages/s",
      samples: { ...of("perS"), ...(theirs.length > 0 && { [PEERS.c]: theirs }) },
      targets: TARGETS.drainRate,
    },
    {
      id: `drain peak, window ${window}`,
      what: `${what}, peak RSS`,
      unit: "MiB",
      samples: of("peak"),
      targets: TARGETS.drainPeak,
    },
    {
      id: `drain growth, window ${window}`,
      what: `${what}, growth of RSS per 100,000`,
      unit: "MiB",
      samples: of("slope"),
      targets: TARGETS.drainSlope,
    },
  ];
}

/** Makes a queue anew, with a backlog in it. */
function fill(path: string, messages: number, text: string): void {
  for (const end of ["", "-wal", "-shm"]) remove(`${path}${end}`);
  const queue = new SqliteQueue(path, {
    maxMessages: 1e8,
    maxBytes: 1e11,
    full: "drop-newest",
    durability: "crash",
  });
  const draft = { topic: "bench/drain", qos: 1, timeMs: Date.now(), payload: text } as const;
  // Bounded in bytes too: a commit lies in memory.
  const batch = Math.max(1, Math.floor(1e6 / text.length));
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

/** Drains a copy of the queue: a run whose input has ended before it began. */
async function drain(
  messages: number,
  inflight: number,
  { servers: { main, paths }, dir, form, signal }: DrainOptions,
): Promise<Drain> {
  const state = `${dir}/state-drain`;
  await Deno.mkdir(state, { mode: 0o700 });
  await Deno.copyFile(`${dir}/backlog.db`, `${state}/queue.db`);
  await Deno.chmod(`${state}/queue.db`, 0o600);
  const seen: { readonly ms: number; readonly mib: number }[] = [];
  let peak = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  try {
    const said = await run(
      form.command([
        ...["publish", "--source", "stdin", "--inflight", `${inflight}`],
        ...["--queue-max-messages", "10000000", "--queue-max-bytes", "8GiB"],
        ...ourFlags(main, paths, { state, id: "bench-drain" }),
      ]),
      {
        signal,
        onText(said, { pid }) {
          if (timer !== undefined || !said.includes('"event":"draining"')) return;
          timer = setInterval(async () => {
            const highest = await peakOf(pid).catch(() => NaN);
            // Else it has just ended.
            if (Number.isNaN(highest)) return;
            peak = highest;
            seen.push({ ms: performance.now(), mib: rssKib(pid) / 1024 });
          }, LOOK_MS);
        },
      },
    );
    const { messages: drained, ms } = eventOf(said, "drained");
    if (drained !== messages) throw new Error(`${drained} of ${messages} messages were drained`);
    const perS = messages * 1000 / Number(ms);
    return { perS, peak, slope: slopeOf(seen) * 100_000 * 1000 / perS };
  } finally {
    clearInterval(timer);
    await Deno.remove(state, { recursive: true });
  }
}

/** Growth per ms over the last three quarters: the first one is for the heap to reach its size. */
function slopeOf(seen: readonly { readonly ms: number; readonly mib: number }[]): number {
  const late = seen.slice(Math.floor(seen.length / 4));
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const ms = mean(late.map(({ ms }) => ms));
  const mib = mean(late.map(({ mib }) => mib));
  const above = late.reduce((sum, look) => sum + (look.ms - ms) * (look.mib - mib), 0);
  return above / late.reduce((sum, look) => sum + (look.ms - ms) ** 2, 0);
}
