/** A publisher as a process, brought into the state in which a test stops it. */

import { assertEquals } from "@std/assert";
import type { Faults } from "../../tools/endpoint/mod.ts";
import { type Child, startChild } from "./children.ts";
import { flagsFor, makeRig, numbered, type Rig } from "./publishing.ts";

/** A state to be stopped in, and how to know that it has come. */
export interface Moment {
  readonly what: string;
  /** What the endpoint does; undefined: it is away. */
  readonly faults: Partial<Faults> | undefined;
  readonly hasCome: (rig: Rig, child: Child) => Promise<void>;
}

const retrying = (_rig: Rig, child: Child) =>
  child.until(() => child.events("retrying").length > 0);
const connecting = (rig: Rig) => rig.endpoint.until(() => rig.endpoint.counts.connections > 0);

/** The states in which nothing can be delivered. */
export const MOMENTS: readonly Moment[] = [
  { what: "while nothing listens", faults: undefined, hasCome: retrying },
  {
    what: "in the middle of a handshake",
    faults: { silentAtAccept: true },
    hasCome: connecting,
  },
  { what: "while it waits for CONNACK", faults: { noConnack: true }, hasCome: connecting },
  {
    what: "in a wait of 45 minutes and more",
    faults: { refuseConnect: true, connackCode: 0x87 },
    hasCome: retrying,
  },
];

/** What is done to a publisher with messages 1 to 3 in its queue. */
export type Action = (rig: Rig, child: Child) => Promise<void>;

/** Starts a publisher that is given three messages, acts, and lets go of all. */
export async function withThree(
  faults: Partial<Faults> | undefined,
  flags: readonly string[],
  action: Action,
): Promise<void> {
  await using rig = await makeRig({ ...(faults && { faults }) });
  if (faults === undefined) rig.endpoint.pause();
  const given = flagsFor(rig.folder, rig.endpoint.port);
  const child = startChild([
    ...["publish", "--source", "stdin", ...flags],
    ...given.with(given.indexOf("--backoff-max") + 1, "1h"),
  ]);
  try {
    await child.write([...numbered(1, 3)]);
    await child.until(() => child.events("queued").some(({ seq }) => seq === 3));
    await action(rig, child);
  } finally {
    await child.kill();
  }
}

/** Longer than any stop may take; then it is killed, which is not to end well. */
const DEADLINE_MS = 20_000;

/** That the process ends with 0; returns how long that took, in ms. */
export async function endsWell(child: Child): Promise<number> {
  const startMs = performance.now();
  const timer = setTimeout(() => void child.kill(), DEADLINE_MS);
  const end = await child.ended.finally(() => clearTimeout(timer));
  assertEquals(end, { code: 0, words: "" });
  return performance.now() - startMs;
}

/** Messages that wait in the queue. */
export async function waiting(rig: Rig): Promise<number> {
  const run = rig.run(["queue", "--json", "--state", `${rig.folder}/state`]);
  assertEquals(await run.code, 0);
  return JSON.parse(run.out.join("")).waiting;
}
