/** Packs: how fast a backlog drains at AWS's 100 publishes a second, and what a sample costs on the wire at 1 Hz. */

import { payloadOf } from "../../lib/core/message.ts";
import { SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import { eventOf } from "./bulk_run.ts";
import { type Form, ourFlags } from "./ours.ts";
import { PAYLOAD, type Peer } from "./peers.ts";
import { delay, endOf, kill } from "./process.ts";
import { type Figure, OURS } from "./report.ts";
import { commandOf, run } from "./run.ts";
import type { PhaseOptions } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";
import { type Counter, startCounter, wireBytes } from "./wire.ts";

/** What {@linkcode measurePacks} is told. */
export interface PacksOptions extends PhaseOptions {
  readonly form: Form;
  /** Peers that reach a server at that port. */
  readonly peersAt: (port: number) => Promise<readonly Peer[]>;
  readonly runs: number;
  /** The longest packWait that is measured, ms; each way is watched for twice as long. */
  readonly watchMs: number;
}

/** Samples of the backlog, and about the bytes of each. */
const BACKLOG = { samples: 2000, bytes: 220 } as const;

/** Measures both. */
export async function measurePacks(options: PacksOptions): Promise<Figure[]> {
  const drains: Figure[] = [];
  for (const pack of ["none", "5KiB", "128KiB"]) {
    const samples: Drain[] = [];
    for (let turn = 0; turn < options.runs; turn++) samples.push(await drain(pack, options));
    const what =
      `drain of ${BACKLOG.samples.toLocaleString("en")} samples of ${BACKLOG.bytes} B at ` +
      `100 publishes/s, pack ${pack}`;
    drains.push({
      id: `packed drain, ${pack}`,
      what,
      unit: "s",
      samples: { [OURS]: samples.map(({ s }) => s) },
      ...(pack === "5KiB" && { targets: TARGETS.packedDrain }),
    }, {
      id: `packed drain, ${pack}, publishes`,
      what: `${what}, packets`,
      unit: "publishes",
      samples: { [OURS]: samples.map(({ publishes }) => publishes) },
    });
  }
  return [...drains, ...await measureWire(options), ...await measurePeers(options)];
}

interface Drain {
  readonly s: number;
  readonly publishes: number;
}

async function drain(
  pack: string,
  { servers: { main, paths }, dir, form, signal }: PacksOptions,
): Promise<Drain> {
  const state = `${dir}/state-packs`;
  await Deno.mkdir(state, { mode: 0o700 });
  try {
    fill(`${state}/queue.db`);
    await Deno.chmod(`${state}/queue.db`, 0o600);
    const said = await run(
      form.command([
        ...["publish", "--source", "stdin", "--pack", pack, "--max-rate", "100"],
        ...ourFlags(main, paths, { state, id: "bench-packs" }),
      ]),
      { signal },
    );
    const { messages, publishes = messages, ms } = eventOf(said, "drained");
    if (messages !== BACKLOG.samples) throw new Error(`${messages} samples were drained`);
    return { s: Number(ms) / 1000, publishes: Number(publishes) };
  } finally {
    await Deno.remove(state, { recursive: true });
  }
}

function fill(path: string): void {
  const queue = new SqliteQueue(path, {
    maxMessages: 1e6,
    maxBytes: 1e9,
    full: "drop-newest",
    durability: "crash",
  });
  const device = "bench-packs";
  const sample = { device, timeMs: Date.now(), metrics: { level: 20.5, text: "" } };
  const padding = "x".repeat(BACKLOG.bytes - payloadOf(sample, "json", 1000).length);
  const metrics = { level: 20.5, text: padding };
  queue.put(Array.from({ length: BACKLOG.samples }, (_, at) => ({
    topic: "bench/packs",
    qos: 1,
    timeMs: sample.timeMs,
    payload: payloadOf({ ...sample, metrics }, "json", at + 1),
  })));
  queue.close();
}

/** A way to send samples of the system at 1 Hz. */
interface Way {
  readonly name: string;
  readonly flags: readonly string[];
}

/** What one way cost. */
interface Cost {
  readonly samples: number;
  /** Of TCP payload, both ways; and with the heads of TCP and IP. */
  readonly tcp: number;
  readonly wire: number;
  /** Messages that AWS bills: one for each 5 KiB of topic and payload begun. */
  readonly billed: number;
}

const TOPIC = "dt/mqtt443/gw-7/telemetry";
const BILLED_BYTES = 5120;

async function measureWire(options: PacksOptions): Promise<Figure[]> {
  const { watchMs } = options;
  // A minute of samples has 26 KB, of which one packet is made.
  const pack = ["--pack", "32KiB"];
  const waits = [watchMs / 6, watchMs].map((ms) => `${ms / 1000}s`);
  const packed = waits.flatMap((wait) =>
    ["samples", "columns"].map((form): Way => ({
      name: `${form}, packWait ${wait}`,
      flags: [...pack, "--pack-as", form, "--pack-wait", wait],
    }))
  );
  const unpacked: Way = { name: PEERS.unpacked, flags: [] };
  const costs = await Promise.all(
    // Ids of one length, as each sample names its device.
    [unpacked, ...packed].map((way, at) => costOf(way, `gw-${at}`, options)),
  );
  const per = (key: "tcp" | "wire" | "billed", { samples, ...cost }: Cost) => cost[key] / samples;
  const figures = (key: "tcp" | "wire" | "billed", what: string, unit: string): Figure[] =>
    packed.map(({ name }, at) => ({
      id: `${key}, ${name}`,
      what: `${what} at 1 Hz, ${name}`,
      unit,
      samples: { [OURS]: [per(key, costs[at + 1]!)], [PEERS.unpacked]: [per(key, costs[0]!)] },
      ...(key === "wire" && name.endsWith(waits[1]!) && {
        targets: name.startsWith("samples")
          ? TARGETS.packedWire.samples
          : TARGETS.packedWire.columns,
      }),
    }));
  return [
    ...figures("tcp", "bytes of TCP payload a sample, both ways,", "bytes"),
    ...figures("wire", "bytes a sample with the heads of TCP and IP,", "bytes"),
    ...figures("billed", "messages billed a sample", "messages"),
  ];
}

async function costOf(
  { flags }: Way,
  id: string,
  { servers: { main, paths }, dir, form, watchMs, signal }: PacksOptions,
): Promise<Cost> {
  using counter = startCounter(main.port);
  const server = { ...main, port: counter.port };
  let begun: Counter["counts"] | undefined;
  const said = await run(
    form.command([
      ...["publish", "--topic", TOPIC, "--interval", "1s", "--count", `${2 * watchMs / 1000}`],
      ...["--log-level", "debug", ...flags],
      ...ourFlags(server, paths, { state: `${dir}/state-${id}`, id }),
    ]),
    // The first sample may leave at once; the others are counted in full.
    {
      signal,
      forMs: 3 * watchMs + 30_000,
      onText: (said) =>
        void (begun ??= said.includes('"event":"connected"') ? { ...counter.counts } : undefined),
    },
  );
  const published = said.split("\n").filter((line) => line.includes('"event":"published"'))
    .map((line) => JSON.parse(line))
    .filter(({ messages }) => messages === undefined);
  return {
    samples: published.reduce((sum, { samples = 1 }) => sum + samples, 0),
    ...wireBytes(counter.counts, begun!),
    billed: published.reduce(
      (sum, { bytes }) => sum + Math.ceil((bytes + TOPIC.length) / BILLED_BYTES),
      0,
    ),
  };
}

/** What others need besides the payload, which is a constant. */
async function measurePeers(options: PacksOptions): Promise<Figure[]> {
  const { servers: { main }, peersAt, form, watchMs, signal } = options;
  const samples: Record<string, number[]> = {};
  using counter = startCounter(main.port);
  const seconds = Math.max(3, Math.round(watchMs / 3000));
  const besides = (from: Counter["counts"], messages: number) =>
    wireBytes(counter.counts, from).tcp / messages - PAYLOAD.length;
  for (const { name, steady, byLine, once } of await peersAt(counter.port)) {
    if (steady === undefined) continue;
    const child = commandOf(steady, {
      stdin: byLine ? "piped" : "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      const input = byLine && child.stdin.getWriter();
      const second = async () => {
        if (input) await input.write(new TextEncoder().encode(`${PAYLOAD}\n`));
        await delay(1000, signal);
      };
      // To connect, and for what is kept of the first message.
      for (let n = 0; n < 4; n++) await second();
      const from = { ...counter.counts };
      for (let n = 0; n < seconds; n++) await second();
      samples[name] = [besides(from, seconds)];
    } finally {
      kill(child, "SIGKILL");
      await endOf(child);
    }
    if (byLine && once) {
      const from = { ...counter.counts };
      await run(once, { signal });
      samples[`${name}, once a message`] = [besides(from, 1)];
    }
  }
  const ours = await ownOverhead(counter, form, options, seconds);
  return [{
    id: "wire besides the payload",
    what: "bytes of TCP payload a message at 1 Hz besides its own payload, unpacked, both ways",
    unit: "bytes",
    samples: { [OURS]: [ours], ...samples },
  }];
}

async function ownOverhead(
  counter: Counter,
  form: Form,
  { servers: { main, paths }, dir, signal }: PacksOptions,
  seconds: number,
): Promise<number> {
  const flags = ["--source", "clock", "--format", "text", "--topic", "bench/peer"];
  let from: Counter["counts"] | undefined;
  let bytes = 0;
  await run(
    form.command([
      ...["publish", ...flags, "--interval", "1s", "--count", `${seconds}`, "--log-level", "debug"],
      ...ourFlags({ ...main, port: counter.port }, paths, { state: `${dir}/state-own`, id: "own" }),
    ]),
    {
      signal,
      onText(said) {
        const published = said.split('"event":"published"').length - 1;
        if (published >= 1) from ??= { ...counter.counts };
        if (published === seconds && bytes === 0) bytes = wireBytes(counter.counts, from!).tcp;
      },
    },
  );
  return bytes / (seconds - 1) - "2026-11-23T03:24:45".length;
}
