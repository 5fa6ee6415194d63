import { assert, assertEquals } from "@std/assert";
import { RawMetrics } from "../../lib/core/message.ts";
import { type LineOptions, parseLine } from "../../lib/sources/mod.ts";

const NOW_MS = Date.UTC(2026, 10, 27, 12);

function parse(line: string, options: Partial<LineOptions> = {}) {
  return parseLine(line, { nowMs: NOW_MS, ...options });
}

/** The metrics of a line, as they are sent. */
function metricsIn(line: string): string {
  const parsed = parse(line);
  assert("metrics" in parsed, line);
  const { metrics } = parsed;
  return metrics instanceof RawMetrics ? metrics.json : JSON.stringify(metrics);
}

for (
  const line of [
    '{"a":1,"b":{"c":[true,null]},"d":"x"}',
    '{"count":9007199254740993,"flow":20.0,"big":1e999}',
    '{"__proto__":{"x":1},"a":{"__proto__":2}}',
    '{"a":1,"a":2}',
    '{"metrics":{"a":1},"other":2}',
    '{"metrics":{"a":1},"payload":"x"}',
    '{"topic":"x"}',
    '{"time":5}',
    "{}",
  ]
) {
  Deno.test(`line ${line} becomes metrics, byte for byte (S9)`, () => {
    assertEquals(metricsIn(line), line);
  });
}

for (const line of ["hello", "42", "[1]", '"x"', "null", " ", "NaN", "a\0b", "\ufeffhello"]) {
  Deno.test(`line ${JSON.stringify(line)} is text`, () => {
    assertEquals(parse(line), { metrics: { text: line }, notFinite: 0 });
  });
}

for (
  const [line, why] of [
    ['{"n":', "is cut off"],
    ["{broken", "is no JSON"],
    ["{}x", "has something after its end"],
    ['{"a":"\0"}', "control character"],
    ['{"a":1}\u0085', "has something after its end"],
    [`{"a":${"[".repeat(100)}`, "more than 64 deep"],
  ] as const
) {
  Deno.test(`line ${line.slice(0, 12)} begins like an object and is none: text, and told why (S9)`, () => {
    const parsed = parse(line);
    assert("note" in parsed, line);
    assertEquals(parsed.metrics, { text: line });
    assert(parsed.note!.startsWith("begins like a JSON object and "), parsed.note);
    assert(parsed.note!.includes(why), parsed.note);
  });
}

Deno.test("line loses NaN and Infinity, counts them, and keeps the rest (S9)", () => {
  assertEquals(parse('{"a":NaN,"flow":20.0,"b":[-Infinity]}'), {
    metrics: new RawMetrics('{"flow":20.0,"b":[null]}'),
    notFinite: 2,
  });
});

Deno.test("line with a byte order mark in the middle of the input is an object all the same", () => {
  assertEquals(metricsIn('\ufeff{"a":20.0}'), '{"a":20.0}');
});

Deno.test("line with a key twice, or with bytes that were not UTF-8, is sent and told", () => {
  const twice = parse('{"a":1,"a":2}');
  assertEquals("note" in twice && twice.note, 'holds the key "a" twice');
  const bytes = parse('{"a":"x\ufffd"}');
  assertEquals("note" in bytes && bytes.note, "holds bytes that are not UTF-8, sent as U+FFFD");
});

const PREFIX = { topicPrefix: "dt/gw-7" };

Deno.test("envelope names topic and time, and its metrics keep their bytes", () => {
  const line =
    '{"topic":"boiler/temp","time":"2026-11-27T11:59:58.250+01:00","metrics":{"t":20.0}}';
  assertEquals(parse(line, PREFIX), {
    metrics: new RawMetrics('{"t":20.0}'),
    topic: "dt/gw-7/boiler/temp",
    timeMs: Date.UTC(2026, 10, 27, 10, 59, 58, 250),
    notFinite: 0,
  });
});

Deno.test("envelope loses NaN in its metrics", () => {
  assertEquals(parse('{"metrics":{"a":NaN,"b":1},"time":1764244800000}'), {
    metrics: new RawMetrics('{"b":1}'),
    timeMs: 1764244800000,
    notFinite: 1,
  });
});

