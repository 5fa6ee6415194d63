/** A server with a good certificate that says what it should not (S5). The long run is in tests/system/faults. */

import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { meetHostile } from "../support/hostile.ts";

Deno.test("connection survives 100 hostile streams, each told or overcome (S5)", async () => {
  const report = await meetHostile({ seed: 1, count: 100, deadlineMs: 60_000 });
  assertEquals([report.attempts, report.wrong], [100, []]);
  assertEquals(report.refused + report.ended + report.wentOn, 100);
  for (const seen of [report.refused, report.ended, report.wentOn]) assertGreater(seen, 10);
  assertLessOrEqual(report.fds[1], report.fds[0], "open files");
});
