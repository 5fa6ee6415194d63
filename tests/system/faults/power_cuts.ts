/**
 * Power cuts at many points of a run of the real program: it runs under `strace`, its calls are replayed on a model of a
 * disk, and what a cut could leave there is opened with the program's own code.
 */

import { assert } from "@std/assert";
import { openStateQueue } from "../../../lib/queue/mod.ts";
import type { Logger } from "../../../lib/core/log.ts";
import type { QueuedMessage } from "../../../lib/queue/types.ts";
import type { Settings } from "../../../lib/settings/types.ts";
import { realWorld } from "../../../lib/core/process.ts";
import { type Child, lastQueued, startChild } from "../../support/children.ts";
import { testGrants } from "../../support/program.ts";
import { range, type Rig } from "../../support/publishing.ts";
import { isSame, messages as some } from "../../support/queueing.ts";
import { seeded } from "../../../tools/shared/seeded.ts";
import { type DiskCall, parseTrace, tracing } from "./disk_calls.ts";
import { DiskModel, MANNERS } from "./disk_model.ts";

/** A run that was traced. */
export interface Recording {
  readonly calls: readonly DiskCall[];
  /** The disk before it. */
  readonly model: DiskModel;
  readonly disk: string;
  /** When the endpoint had each `seq`, in ms since the epoch. */
  readonly arrivedMs: ReadonlyMap<number, number>;
}

/** What is done before and in a run. */
export interface Scenario {
  /** Makes what is on disk before; `start` starts the program without a trace. */
  readonly prepare?: (start: () => Child, queuePath: string) => Promise<void>;
  /** More flags. */
  readonly flags?: readonly string[];
  /** What the traced program is given; then its input ends. */
  readonly drive: (child: Child) => Promise<void>;
}

/** What is found after a cut. */
export interface Found {
  /** The state directory. */
  readonly state: string;
  readonly messages: readonly QueuedMessage[];
  /** The one given to the next message. */
  readonly nextSeq: number;
  /** What was said above level info. */
  readonly warnings: readonly string[];
}

/** Cuts at random points of each run, besides those right after each change of names or of length. */
const RANDOM_CUTS = 40;
/** Where cuts are tried out: in memory, if this machine has a place for it. */
const SCRATCH = isDirectory("/dev/shm") ? { dir: "/dev/shm" } : {};
/** How long a program may take to end, in ms. */
const END_MS = 30_000;

/** Runs the program under strace; its disk is a directory, its state two directories below that. */
export async function record(
  rig: Rig,
  { prepare, drive, flags: more = [] }: Scenario,
): Promise<Recording> {
  const disk = `${rig.folder}/disk`;
  const state = `${disk}/a/state`;
  const trace = `${rig.folder}/trace`;
  const flags = rig.flags.map((flag) => flag === `${rig.folder}/state` ? state : flag);
  const args = ["publish", ...flags, "--source", "stdin", "--give-up-after", "1s", ...more];
  const children: Child[] = [];
  const start = (within: string[] = []) => {
    // With a look at the folders above: a scoped process can sync no name but those in the state directory, where ext4, XFS
    // and Btrfs need no more. This disk keeps what was synced, and nothing else.
    const granted = testGrants(args);
    const grants = { ...granted, read: [...granted.read, disk] };
    const child = startChild(args, { within, grants });
    children.push(child);
    return child;
  };
  try {
    Deno.mkdirSync(disk);
    await prepare?.(start, `${state}/queue.db`);
    const arrivedMs = new Map<number, number>();
    rig.endpoint.faults.forgetPuback = ({ payload }) => {
      const { seq } = JSON.parse(payload);
      if (!arrivedMs.has(seq)) arrivedMs.set(seq, Date.now());
      return false;
    };
    const model = new DiskModel(disk);
    const child = start(tracing(trace));
    await drive(child);
    await finish(child);
    return { calls: parseTrace(Deno.readTextFileSync(trace), disk), model, disk, arrivedMs };
  } finally {
    // Not by killing it: without its strace a traced program can do nothing more, nor end.
    await Promise.all(children.map(finish));
  }
}