for (
  const [payload, sent] of [
    ['"on"', "on"],
    ['"line\\nend"', "line\nend"],
    ["20.0", "20.0"],
    ['{"a": 1}', '{"a": 1}'],
    ["[1,2]", "[1,2]"],
    ["null", "null"],
    ['""', ""],
  ] as const
) {
  Deno.test(`envelope sends the payload ${payload} as it is`, () => {
    assertEquals(parse(`{"payload":${payload}}`), { payload: sent, notFinite: 0 });
  });
}

for (
  const [topic, problem] of [
    ["a/#", "must hold no wildcard (+ or #)"],
    ["a/+/b", "must hold no wildcard (+ or #)"],
    ["../../x", "must hold no level . or .."],
    ["a/./b", "must hold no level . or .."],
    ["a//b", "must hold no empty level"],
    ["/a", "must hold no empty level"],
    ["a/", "must hold no empty level"],
    ["", "must hold no empty level"],
    ["$aws/things/x/shadow/update", "must hold no level that begins with $"],
    ["a/$b", "must hold no level that begins with $"],
    ["a\\u0000b", "must not hold NUL"],
    ["a\\u0007b", "must hold no control characters"],
    ["\\ud800", "must be valid Unicode (it holds half of a surrogate pair)"],
    ["a/b/c/d/e/f/g", "must hold at most 7 slashes, and holds 8"],
    ["x".repeat(249), "must be at most 256 bytes of UTF-8, and is 257"],
  ] as const
) {
  Deno.test(`envelope's topic ${topic.slice(0, 30)} is refused`, () => {
    const line = `{"topic":"${topic}","metrics":{}}`;
    assertEquals(parse(line, PREFIX), { refused: `topic: ${problem}` });
  });
}

Deno.test("envelope's topic is refused without a prefix, and where it is no string", () => {
  assertEquals(parse('{"topic":"a","metrics":{}}'), {
    refused: "topic: must be absent, as the setting topicPrefix is none",
  });
  assertEquals(parse('{"topic":5,"metrics":{}}', PREFIX), { refused: "topic: must be a string" });
});

Deno.test("envelope's metrics must be an object", () => {
  assertEquals(parse('{"metrics":[1]}'), { refused: "metrics: must be an object" });
});

Deno.test("envelope with a key twice is refused", () => {
  assertEquals(parse('{"payload":1,"time":1764244800000,"time":1}'), {
    refused: 'an envelope must not hold "time" twice',
  });
});

for (
  const time of [
    "946684799999",
    String(NOW_MS + 86_400_001),
    '"1999-12-31T23:59:59Z"',
    '"2026-11-28T12:00:01Z"',
    '"2026-02-30T00:00:00Z"',
    '"2026-11-27"',
    '"2026-11-27T12:00:00"',
    '"2026-11-27T24:00:00Z"',
    '"2026-11-27T11:00:00+25:00"',
    '"yesterday"',
    '""',
    "true",
    "null",
    "[]",
    "1e999",
  ]
) {
  Deno.test(`envelope's time ${time} is refused`, () => {
    assertEquals(parse(`{"time":${time},"metrics":{}}`), {
      refused: "time: must be RFC 3339 or milliseconds since the epoch, " +
        "from 2000-01-01 to a day ahead",
    });
  });
}

for (
  const [time, ms] of [
    ["946684800000", 946684800000],
    ["1764244800000.75", 1764244800000],
    [String(NOW_MS + 86_400_000), NOW_MS + 86_400_000],
    ['"2024-02-29t23:59:59.999999z"', Date.UTC(2024, 1, 29, 23, 59, 59, 999)],
    ['"2026-11-27T00:30:00-09:30"', Date.UTC(2026, 10, 27, 10)],
  ] as const
) {
  Deno.test(`envelope's time ${time} is taken`, () => {
    const parsed = parse(`{"time":${time},"metrics":{}}`);
    assertEquals("timeMs" in parsed && parsed.timeMs, ms);
  });
}
