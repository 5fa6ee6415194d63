/** 10,000 hostile streams, and the same kind over real TLS (S5). */

import { assertEquals, assertGreater, assertLess, assertLessOrEqual } from "@std/assert";
import { meetHostile } from "../../support/hostile.ts";
import type { HostileReport } from "../../support/hostile_process.ts";

/** MiB by which memory may be more at the end than in the second quarter: 200 bytes an attempt of 10,000. */
const MOST_HELD = 2;
/** The same of the process: what is lost outside JavaScript, in blocks as the allocator has them. */
const MOST_RESIDENT = 40;

function assertUnharmed(report: HostileReport, count: number): void {
  assertEquals([report.attempts, report.wrong], [count, []]);
  assertEquals(report.refused + report.ended + report.wentOn, count);
  for (const seen of [report.refused, report.ended, report.wentOn]) {
    assertGreater(seen, count / 10);
  }
  assertLessOrEqual(report.fds[1], report.fds[0], "open files");
  assertLess(report.held[1] - report.held[0], MOST_HELD, `memory grew: ${report.held}`);
  assertLess(report.rss[1] - report.rss[0], MOST_RESIDENT, `RSS grew: ${report.rss}`);
}

Deno.test("connection survives 10,000 hostile streams without growth (S5)", async () => {
  assertUnharmed(await meetHostile({ seed: 2, count: 10_000, deadlineMs: 600_000 }), 10_000);
});