async function finish(child: Child): Promise<void> {
  await child.end();
  const timer = setTimeout(() => void child.kill(), END_MS);
  await child.ended;
  clearTimeout(timer);
}

/** Writes lines that hold their number, in parts, each as soon as the one before is queued. */
export async function writeInParts(
  child: Child,
  [first, last]: readonly [number, number],
  { part = 1, bytes = 0 } = {},
): Promise<void> {
  const text = "x".repeat(bytes);
  for (let from = first; from <= last; from += part) {
    const to = Math.min(last, from + part - 1);
    await child.write(range(from, to).map((n) => JSON.stringify({ n, text })));
    await child.until(() => lastQueued(child) >= to);
  }
}

/** Opens a state directory as the program does, and puts one message more. */
export function reopen(state: string): Found {
  const warnings: string[] = [];
  const note = (event: string, fields: { cause?: unknown } = {}) => {
    // That the messages are of another topic and endpoint is so, and no trouble.
    if (!/^\d+ messages? waits? /.test(`${fields.cause}`)) {
      warnings.push(`${event} ${JSON.stringify(fields)}`);
    }
  };
  const log: Logger = { debug() {}, info() {}, warn: note, error: note };
  const settings = {
    endpoint: "localhost",
    port: 443,
    clientId: "gw-7",
    topic: "t",
    inflight: 20,
    state,
    queueMaxMessages: 100_000,
    queueMaxBytes: 64 * 1024 ** 2,
    queueMaxAge: undefined,
    queueFull: "drop-oldest",
    durability: "power",
  } as unknown as Settings;
  const queue = openStateQueue(settings, log, realWorld());
  const messages: QueuedMessage[] = [];
  for (let more = queue.take(1000); more.length > 0; more = queue.take(1000)) {
    messages.push(...more);
  }
  const { lastSeq } = queue.put(some(1));
  queue.close();
  return { state, messages, nextSeq: lastSeq, warnings };
}

/**
 * Cuts the power again and again while a recording is replayed, and looks at what is left.
 *
 * @param look Gets the last `seq` reported as queued before the cut, and the last that had arrived at the endpoint.
 * @returns How often it was cut.
 */
export function cutAndLook(
  { calls, model, disk, arrivedMs }: Recording,
  look: (found: Found, known: { reported: number; arrived: number }) => void,
): number {
  const random = seeded(calls.length);
  const points = new Set(range(1, RANDOM_CUTS).map(() => Math.floor(random() * calls.length)));
  calls.forEach(({ kind }, index) => {
    if (["mkdir", "open", "rename", "unlink", "truncate"].includes(kind)) points.add(index);
  });
  let reported = 0;
  let cuts = 0;
  calls.forEach((call, index) => {
    model.apply(call);
    if (call.kind === "say") reported = Math.max(reported, queuedSeq(call.text));
    if (!points.has(index)) return;
    const before = arrivedMs.entries().filter(([, ms]) => ms <= call.timeMs);
    const arrived = Math.max(0, ...before.map(([seq]) => seq));
    for (const manner of MANNERS) {
      const left = Deno.makeTempDirSync({ prefix: "mqtt443-cut-", ...SCRATCH });
      try {
        model.cut(left, manner, random);
        look(reopen(`${left}/a/state`), { reported, arrived });
        cuts++;
      } catch (cause) {
        const what = `after call ${index} (${call.kind}), leaving ${manner}, reported ${reported}`;
        throw new Error(`A power cut ${what}`, { cause });
      } finally {
        Deno.removeSync(left, { recursive: true });
      }
    }
  });
  for (const name of ["queue.db", "queue.lock"]) {
    const path = `${disk}/a/state/${name}`;
    const isAll = isSame(model.bytesNow(path), Deno.readFileSync(path));
    assert(isAll, `the model has not seen all of ${name}`);
  }
  return cuts;
}

/** The last `seq` that a text of the log reports as queued; 0: none. */
export function queuedSeq(text: string): number {
  const seqs = text.matchAll(/"event":"queued".*?"seq":(\d+)/g).map(([, seq]) => Number(seq));
  return Math.max(0, ...seqs);
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
