import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { environmentLayer, mergeSettings, settingsDocument } from "../../lib/settings/merge.ts";
import { fileLayer } from "../../lib/settings/file.ts";
import type { Layer, Surroundings } from "../../lib/settings/types.ts";
import { isAws } from "../../lib/core/endpoint.ts";

const AROUND: Surroundings = {
  hostName: "gw-7",
  certs: "./certs",
  sourcesProblem: (specs) => specs.length === 0 ? "must name at least one source" : undefined,
};

function flags(values: Layer["values"]): Layer {
  return { origin: "flag", name: "", values };
}

function file(values: Layer["values"]): Layer {
  return { origin: "file", name: "mqtt443.json", values };
}

function merged(layers: readonly Layer[], around: Partial<Surroundings> = {}) {
  return mergeSettings(layers, { ...AROUND, ...around }, { needEndpoint: false });
}

function problemsOf(layers: readonly Layer[], around: Partial<Surroundings> = {}): string[] {
  const error = assertThrows(() => merged(layers, around), UserError);
  assertEquals([error.exitCode, error.step], [78, "settings"]);
  return [...error.problems];
}

Deno.test("settings are the documented defaults if nothing is given", () => {
  assertEquals(merged([]).settings, {
    endpoint: "",
    port: 443,
    alpn: "x-amzn-mqtt-ca",
    mqttVersion: "5",
    clientId: "gw-7",
    certs: "./certs",
    ca: undefined,
    cert: undefined,
    key: undefined,
    keyPassphraseFile: undefined,
    username: undefined,
    passwordFile: undefined,
    proxy: undefined,
    proxyAuthFile: undefined,
    proxyCa: undefined,
    topic: "dt/mqtt443/gw-7/telemetry",
    qos: 1,
    interval: 10_000,
    count: undefined,
    source: ["system"],
    only: undefined,
    except: undefined,
    tags: undefined,
    listen: undefined,
    listenMode: "0660",
    topicPrefix: undefined,
    statusTopic: undefined,
    statusFile: undefined,
    format: "json",
    pack: undefined,
    packAs: "samples",
    packWait: 0,
    message: undefined,
    giveUpAfter: 30_000,
    keepAlive: 60_000,
    tlsMin: "1.2",
    connectTimeout: 15_000,
    ackTimeout: 20_000,
    backoffMax: 120_000,
    state: "./state",
    queueMaxMessages: 100_000,
    queueMaxBytes: 64 * 1024 ** 2,
    queueMaxAge: undefined,
    queueFull: "drop-oldest",
    durability: "power",
    drainRate: undefined,
    maxRate: undefined,
    inflight: 20,
    logFormat: "text",
    logLevel: "info",
  });
});

Deno.test("settings are frozen", () => {
  assert(Object.isFrozen(merged([]).settings));
});

Deno.test("a later layer wins over an earlier one, and the origin says which", () => {
  const layers = [
    file({ port: 1, qos: 0, inflight: 5 }),
    environmentLayer({ MQTT443_PORT: "2", MQTT443_QOS: "1" }, []),
    flags({ port: "3" }),
  ];
  const { settings, origins } = merged(layers);
  assertEquals([settings.port, settings.qos, settings.inflight], [3, 1, 5]);
  assertEquals(origins, {
    port: { origin: "flag", from: "--port" },
    qos: { origin: "environment", from: "MQTT443_QOS" },
    inflight: { origin: "file", from: "mqtt443.json" },
  });
});

Deno.test("settings report every problem at once, each with its layer (G7)", () => {
  const problems = problemsOf([
    file({ interval: "0s", porrt: 1 }),
    environmentLayer({ MQTT443_KEEP_ALIVE: "29s", MQTT443_TOPICS: "x" }, []),
    flags({ qos: "2" }),
  ]);
  assertEquals(problems, [
    'interval: must be from 100ms to 24h: current value is "0s" (from mqtt443.json)',
    '"porrt": unknown setting (did you mean "port"?) (from mqtt443.json)',
    'keepAlive: must be from 30s to 1200s: current value is "29s" (from MQTT443_KEEP_ALIVE)',
    'MQTT443_TOPICS: unknown variable (did you mean "MQTT443_TOPIC"?) (from the environment)',
    'qos: must be a whole number from 0 to 1: current value is "2" (from --qos)',
  ]);
});

Deno.test("a wrong value is a problem even where a later layer overrides it", () => {
  assertEquals(problemsOf([file({ port: "x" }), flags({ port: "1" })]).length, 1);
});

Deno.test("an endpoint is required only by those who connect", () => {
  const need = (values: Layer["values"]) =>
    mergeSettings([flags(values)], AROUND, { needEndpoint: true });
  const error = assertThrows(() => need({}), UserError);
  assertMatch(error.problems.join(), /^endpoint: required: .*MQTT443_ENDPOINT or --endpoint HOST$/);
  assertEquals(need({ endpoint: "gw.example" }).settings.endpoint, "gw.example");
});

