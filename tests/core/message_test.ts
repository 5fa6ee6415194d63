import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  expandTopic,
  filterProblem,
  type Format,
  matchesFilter,
  MAX_TOPIC_BYTES,
  metricsOf,
  payloadOf,
  type Reading,
  type Sample,
  textProblem,
  topicProblem,
  utf8Bytes,
} from "../../lib/core/message.ts";

function sample(readings: readonly Reading[]): Sample {
  const metrics = metricsOf(readings);
  return { device: "gw-7", timeMs: Date.UTC(2026, 10, 23, 3, 24, 45, 123), metrics };
}

Deno.test("json payload is the documented one", () => {
  const readings = [{ name: "cpu_load_1m", value: 0.12 }, { name: "state", value: "ok" }];
  assertEquals(
    payloadOf(sample(readings), "json", 1042),
    '{"device":"gw-7","seq":1042,"time":"2026-11-23T03:24:45.123Z",' +
      '"metrics":{"cpu_load_1m":0.12,"state":"ok"}}',
  );
});

Deno.test("shadow payload is a reported state", () => {
  const readings = [{ name: "temperature_celsius", value: 21.5 }];
  assertEquals(
    payloadOf(sample(readings), "shadow", 1),
    '{"state":{"reported":{"temperature_celsius":21.5}}}',
  );
});

Deno.test("text payload is the first reading's value alone", () => {
  const text = (value: Reading["value"]) =>
    payloadOf(sample([{ name: "first", value }, { name: "second", value: 2 }]), "text", 1);
  assertEquals(text("2026-11-23T03:24:45"), "2026-11-23T03:24:45");
  assertEquals(text(0.5), "0.5");
  assertEquals(text({ a: [null] }), '{"a":[null]}');
});

Deno.test("a sample without readings has a payload in every format", () => {
  const payloads = (["json", "text", "shadow"] as Format[]).map((format) =>
    payloadOf(sample([]), format, 1)
  );
  assertEquals(payloads[1], "");
  assertMatch(payloads[0]!, /"metrics":\{\}/);
  assertEquals(payloads[2], '{"state":{"reported":{}}}');
});

Deno.test("a reading called __proto__ is a reading like others", () => {
  const payload = payloadOf(sample([{ name: "__proto__", value: 1 }]), "json", 1);
  assertMatch(payload, /"metrics":\{"__proto__":1\}/);
  assertEquals(({} as { polluted?: unknown }).polluted, undefined);
});

Deno.test("numbers that JSON lacks do not break a payload", () => {
  const payload = payloadOf(sample([{ name: "x", value: NaN }]), "json", 1);
  assertEquals(JSON.parse(payload).metrics, { x: null });
});

Deno.test("expandTopic puts the client id in as it stands", () => {
  assertEquals(expandTopic("a/{clientId}/{clientId}", "$&$1"), "a/$&$1/$&$1");
});

Deno.test("topics that AWS and MQTT allow have no problem", () => {
  const topics = [
    "a",
    "/",
    "dt/mqtt443/gw-7/telemetry",
    "a/b/c/d/e/f/g/h",
    "$aws/things/gw-7/shadow/update",
    "$aws/rules/my_rule/a/b/c/d/e/f/g/h",
    "ä/ß/温度",
    "a b",
    "x".repeat(MAX_TOPIC_BYTES),
  ];
  for (const topic of topics) assertEquals(topicProblem(topic), undefined, topic);
});

Deno.test("topics that are wrong are refused by the rule they break", () => {
  const cases: [topic: string, rule: RegExp][] = [
    ["", /must not be empty/],
    ["a/+/b", /no wildcard/],
    ["#", /no wildcard/],
    ["a\0b", /NUL/],
    ["a\nb", /control characters/],
    ["a\u0085b", /control characters/],
    ["a/\ud800", /valid Unicode/],
    ["x".repeat(257), /at most 256 bytes of UTF-8, and is 257/],
    ["ü".repeat(129), /at most 256 bytes of UTF-8, and is 258/],
    ["a/b/c/d/e/f/g/h/i", /at most 7 slashes, and holds 8/],
    ["////////", /at most 7 slashes/],
    ["$aws/rules/my_rule/a/b/c/d/e/f/g/h/i", /at most 7 slashes/],
  ];
  for (const [topic, rule] of cases) assertMatch(topicProblem(topic) ?? "none", rule);
});

Deno.test("filters may hold whole-level wildcards", () => {
  for (const filter of ["#", "+", "a/+/b", "a/#", "+/+/#", "/+"]) {
    assertEquals(filterProblem(filter), undefined, filter);
  }
});

Deno.test("filters with a wildcard in the wrong place are refused", () => {
  for (const filter of ["a+", "a/b#", "#/a", "a/#/b", "++"]) {
    assertMatch(filterProblem(filter) ?? "none", /whole level/, filter);
  }
});

Deno.test("filters keep the other rules of topics", () => {
  assertMatch(filterProblem("") ?? "none", /empty/);
  assertMatch(filterProblem("a\0") ?? "none", /control characters/);
  assertMatch(filterProblem("x/".repeat(8)) ?? "none", /slashes/);
});

Deno.test("textProblem finds each control character MQTT forbids", () => {
  for (const code of [0, 1, 0x1f, 0x7f, 0x80, 0x9f]) {
    assert(textProblem(`a${String.fromCharCode(code)}`) !== undefined, code.toString(16));
  }
  assertEquals(textProblem("a\u00a0b"), undefined);
});

Deno.test("utf8Bytes counts bytes, not characters", () => {
  assertEquals(["", "a", "ü", "温", "\u{1f600}"].map(utf8Bytes), [0, 1, 2, 3, 4]);
});

const MATCHES: [filter: string, topic: string, matches: boolean][] = [
  ["a/b", "a/b", true],
  ["a/b", "a/b/c", false],
  ["a/b", "a", false],
  ["a/b", "A/b", false],
  ["+", "a", true],
  ["+", "", true],
  ["+", "a/b", false],
  ["a/+", "a/", true],
  ["a/+", "a", false],
  ["+/b", "a/b", true],
  ["#", "a/b", true],
  ["a/#", "a", true],
  ["a/#", "a/b/c", true],
  ["a/#", "ab", false],
  ["a/+/#", "a", false],
  ["#", "$SYS/uptime", false],
  ["+/uptime", "$SYS/uptime", false],
  ["$SYS/#", "$SYS/uptime", true],
  ["$aws/events/+/gw-7", "$aws/events/presence/gw-7", true],
  ["$share/g/a/+", "a/b", true],
  ["$share/g/a/+", "$share/g/a/b", false],
];

for (const [filter, topic, matches] of MATCHES) {
  Deno.test(`filter ${filter} ${matches ? "matches" : "does not match"} "${topic}" (G14)`, () => {
    assertEquals(matchesFilter(filter, topic), matches);
  });
}
