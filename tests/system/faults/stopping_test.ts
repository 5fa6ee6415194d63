/** How long a process takes to stop: the times that a service manager and an impatient person count on. */

import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { endsWell, MOMENTS, waiting, withThree } from "../../support/stopping.ts";

Deno.test.sanitizer({ ops: true, resources: true });

Deno.test("a process stopped with three messages in flight ends within 2 s (X1)", () =>
  withThree({ pubackDelayMs: 200 }, [], async (rig, child) => {
    await rig.endpoint.waitFor(3);
    Deno.kill(child.pid, "SIGTERM");
    assertLess(await endsWell(child), 2000);
    assertEquals(rig.endpoint.counts.acked, 3);
  }));

Deno.test("a process stopped while no PUBACK comes drains for 5 s, ends within 10 s, and keeps all (X1)", () =>
  withThree({ forgetPuback: true }, [], async (rig, child) => {
    await rig.endpoint.waitFor(3);
    Deno.kill(child.pid, "SIGTERM");
    const ms = await endsWell(child);
    assertGreater(ms, 4500);
    assertLess(ms, 10_000);
    assertEquals(await waiting(rig), 3);
  }));

Deno.test("a process that gets a second signal leaves within 1 s, and keeps all (X1)", () =>
  withThree({ forgetPuback: true }, [], async (rig, child) => {
    await rig.endpoint.waitFor(3);
    Deno.kill(child.pid, "SIGTERM");
    await child.until(() => child.events("stopping").length === 1);
    Deno.kill(child.pid, "SIGTERM");
    assertLess(await endsWell(child), 1000);
    assertEquals(await waiting(rig), 3);
  }));

for (const { what, faults, hasCome } of MOMENTS) {
  Deno.test(`a process stopped ${what} ends within 2 s, and keeps its queue (X2)`, () =>
    withThree(faults, [], async (rig, child) => {
      await hasCome(rig, child);
      Deno.kill(child.pid, "SIGTERM");
      assertLess(await endsWell(child), 2000);
      assertEquals(await waiting(rig), 3);
    }));
}