Deno.test("a wrong endpoint is not reported as missing too", () => {
  const error = assertThrows(
    () => mergeSettings([flags({ endpoint: "a b" })], AROUND, { needEndpoint: true }),
    UserError,
  );
  assertEquals(error.problems.length, 1);
});

Deno.test("ALPN is none by default on port 8883 alone", () => {
  const alpn = (values: Layer["values"]) => merged([flags(values)]).settings.alpn;
  assertEquals(alpn({ port: "8883" }), undefined);
  assertEquals(alpn({ port: "8443" }), "x-amzn-mqtt-ca");
  assertEquals(alpn({ port: "8883", alpn: "mqtt" }), "mqtt");
  assertEquals(alpn({ alpn: "none" }), undefined);
});

Deno.test("AWS's limit of 100 messages a second is the default there, and a bound", () => {
  const endpoint = "abc-ats.iot.eu-central-1.amazonaws.com";
  assertEquals(merged([flags({ endpoint })]).settings.maxRate, 100);
  assertEquals(problemsOf([flags({ endpoint, maxRate: "101", inflight: "101" })]), [
    'maxRate: must be at most 100 on AWS IoT Core: current value is "101" (from --max-rate)',
    'inflight: must be at most 100 on AWS IoT Core: current value is "101" (from --inflight)',
  ]);
  assertEquals(merged([flags({ maxRate: "101", inflight: "101" })]).settings.maxRate, 101);
});

Deno.test("isAws knows AWS's names and no others", () => {
  const names = ["x.iot.eu-west-1.amazonaws.com", "x.AMAZONAWS.com.cn", "x.amazonaws.com."];
  assertEquals(names.map(isAws), [true, true, true]);
  const others = ["amazonaws.com.evil.example", "notamazonaws.com", "localhost", ""];
  assertEquals(others.map(isAws), [false, false, false, false]);
});

Deno.test("the topic is checked with the client id in it", () => {
  const clientId = "a/b/c/d/e/f";
  assertMatch(problemsOf([flags({ clientId })])[0]!, /^topic: .*7 slashes.*\(from default\)$/);
  assertMatch(
    problemsOf([flags({ clientId, topic: "x/y/{clientId}/z" })])[0]!,
    /^topic: .*7 slashes.*\(from --topic\)$/,
  );
});

Deno.test("a host name that is no client id is refused by name", () => {
  for (const hostName of ["", "a+b", "$x", "x".repeat(129)]) {
    assertMatch(problemsOf([], { hostName })[0]!, /^clientId: .*\(from the host name\)$/);
  }
  assertEquals(merged([flags({ clientId: "gw" })], { hostName: "a+b" }).settings.clientId, "gw");
});

Deno.test("a problem of the sources is one of the settings", () => {
  assertEquals(problemsOf([flags({ source: "" })]), [
    'source: must name at least one source: current value is "[]" (from --source)',
  ]);
});

Deno.test("file values may be numbers, and lists for source", () => {
  const { settings } = merged([file({ port: 8443, mqttVersion: 5, source: ["clock", "system"] })]);
  assertEquals([settings.port, settings.mqttVersion, settings.source], [
    8443,
    "5",
    ["clock", "system"],
  ]);
});

Deno.test("null in the file is none, where none means nothing", () => {
  const keys = ["alpn", "count", "queueMaxAge", "drainRate", "maxRate", "keyPassphraseFile"];
  const values = Object.fromEntries(keys.map((key) => [key, null]));
  const { settings } = merged([file(values)]);
  for (const key of keys) assertEquals(settings[key as keyof typeof settings], undefined, key);
});

Deno.test("null in the file does not turn durability off, nor becomes a text", () => {
  for (const key of ["durability", "port", "topic", "clientId"]) {
    assertMatch(problemsOf([file({ [key]: null })])[0]!, /must be a text or a number/);
  }
});

Deno.test("file values of a wrong type are refused by name (G6)", () => {
  for (const value of [true, {}, [], ["a"], [[1]], { port: 1 }]) {
    assertMatch(
      problemsOf([file({ port: value })])[0]!,
      /^port: must be a text or a number: current value is .* \(from mqtt443.json\)$/,
    );
  }
});

Deno.test("__proto__ and its like are unknown settings and change nothing (G6)", () => {
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const layer = fileLayer("f.json", `{"${key}": {"port": 1, "polluted": true}}`);
    assertEquals(problemsOf([layer]), [`"${key}": unknown setting (from f.json)`]);
  }
  assertEquals(({} as { polluted?: unknown }).polluted, undefined);
});

