/** The pace of attempts: when connections came, and the waits that the log announced. */

import { assert } from "@std/assert";
import type { Endpoint } from "../../../tools/endpoint/mod.ts";
import type { Run } from "../../support/publishing.ts";

/** How much sooner than announced an attempt may be seen to come: the end of the one before is seen late. */
const SEEN_LATE_MS = 50;

/** When each connection to the endpoint came, in ms, once there are so many of them. */
export async function arrivals(
  endpoint: Endpoint,
  connections: number,
  deadlineMs = 60_000,
): Promise<number[]> {
  const first = endpoint.counts.connections;
  const times: number[] = [];
  const look = () => {
    while (first + times.length < endpoint.counts.connections) times.push(performance.now());
    return times.length >= connections;
  };
  await endpoint.until(look, { what: `${connections} connections`, deadlineMs });
  return times;
}

/** The waits that a run's log announced, in ms, in order. */
export function announcedWaits(run: Pick<Run, "log">): number[] {
  return run.log.filter(({ event }) => event === "retrying" || event === "disconnected")
    .map((line) => Number.parseFloat(String(line.in)) * 1000);
}

/** That each attempt came no sooner than announced, and no sooner than a second after the one before. */
export function assertPace(arrivalsMs: readonly number[], waitsMs: readonly number[]): void {
  for (const [index, atMs] of arrivalsMs.slice(1).entries()) {
    const gapMs = atMs - arrivalsMs[index]!;
    const leastMs = Math.max(1000, waitsMs[index]!) - SEEN_LATE_MS;
    assert(gapMs >= leastMs, `attempt ${index + 2} came after ${gapMs} ms, not ${leastMs}`);
  }
}
