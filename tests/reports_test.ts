import { assertEquals } from "@std/assert";
import { EXIT, UserError } from "../lib/errors.ts";
import type { Fields } from "../lib/log.ts";
import { createRepeats, createReports, type Reports } from "../lib/reports.ts";

function makeBench(): { reports: Reports; said: string[]; pass: (ms: number) => void } {
  let nowMs = 0;
  const said: string[] = [];
  const note = (event: string, { messages, failures, seq }: Fields = {}) =>
    void said.push([event, messages ?? failures ?? `seq ${seq}`].join(" "));
  const log = { debug: note, info: note, warn: note, error: note };
  return {
    reports: createReports(log, () => nowMs),
    said,
    pass: (ms) => void (nowMs += ms),
  };
}

const message = (seq: number) => ({ topic: "t", seq, bytes: 10, ms: 5 });
const failure = new UserError("gone", { hint: "look", exitCode: EXIT.config });

Deno.test("reports tell of each message at one a second", () => {
  const { reports, said, pass } = makeBench();
  for (let seq = 1; seq <= 3; seq++) {
    reports.published(message(seq));
    pass(1000);
  }
  assertEquals(said, ["published seq 1", "published seq 2", "published seq 3"]);
});

Deno.test("reports tell of many messages in one line every 10 s, and leave none out", () => {
  const { reports, said, pass } = makeBench();
  for (let seq = 1; seq <= 250; seq++) {
    reports.published(message(seq));
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

Deno.test("reports tell of what came last, though nothing comes after it", () => {
  const { reports, said, pass } = makeBench();
  for (let seq = 1; seq <= 5; seq++) reports.published(message(seq));
  reports.dropped(1, "the queue is full");
  reports.dropped(7, "the queue is full");
  for (let n = 1; n <= 3; n++) reports.sourceFailed("file:x=/y", failure);
  assertEquals(said.splice(0), ["published seq 1", "dropped 1", "source-failed 1"]);
  reports.sayDue();
  assertEquals(said, []);
  pass(10_000);
  reports.sayDue();
  assertEquals(said.splice(0), ["published 4"]);
  pass(50_000);
  reports.sayDue();
  assertEquals(said.splice(0), ["dropped 7", "source-failed 2"]);
  reports.sayDue();
  assertEquals(said, []);
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