Deno.test("fileLayer lets a byte order mark by", () => {
  assertEquals(fileLayer("f.json", '\uFEFF{"port": 1}').values, { port: 1 });
});

Deno.test("fileLayer takes comments, trailing commas, and a $schema for editors", () => {
  const text = `{ // the site
    "$schema": "./mqtt443.schema.json",
    /* of two
       lines */ "topic": "a//b/*c*/", "source": ["clock", "system",],
    "message": "say \\"//\\"",
  }
  // end`;
  assertEquals(fileLayer("f.json", text).values, {
    topic: "a//b/*c*/",
    source: ["clock", "system"],
    message: 'say "//"',
  });
});

Deno.test("fileLayer names the line at which a file stops being JSON (G6)", () => {
  const cases: [text: string, line: number][] = [
    ["", 1],
    ['{"a": 1,,}', 1],
    ['{\n"a": 1,\n]', 3],
    ['{\n"a": 1\n"b": 2\n}', 3],
    ['{\n  "a": tru,\n  "b": 1\n}', 2],
    ['{\n  "a": "x\n"}', 2],
    ["{\n  'a': 1}", 2],
    ['{\n\n  / endpoint\n  "a": 1}', 3],
    ['{ /* a\n b */\n  // "c"\r\n  "a": tru }', 4],
    ['{\n"a": [1, // one\n2, /* two */ ],\n"b" }', 4],
    ['{"a": 1}\n/* never closed\n', 2],
    ['{"a": 1}\n\nmore', 3],
    ['{\n"a": {"b": [1, 2\n', 2],
    ['\uFEFF{\n"a": 01}', 2],
  ];
  for (const [text, line] of cases) {
    const error = assertThrows(() => fileLayer("f.json", text), UserError);
    assertMatch(
      error.message,
      new RegExp(`^Cannot read settings file "f.json": not JSON: line ${line}: [A-Z]`),
      text,
    );
  }
});

Deno.test("fileLayer quotes nothing of a file that is no settings file (S1)", () => {
  const secrets = ["MARKED-SECRET", '{"a": MARKED-SECRET}', '{"a": "x"} MARKED-SECRET'];
  for (const text of secrets) {
    const error = assertThrows(() => fileLayer("f.json", text), UserError);
    assertEquals(error.message.includes("MARKED"), false, error.message);
  }
});

Deno.test("fileLayer refuses JSON that is no object", () => {
  for (const text of ["[]", "null", "1", '"a"']) {
    assertThrows(() => fileLayer("f.json", text), UserError, "must hold one JSON object");
  }
});

Deno.test("environmentLayer takes our variables only, and leaves the known others", () => {
  const layer = environmentLayer(
    { MQTT443_ACK_TIMEOUT: "5s", MQTT443_CONFIG: "f.json", PATH: "/bin", MQTT44_PORT: "1" },
    ["MQTT443_CONFIG"],
  );
  assertEquals(layer.values, { ackTimeout: "5s" });
});

Deno.test("settingsDocument shows values as in the file, with their origin", () => {
  const document = settingsDocument(merged([file({ interval: "1500ms" }), flags({ qos: "0" })]));
  assertEquals(document.interval, { value: "1.5s", origin: "file", from: "mqtt443.json" });
  assertEquals(document.qos, { value: 0, origin: "flag", from: "--qos" });
  assertEquals(document.port, { value: 443, origin: "default" });
  assertEquals(document.endpoint, { value: null, origin: "default" });
  assertEquals(document.count, { value: null, origin: "default" });
});

Deno.test("what settingsDocument shows of given settings means the same in a file", () => {
  const given = flags({
    interval: "100001ms",
    queueMaxBytes: "131073B",
    alpn: "none",
    queueMaxAge: "none",
    source: "clock,system",
  });
  const first = merged([given]);
  const shown = Object.entries(settingsDocument(first))
    .filter(([, { origin }]) => origin === "flag").map(([key, { value }]) => [key, value]);
  assertEquals(merged([file(Object.fromEntries(shown))]).settings, first.settings);
});

Deno.test("statusTopic is a topic of its own, with the client id in it, and none of the broker's", () => {
  const { settings } = merged([file({ clientId: "gw-8", statusTopic: "st/{clientId}" })]);
  assertEquals(settings.statusTopic, "st/gw-8");
  assertEquals(merged([file({ statusTopic: null })]).settings.statusTopic, undefined);
  for (
    const [statusTopic, problem] of [
      ["$aws/rules/x/y", "must not begin with $"],
      ["st/+", "must hold no wildcard"],
      ["dt/mqtt443/gw-7/telemetry", "must not be the topic"],
    ] as const
  ) {
    const [told, ...others] = problemsOf([file({ statusTopic })]);
    assertEquals(others, []);
    assertStringIncludes(told!, `statusTopic: ${problem}`);
  }
});
