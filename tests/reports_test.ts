import { assertEquals } from "@std/assert";
import { EXIT, UserError } from "../lib/errors.ts";
import type { Fields } from "../lib/log.ts";
import { createRepeats, createReports, type Reports } from "../lib/reports.ts";

function makeBench(): {
  reports: Reports;
  said: string[];
  /** Lets time pass, with what is due meanwhile. */
  pass: (ms: number) => void;
  /** Reports a message that is delivered now. */
  published: (seq: number) => void;
  /** How many timers run. */
  timers: () => number;
} {
  let nowMs = 0;
  const timers = new Set<{ dueMs: number; readonly ms: number; readonly action: () => void }>();
  const said: string[] = [];
  const note = (event: string, { messages, failures, seq }: Fields = {}) =>
    void said.push([event, messages ?? failures ?? `seq ${seq}`].join(" "));
  const log = { debug: note, info: note, warn: note, error: note };
  const reports = createReports(log, () => nowMs, (ms, action) => {
    const timer = { dueMs: nowMs + ms, ms, action };
    timers.add(timer);
    return () => timers.delete(timer);
  });
  return {
    reports,
    published: (seq) => reports.published({ topic: "t", seq, bytes: 10, ms: 5, atMs: nowMs }),
    said,
    pass(ms) {
      for (const endMs = nowMs + ms; nowMs < endMs;) {
        nowMs = Math.min(endMs, ...[...timers].map(({ dueMs }) => dueMs));
        for (const timer of [...timers].filter(({ dueMs }) => dueMs === nowMs)) {
          timer.dueMs += timer.ms;
          timer.action();
        }
      }
    },
    timers: () => timers.size,
  };
}

const failure = new UserError("gone", { hint: "look", exitCode: EXIT.config });

Deno.test("reports tell of each message at one a second", () => {
  const { published, said, pass } = makeBench();
  for (let seq = 1; seq <= 3; seq++) {
    published(seq);
    pass(1000);
  }
  assertEquals(said, ["published seq 1", "published seq 2", "published seq 3"]);
});

Deno.test("reports tell of many messages in one line every 10 s, and leave none out", () => {
  const { reports, published, said, pass } = makeBench();
  for (let seq = 1; seq <= 250; seq++) {
    published(seq);
    pass(100);
  }
  reports.flush();
  const counted = said.map((line) => line.includes("seq") ? 1 : Number(line.split(" ")[1]));
  assertEquals(counted.reduce((sum, n) => sum + n), 250);
  assertEquals(said.length, 4);
});

Deno.test("reports tell of drops once a minute, and count them all", () => {
  const { reports, said, pass } = makeBench();
  for (let i = 0; i < 120; i++) {
    reports.dropped(2, "the queue is full");
    pass(1000);
  }
  reports.flush();
  assertEquals(said, ["dropped 2", "dropped 120", "dropped 118"]);
  assertEquals(reports.totals.dropped, 240);
});

Deno.test("reports tell of a failing source once a minute, with a count", () => {
  const { reports, said, pass } = makeBench();
  for (let i = 0; i < 61; i++) {
    reports.sourceFailed("file:x=/y", failure);
    pass(1000);
  }
  assertEquals(said, ["source-failed 1", "source-failed 60"]);
});

Deno.test("reports tell of what came last within 10 s or once a minute, though nothing comes after it", () => {
  const { reports, published, said, pass } = makeBench();
  for (let seq = 1; seq <= 5; seq++) published(seq);
  reports.dropped(1, "the queue is full");
  reports.dropped(7, "the queue is full");
  for (let n = 1; n <= 3; n++) reports.sourceFailed("file:x=/y", failure);
  assertEquals(said.splice(0), ["published seq 1", "dropped 1", "source-failed 1"]);
  pass(9999);
  assertEquals(said, []);
  pass(1);
  assertEquals(said.splice(0), ["published 4"]);
  for (let seq = 6; seq <= 7; seq++) published(seq);
  pass(10_000);
  assertEquals(said.splice(0), ["published seq 6", "published 1"]);
  pass(40_000);
  assertEquals(said.splice(0), ["dropped 7", "source-failed 2"]);
  pass(120_000);
  assertEquals(said, []);
});

Deno.test("reports run a timer only while something is unsaid", () => {
  const { reports, published, pass, timers } = makeBench();
  const counts = [timers()];
  const step = (action: () => void) => {
    action();
    counts.push(timers());
  };
  step(() => published(1));
  step(() => reports.dropped(1, "the queue is full"));
  step(() => reports.sourceFailed("file:x=/y", failure));
  assertEquals(counts.splice(0), [0, 0, 0, 0]);
  step(() => published(2));
  step(() => published(3));
  step(() => pass(10_000));
  assertEquals(counts.splice(0), [1, 1, 0]);
  step(() => reports.dropped(1, "the queue is full"));
  step(() => pass(40_000));
  step(() => pass(10_000));
  assertEquals(counts.splice(0), [1, 1, 0]);
  step(() => published(4));
  step(() => published(5));
  step(() => reports.flush());
  assertEquals(counts, [0, 1, 0]);
});

Deno.test("reports tell at the end of what is still unsaid, failures too", () => {
  const { reports, said } = makeBench();
  for (let n = 1; n <= 3; n++) {
    reports.sourceFailed("payload", failure);
    reports.dropped(1, "too old");
  }
  reports.flush();
  reports.flush();
  const firsts = ["source-failed 1", "dropped 1"];
  assertEquals(said, [...firsts, "source-failed 2", "dropped 2"]);
});

Deno.test("repeats are due once a minute, and at once after a reset", () => {
  let nowMs = 0;
  const repeats = createRepeats(() => nowMs);
  assertEquals([repeats.due("a"), repeats.due("a"), repeats.due("b")], [true, false, true]);
  nowMs = 60_000;
  assertEquals(repeats.due("a"), true);
  repeats.reset();
  assertEquals(repeats.due("a"), true);
});
