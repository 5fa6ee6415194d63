/** Signals to a real process, in each state of its link, and how long it takes to end. */

import { assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { seqsOf } from "../support/publishing.ts";
import { endsWell, MOMENTS, waiting, withThree } from "../support/stopping.ts";

Deno.test.sanitizer({ ops: true, resources: true });

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`a process that gets ${signal} with three messages in flight awaits their PUBACKs and says DISCONNECT (X1)`, () =>
    withThree({ pubackDelayMs: 200 }, [], async (rig, child) => {
      await rig.endpoint.waitFor(3);
      Deno.kill(child.pid, signal);
      await endsWell(child);
      await rig.endpoint.until(() => rig.endpoint.closes.length === 1);
      assertMatch(rig.endpoint.closes[0]!.reason, /DISCONNECT/);
      assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3]);
      assertEquals(rig.endpoint.counts.acked, 3);
      assertEquals(await waiting(rig), 0);
    }));

  Deno.test(`a process that gets ${signal} twice while no PUBACK comes leaves, and keeps all (X1)`, () =>
    withThree({ forgetPuback: true }, [], async (rig, child) => {
      await rig.endpoint.waitFor(3);
      Deno.kill(child.pid, signal);
      await child.until(() => child.events("stopping").length === 1);
      Deno.kill(child.pid, signal);
      await endsWell(child);
      assertEquals(child.events("stopped")[0]?.queued, 3);
      assertEquals(await waiting(rig), 3);
    }));
}

for (const [index, { what, faults, hasCome }] of MOMENTS.entries()) {
  const signal = index % 2 === 0 ? "SIGTERM" : "SIGINT";
  Deno.test(`a process stopped by ${signal} ${what} ends well, and keeps its queue (X2)`, () =>
    withThree(faults, [], async (rig, child) => {
      await hasCome(rig, child);
      Deno.kill(child.pid, signal);
      assertLess(await endsWell(child), 4000);
      assertEquals(await waiting(rig), 3);
    }));
}

Deno.test("a process stopped while no PUBACK comes drains for 5 s, ends within 10 s, and keeps all (X1)", () =>
  withThree({ forgetPuback: true }, [], async (rig, child) => {
    await rig.endpoint.waitFor(3);
    Deno.kill(child.pid, "SIGTERM");
    const ms = await endsWell(child);
    assertGreater(ms, 4500);
    assertLess(ms, 10_000);
    assertEquals(await waiting(rig), 3);
  }));
