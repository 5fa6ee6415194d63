import { assertEquals } from "@std/assert";
import type { UserError } from "../../lib/core/errors.ts";
import { type DraftSettings, LineDrafts } from "../../lib/publisher/drafts.ts";
import { createReports } from "../../lib/publisher/reports.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const NOW = { timeMs: Date.UTC(2026, 10, 27), clock: "unsynchronised" } as const;
const SETTINGS: DraftSettings = {
  ...{ clientId: "gw-7", topic: "t", qos: 1, format: "json", tags: undefined },
};

function draftsOf(lines: readonly string[], settings: Partial<DraftSettings> = {}) {
  const told: [string, number][] = [];
  const reports = {
    ...createReports(SILENT, () => 0),
    sourceFailed: (_: string, error: UserError, times = 1) =>
      void told.push([error.message, times]),
  };
  const made = new LineDrafts({ ...SETTINGS, ...settings }, reports, "dt/gw-7");
  const drafts = made.of(lines, NOW, Infinity);
  return { told, sent: drafts.map(({ topic, timeMs, payload }) => [topic, timeMs, payload(1)]) };
}

Deno.test("a line's own time and topic are those of its message, without a mark for this device's clock", () => {
  const line = '{"topic":"boiler","time":"2026-11-26T23:00:00Z","metrics":{"t":20.0}}';
  const { sent } = draftsOf([line, '{"t":20.0}', '{"payload":{"raw": 1}}']);
  assertEquals(sent, [
    [
      "dt/gw-7/boiler",
      Date.UTC(2026, 10, 26, 23),
      '{"device":"gw-7","seq":1,"time":"2026-11-26T23:00:00.000Z","metrics":{"t":20.0}}',
    ],
    [
      "t",
      NOW.timeMs,
      '{"device":"gw-7","seq":1,"time":"2026-11-27T00:00:00.000Z","clock":"unsynchronised","metrics":{"t":20.0}}',
    ],
    ["t", NOW.timeMs, '{"raw": 1}'],
  ]);
});

Deno.test("a line's bytes reach a shadow, and its first value alone a text (S9)", () => {
  const lines = [
    '{"n":9007199254740993,"m":1}',
    '{"bad":NaN,"n":20.0}',
    '{"s":"a\\nb"}',
    "plain",
    "{}",
  ];
  assertEquals(draftsOf(lines, { format: "shadow" }).sent.slice(0, 2).map(([, , text]) => text), [
    '{"state":{"reported":{"n":9007199254740993,"m":1}}}',
    '{"state":{"reported":{"n":20.0}}}',
  ]);
  assertEquals(draftsOf(lines, { format: "text" }).sent.map(([, , text]) => text), [
    "9007199254740993",
    "20.0",
    "a\nb",
    "plain",
    "",
  ]);
});

Deno.test("odd lines are told by their number, counting empty ones (S9)", () => {
  const { sent, told } = draftsOf([
    ...["", '{"a":1,"a":2}', '{"topic":"x/#","metrics":{}}', "", '{"a":nan,"b":-inf}'],
    ...['{"a":', "fine"],
  ]);
  assertEquals(told, [
    ['Line 2 of the input holds the key "a" twice', 1],
    ["Line 3 of the input was not taken: topic: must hold no wildcard (+ or #)", 1],
    ["Line 5 of the input lost 2 values that are NaN or Infinity, which JSON does not have", 2],
    [
      "Line 6 of the input begins like a JSON object and is cut off (at character 6): sent as text",
      1,
    ],
  ]);
  assertEquals(sent.length, 4);
});

Deno.test("tags stand beside device in each json payload", () => {
  const { sent } = draftsOf(['{"a":1}'], { tags: ["site=Nürnberg 1", "rule=a=b"] });
  assertEquals(
    (sent[0]![2] as string).slice(0, 64),
    '{"device":"gw-7","tags":{"site":"Nürnberg 1","rule":"a=b"},"seq"',
  );
});
