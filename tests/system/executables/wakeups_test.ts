/** An idle gateway: the program sleeps, however long nothing is due. A count that depends on no machine. */

import { assert } from "@std/assert";
import { gainOf, threadsOf } from "../../../tools/bench/process.ts";
import { startChild } from "../../support/children.ts";
import { makeRig } from "../../support/publishing.ts";

/** A stretch of idle time: longer than any timer that has no business but to look whether there is something to do. */
const STRETCH_MS = 11_000;
/**
 * Stretches that are looked at, until one is quiet: in the first ones threads end that the start has needed, and V8 looks
 * for what it has left behind (measured: for 40 s).
 */
const STRETCHES = 9;

/** Wake-ups in each stretch of an idle run, until one has at most so many. */
async function wakeupsOf(flags: readonly string[], most: number): Promise<number[]> {
  await using rig = await makeRig();
  const child = startChild([
    ...["publish", ...rig.flags, "--interval", "24h", "--keep-alive", "1200s"],
    ...flags,
  ]);
  try {
    await child.until(() => child.events("published").length > 0);
    const gains: number[] = [];
    while (gains.length < STRETCHES && !gains.some((gain) => gain <= most)) {
      const before = threadsOf(child.pid);
      // What is counted is what happens in a time; there is no event to wait for.
      await new Promise((resolve) => setTimeout(resolve, STRETCH_MS));
      gains.push(gainOf(before, threadsOf(child.pid)).wakeups);
    }
    return gains;
  } finally {
    await child.kill();
  }
}

Deno.test("publish sleeps, and no timer wakes it, while neither a reading nor the keep-alive is due", async () => {
  const gains = await wakeupsOf([], 0);
  assert(gains.includes(0), `wake-ups in ${STRETCH_MS} ms each: ${gains.join(", ")}`);
});

Deno.test("publish with a status file wakes every 5 s to write it, and no more (O3)", async () => {
  // In memory, as /run is: a disk's journal is waited for.
  const folder = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "mqtt443-test-" });
  try {
    // Three times in 11 s at most.
    const gains = await wakeupsOf(["--status-file", `${folder}/status.json`], 3);
    assert(Math.min(...gains) <= 3, `wake-ups in ${STRETCH_MS} ms each: ${gains.join(", ")}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
