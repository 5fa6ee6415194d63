/** kill -9 at any instant: what was reported as queued is delivered after the restart. Real processes. */

import { assertEquals, assertLessOrEqual } from "@std/assert";
import { firsts, makeRig, numbered, range, type Rig, seqsOf } from "../support/publishing.ts";
import { lastQueued, startChild } from "../support/children.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Drains what is on disk in this process. */
async function drain(rig: Rig): Promise<void> {
  const input = ReadableStream.from<Uint8Array>([]);
  assertEquals(await rig.publish(["--source", "stdin"], { input }).code, 0);
}

Deno.test("kill -9 while offline loses nothing that was queued (Q1)", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const child = startChild(["publish", ...rig.flags, "--source", "stdin"]);
  child.write([...numbered(1, 1000)]);
  await child.until(() => lastQueued(child) === 1000);
  await child.kill();
  await rig.endpoint.resume();
  await drain(rig);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 1000));
});

Deno.test("kill -9 while PUBACKs are out repeats at most what was in flight (Q1)", async () => {
  await using rig = await makeRig({
    faults: { forgetPuback: ({ payload }) => seqOf(payload) > 50 },
  });
  const child = startChild(["publish", ...rig.flags, "--source", "stdin", "--inflight", "20"]);
  child.write([...numbered(1, 200)]);
  await rig.endpoint.until(() => rig.endpoint.connects[0]?.maxInFlight === 20);
  await rig.endpoint.waitFor(70);
  await child.until(() => lastQueued(child) === 200);
  await child.kill();
  rig.endpoint.faults.forgetPuback = false;
  await drain(rig);
  const seqs = seqsOf(rig.endpoint.received);
  assertEquals(firsts(seqs), range(1, 200));
  // The window, and what was acknowledged in the same turn but not yet deleted.
  assertLessOrEqual(seqs.length - 200, 40);
});

Deno.test("a lock that kill -9 left behind is taken over (Q9)", async () => {
  await using rig = await makeRig();
  const child = startChild(["publish", ...rig.flags, "--source", "stdin"]);
  await child.until(() => child.events("connected").length > 0);
  const second = rig.publish(["--message", "refused"]);
  assertEquals(await second.code, 73);
  await child.kill();
  assertEquals(await rig.publish(["--message", "taken over"]).code, 0);
});

function seqOf(payload: string): number {
  return JSON.parse(payload).seq;
}
