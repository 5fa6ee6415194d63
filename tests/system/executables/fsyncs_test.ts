/** Syncs of the whole program's disk at durability `power`: a count that depends on no machine. */

import { assertEquals } from "@std/assert";
import { record, writeInParts } from "../faults/power_cuts.ts";
import { makeRig } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";

const ignore = !hasProgram("strace");
const MESSAGES = 20;

/** Syncs with which the queue is closed: of the log, and of the file that it goes into. */
const CLOSING = 2;

/** What was done to the disk once the first part was said to be queued: up to the last part, and after it. */
async function callsOfRun(part: number): Promise<{ puts: string[]; rest: string[] }> {
  await using rig = await makeRig();
  const { calls, arrivedMs } = await record(rig, {
    drive: async (child) => {
      await writeInParts(child, [1, MESSAGES], { part });
      await child.end();
      await child.until(() => child.events("stopped").length > 0);
      assertEquals(child.events("stopped")[0]?.published, MESSAGES);
    },
  });
  assertEquals(arrivedMs.size, MESSAGES);
  const told = calls.map((call) =>
    call.kind === "say" && call.text.includes('"event":"queued"') ? "queued" : call.kind
  );
  const [first, last] = [told.indexOf("queued"), told.lastIndexOf("queued")];
  return { puts: told.slice(first, last + 1), rest: told.slice(last + 1) };
}

function syncsIn(calls: readonly string[]): number {
  return calls.filter((call) => call === "sync").length;
}

Deno.test({
  name:
    "publish syncs its disk once for each message, before it reports that as queued (needs strace)",
  ignore,
  async fn() {
    const { puts } = await callsOfRun(1);
    assertEquals(
      puts.filter((call) => call === "sync" || call === "queued"),
      ["queued", ...Array(MESSAGES - 1).fill(["sync", "queued"]).flat()],
    );
  },
});

Deno.test({
  name:
    "publish syncs its disk for messages that come together at once, and for none that leaves " +
    "(needs strace)",
  ignore,
  async fn() {
    const { puts, rest } = await callsOfRun(MESSAGES / 2);
    assertEquals(syncsIn(puts), 1);
    assertEquals(syncsIn(rest), CLOSING);
  },
});
