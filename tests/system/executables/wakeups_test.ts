/** An idle gateway: the program sleeps, however long nothing is due. A count that depends on no machine. */

import { assert } from "@std/assert";
import { gainOf, threadsOf } from "../../../tools/bench/process.ts";
import { startChild } from "../../support/children.ts";
import { canMount, mountMemory } from "../../support/mounting.ts";
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

Deno.test({
  name: "publish with a status file wakes every 5 s to write it, and no more (O3)",
  ignore: !canMount,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
    try {
      // In memory, as /run is: a disk's journal is waited for.
      using _disk = mountMemory(folder, "1m");
      // Three times in 11 s at most; each wakes some of V8's threads too (measured: 5 to 12 in all).
      const gains = await wakeupsOf(["--status-file", `${folder}/status.json`], 9);
      assert(Math.min(...gains) <= 9, `wake-ups in ${STRETCH_MS} ms each: ${gains.join(", ")}`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
