/**
 * A process that is stopped and goes on, as a machine that sleeps and wakes. SIGSTOP, unlike a sleep, lets the monotonic
 * clock go on: every timer is due at once when it wakes, which is the harder case.
 */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { type Child, startChild } from "../../support/children.ts";
import {
  firsts,
  flagsFor,
  makeRig,
  numbered,
  range,
  type Rig,
  seqsOf,
} from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const TICK_MS = 200;

function start(rig: Rig, flags: readonly string[]): Child {
  return startChild(["publish", ...flagsFor(rig.folder, rig.endpoint.port), ...flags]);
}

Deno.test("a process that slept takes one sample for those it missed, and loses nothing (X6)", async () => {
  await using rig = await makeRig();
  const child = start(rig, ["--source", "clock", "--interval", `${TICK_MS}ms`]);
  try {
    await rig.endpoint.waitFor(3);
    Deno.kill(child.pid, "SIGSTOP");
    const before = rig.endpoint.counts.received;
    await new Promise((resolve) => setTimeout(resolve, 25 * TICK_MS));
    const wokenMs = performance.now();
    Deno.kill(child.pid, "SIGCONT");
    await rig.endpoint.waitFor(before + 10);
    const ticks = (performance.now() - wokenMs) / TICK_MS;
    // Those since it woke, one to catch up, and one that may have been on its way.
    assertLessOrEqual(rig.endpoint.counts.received - before, Math.ceil(ticks) + 2);
    Deno.kill(child.pid, "SIGTERM");
    assertEquals(await child.ended, { code: 0, words: "" });
    assertEquals(rig.endpoint.connects.length, 1);
    const seqs = seqsOf(rig.endpoint.received);
    assertEquals(seqs, range(1, seqs.length));
  } finally {
    await child.kill();
  }
});

Deno.test("a process that slept longer than a PUBACK may take reads those that came meanwhile before it judges (X6)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 100 } });
  const child = start(rig, ["--source", "stdin", "--ack-timeout", "1s"]);
  try {
    for (let round = 1; round <= 3; round++) {
      await child.write([...numbered(1, 5)]);
      await rig.endpoint.waitFor(5 * round, { deadlineMs: 30_000 });
      Deno.kill(child.pid, "SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, 3000));
      Deno.kill(child.pid, "SIGCONT");
    }
    Deno.kill(child.pid, "SIGTERM");
    assertEquals(await child.ended, { code: 0, words: "" });
    assertEquals(rig.endpoint.connects.length, 1);
    assertEquals(seqsOf(rig.endpoint.received), range(1, 15));
  } finally {
    await child.kill();
  }
});

Deno.test("a process that slept while its endpoint hung up sends what was in flight again (X6)", async () => {
  await using rig = await makeRig();
  const child = start(rig, ["--source", "clock", "--interval", `${TICK_MS}ms`]);
  try {
    await rig.endpoint.waitFor(3);
    rig.endpoint.faults.forgetPuback = true;
    await rig.endpoint.waitFor(rig.endpoint.counts.received + 3);
    Deno.kill(child.pid, "SIGSTOP");
    rig.endpoint.faults.forgetPuback = false;
    rig.endpoint.cut("fin");
    await rig.endpoint.until(() => rig.endpoint.open === 0);
    await new Promise((resolve) => setTimeout(resolve, 10 * TICK_MS));
    Deno.kill(child.pid, "SIGCONT");
    await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
    await rig.endpoint.waitFor(rig.endpoint.counts.received + 8);
    Deno.kill(child.pid, "SIGTERM");
    assertEquals(await child.ended, { code: 0, words: "" });
    const seqs = seqsOf(rig.endpoint.received);
    const first = firsts(seqs);
    assertEquals(first, range(1, first.length));
    assert(seqs.length - first.length >= 3, "those without a PUBACK came again");
  } finally {
    await child.kill();
  }
});
