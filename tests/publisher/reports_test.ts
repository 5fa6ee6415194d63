import { assertEquals, assertLessOrEqual } from "@std/assert";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { createRepeats, type Fields, type Logger } from "../../lib/core/log.ts";
import { PublishRefusedError } from "../../lib/connection/reason_codes.ts";
import { createReports, type Reports } from "../../lib/publisher/reports.ts";

function makeBench({ isTerminal = true } = {}): {
  reports: Reports;
  said: string[];
  /** Lets time pass, with what is due meanwhile. */
  pass: (ms: number) => void;
  /** Reports a message that is delivered now. */
  published: (seq: number) => void;
  /** How many timers run. */
  timers: () => number;
  /** How many lines were said at debug. */
  details: () => number;
} {
  let nowMs = 0;
  const timers = new Set<{ dueMs: number; readonly ms: number; readonly action: () => void }>();
  const said: string[] = [];
  let details = 0;
  const note = (event: string, { messages, failures, seq }: Fields = {}) =>
    void said.push([event, messages ?? failures ?? `seq ${seq}`].join(" "));
  const log = { debug: () => void details++, info: note, warn: note, error: note };
  const reports = createReports(log, () => nowMs, (ms, action) => {
    const timer = { dueMs: nowMs + ms, ms, action };
    timers.add(timer);
    return () => timers.delete(timer);
  }, isTerminal);
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
    details: () => details,
  };
}

const failure = new UserError("gone", {
  code: "source-unreadable",
  hint: "look",
  exitCode: EXIT.config,
});

const DAY_S = 86_400;

/** A day at one message a second, each up to 0.2 s late; returns what was said at info. */
function day(bench: ReturnType<typeof makeBench>): string[] {
  const late = (n: number) => n * 7919 % 201;
  bench.reports.connected();
  for (let seq = 1; seq <= DAY_S; seq++) {
    bench.published(seq);
    bench.pass(1000 + late(seq + 1) - late(seq));
  }
  bench.reports.flush();
  return bench.said;
}

/** How many messages lines tell of. */
const toldIn = (said: readonly string[]) =>
  said.map((line) => line.includes("seq") ? 1 : Number(line.split(" ")[1]))
    .reduce((sum, n) => sum + n, 0);

Deno.test("a day at 1 Hz on a terminal is a line a message (F12)", () => {
  const bench = makeBench();
  const said = day(bench);
  assertEquals(said.length, DAY_S);
  assertEquals(said.every((line) => line.startsWith("published seq")), true);
  assertEquals(bench.details(), 0);
});

Deno.test("a day at 1 Hz in a journal is 145 lines, and each message at debug (F12)", () => {
  const bench = makeBench({ isTerminal: false });
  const said = day(bench);
  assertEquals([said.length, said[0], toldIn(said)], [145, "published seq 1", DAY_S]);
  assertEquals(bench.details(), DAY_S - 1);
});

Deno.test("reports in a journal tell of the first message of each session at once (F12)", () => {
  const { reports, published, said, pass } = makeBench({ isTerminal: false });
  reports.connected();
  for (let seq = 1; seq <= 3; seq++) published(seq);
  pass(60_000);
  reports.connected();
  for (let seq = 4; seq <= 6; seq++) published(seq);
  assertEquals(said.splice(0), ["published seq 1", "published seq 4"]);
  pass(540_000);
  assertEquals(said.splice(0), ["published 4"]);
  published(7);
  pass(599_999);
  assertEquals(said, []);
  pass(1);
  assertEquals(said, ["published 1"]);
});

for (const [hz, most] of [[2, 9], [10, 9], [100, 9]] as const) {
  Deno.test(`reports on a terminal tell of ${hz} messages a second by summaries alone (F12)`, () => {
    const { reports, published, said, pass } = makeBench();
    for (let seq = 1; seq <= 60 * hz; seq++) {
      published(seq);
      pass(1000 / hz);
    }
    reports.flush();
    assertEquals(toldIn(said), 60 * hz);
    assertLessOrEqual(said.length, most);
  });
}

Deno.test("reports on a terminal tell of each message again when there are fewer (F12)", () => {
  const { published, said, pass } = makeBench();
  for (let seq = 1; seq <= 50; seq++) published(seq);
  pass(10_000);
  pass(10_000);
  said.splice(0);
  for (let seq = 51; seq <= 53; seq++) {
    published(seq);
    pass(1000);
  }
  assertEquals(said, ["published seq 51", "published seq 52", "published seq 53"]);
});

Deno.test("reports of packs name their first and last sample, and count samples and packets (K7)", () => {
  const lines: [string, unknown][] = [];
  const log = {
    debug() {},
    info: (...line: typeof lines[0]) => lines.push(line),
    warn() {},
    error() {},
  };
  const reports = createReports(log as Logger, () => 0);
  reports.connected();
  const published = (seq: number, samples?: number) => {
    const of = samples === undefined ? undefined : { firstSeq: seq - samples + 1, samples };
    reports.published({ topic: "t", seq, of, bytes: 10, ms: 5, atMs: 0 });
  };
  published(18, 18);
  published(19, 1);
  published(30, 11);
  published(31);
  reports.flush();
  assertEquals(lines, [
    ["published", { topic: "t", seq: "1-18", samples: 18, bytes: 10, ms: 5 }],
    ["published", { messages: 13, publishes: 3, bytes: 30, seq: 31, ms: 0 }],
  ]);
  const { totals } = reports;
  assertEquals([totals.published, totals.publishes], [31, 4]);
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

Deno.test("messages that are refused are told once a minute for each cause, with a count (D19)", () => {
  const lines: [string, Record<string, unknown>][] = [];
  const note = (event: string, fields = {}) => void lines.push([event, fields]);
  let nowMs = 0;
  const log = { debug: note, info: note, warn: note, error: note };
  const reports = createReports(log, () => nowMs);
  const refusal = new PublishRefusedError(0x87, "dt/a");
  for (let seq = 1; seq <= 22; seq++) reports.refused(seq, refusal);
  reports.refused(23, new PublishRefusedError(0x90, "dt/a"));
  assertEquals(lines.map(([, { reason, seq }]) => [reason, seq]), [["0x87", 1], ["0x90", 23]]);
  nowMs = 61_000;
  reports.refused(24, refusal);
  assertEquals(lines.at(-1)![1].messages, 22);
});
