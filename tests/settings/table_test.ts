import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { settingsHelp } from "../../lib/commands/help.ts";
import { environmentLayer, mergeSettings } from "../../lib/settings/merge.ts";
import { fileLayer } from "../../lib/settings/file.ts";
import type { Surroundings } from "../../lib/settings/types.ts";
import { flagOf, SETTINGS, variableOf } from "../../lib/settings/table.ts";
import { clientIdProblem, endpointProblem } from "../../lib/settings/texts.ts";

const AROUND: Surroundings = {
  hostName: "gw-7",
  certs: "./certs",
  sourcesProblem: () => undefined,
};
/** A value that is not the default. */
const OTHER: Record<string, string> = {
  endpoint: "gw.example",
  port: "8443",
  alpn: "mqtt",
  mqttVersion: "3.1.1",
  clientId: "gw-8",
  certs: "/c",
  ca: "/c/ca.pem",
  cert: "/c/cert.pem",
  key: "/c/key.pem",
  keyPassphraseFile: "/c/pass",
  username: "gw",
  passwordFile: "/c/password",
  proxy: "http://10.0.0.1:3128",
  proxyAuthFile: "/c/proxy-auth",
  proxyCa: "/c/proxy-ca.pem",
  topic: "a/b",
  qos: "0",
  interval: "1s",
  count: "3",
  source: "clock",
  only: "cpu_*,disk_used_bytes",
  except: "*_15m",
  tags: "site=Nürnberg 1,line=a=b",
  listen: "/run/in.sock",
  listenMode: "0600",
  topicPrefix: "a/b",
  statusTopic: "a/status",
  statusFile: "/s/status.json",
  format: "text",
  pack: "5KiB",
  packAs: "columns",
  packWait: "1m",
  message: "hello",
  giveUpAfter: "1m",
  keepAlive: "30s",
  tlsMin: "1.3",
  connectTimeout: "1s",
  ackTimeout: "1s",
  backoffMax: "1s",
  state: "/s",
  queueMaxMessages: "5",
  queueMaxBytes: "1MiB",
  queueMaxAge: "1h",
  queueFull: "drop-newest",
  durability: "crash",
  drainRate: "7",
  maxRate: "8",
  inflight: "9",
  logFormat: "json",
  logLevel: "debug",
};

for (const { key, parse } of SETTINGS) {
  Deno.test(`setting ${key} can be given as flag, variable and file value`, () => {
    const text = OTHER[key]!;
    const layers = [
      parseCommand(["publish", flagOf(key), text]).flags,
      parseCommand(["publish", `${flagOf(key)}=${text}`]).flags,
      environmentLayer({ [variableOf(key)]: text }, []),
      fileLayer("f.json", JSON.stringify({ [key]: text })),
    ];
    for (const layer of layers) {
      const { settings, origins } = mergeSettings([layer], AROUND, { needEndpoint: false });
      assertEquals(settings[key as keyof typeof settings], parse(text), layer.origin);
      assertEquals(origins[key]?.origin, layer.origin);
    }
  });
}

Deno.test("every setting has another value in this test", () => {
  assertEquals(Object.keys(OTHER), SETTINGS.map(({ key }) => key));
});

Deno.test("the table's defaults parse with the table's own parsers", () => {
  for (const spec of SETTINGS.filter(({ compute }) => !compute)) spec.parse(spec.default);
});

Deno.test("the table's examples parse with the table's own parsers", () => {
  for (const spec of SETTINGS) spec.parse(spec.example);
});

Deno.test("the bounds that the table names are those that its parsers keep", () => {
  const ranges = SETTINGS.flatMap((spec) => {
    const [, least, most] = /^(\d\w*)-(\d\w*)(?:, or none)?(?:;|$)/.exec(spec.allowed) ?? [];
    return least === undefined || spec.key === "clientId" ? [] : [{ spec, least, most: most! }];
  });
  assertEquals(ranges.length, 16);
  for (const { spec, least, most } of ranges) {
    spec.parse(least);
    spec.parse(most);
    const above = most.replace(/^\d+/, (number) => String(Number(number) + 1));
    assertThrows(() => spec.parse(above), RangeError, "to", spec.key);
  }
});

Deno.test("the bounds that AWS sets are in the table", () => {
  const bounded = SETTINGS.filter(({ awsMax }) => awsMax !== undefined);
  assertEquals(bounded.map(({ key, allowed }) => [key, allowed]), [
    ["maxRate", "1-100000, or none; at most 100 on *.amazonaws.com"],
    ["inflight", "1-1000; at most 100 on *.amazonaws.com"],
  ]);
});

Deno.test("settings that may be none say so, and no others", () => {
  for (const { key, allowed, parse, mayBeNone = false } of SETTINGS) {
    const takesNone = (() => {
      try {
        return parse("none") === undefined;
      } catch {
        return false;
      }
    })();
    assertEquals(takesNone, mayBeNone, key);
    assertEquals(/, or none(;|$)/.test(allowed), mayBeNone, key);
  }
});

Deno.test("flags and variables are made from the key", () => {
  assertEquals(flagOf("keyPassphraseFile"), "--key-passphrase-file");
  assertEquals(variableOf("keyPassphraseFile"), "MQTT443_KEY_PASSPHRASE_FILE");
  assertEquals([flagOf("qos"), variableOf("qos")], ["--qos", "MQTT443_QOS"]);
});

Deno.test("every setting is in the help with flag, variable, range and default", () => {
  const help = settingsHelp().replace(/\s+/g, " ");
  for (const { key, allowed, default: fallback, sentence } of SETTINGS) {
    for (const part of [flagOf(key), variableOf(key), allowed, fallback, sentence]) {
      assert(help.includes(part), `${key}: ${part}`);
    }
  }
});

Deno.test("hosts and addresses are endpoints", () => {
  const good = [
    "abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com",
    "localhost",
    "gw_1.plant.example.",
    "10.0.0.1",
    "::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "x".repeat(63),
  ];
  for (const text of good) assertEquals(endpointProblem(text), undefined, text);
});

Deno.test("what is no host alone is no endpoint, and the rule says why (G7)", () => {
  const cases: [text: string, rule: RegExp][] = [
    ["mqtts://gw.example", /without a scheme/],
    ["user@gw.example", /without a user/],
    ["user:pass@gw.example", /without a user/],
    ["gw.example/mqtt", /without a path/],
    ["gw.example?x", /without a path/],
    ["gw.example:8883", /give the port with --port/],
    ["10.0.0.1:8883", /give the port with --port/],
    ["cafe:8883", /give the port with --port/],
    ["[::1]:8883", /give the port with --port/],
    ["[::1]", /without brackets/],
    ["gw.example\r\nx", /letters, digits/],
    ["gw.example\0", /letters, digits/],
    ["gw example", /letters, digits/],
    ["", /letters, digits/],
    [".", /letters, digits/],
    ["-gw.example", /letters, digits/],
    ["*.example", /letters, digits/],
    ["gẃ.example", /letters, digits/],
    ["1::2::3", /host name or IP address alone/],
    ["x".repeat(64), /letters, digits/],
    ["x.".repeat(127), /at most 253/],
  ];
  for (const [text, rule] of cases) {
    const problem = endpointProblem(text) ?? "none";
    assertMatch(problem, rule, text);
    assertMatch(problem, /^must be a host name or IP address alone/);
  }
});

Deno.test("client ids keep AWS's and MQTT's rules (G7)", () => {
  for (const good of ["gw-7", "a", "x".repeat(128), "ü".repeat(64), "a/b", "a$b", "a b"]) {
    assertEquals(clientIdProblem(good), undefined, good);
  }
  const bad: [text: string, rule: RegExp][] = [
    ["", /from 1 to 128 bytes of UTF-8, and is 0/],
    ["x".repeat(129), /from 1 to 128 bytes of UTF-8, and is 129/],
    ["ü".repeat(65), /and is 130/],
    ["$gw", /must not start with \$/],
    ["a+b", /must not hold #, \+ or NUL/],
    ["a#", /must not hold #, \+ or NUL/],
    ["a\0", /must not hold #, \+ or NUL/],
    ["a\nb", /control characters/],
    ["\udc00", /valid Unicode/],
  ];
  for (const [text, rule] of bad) assertMatch(clientIdProblem(text) ?? "none", rule);
});

Deno.test("a message larger than AWS takes is refused at the door (P7)", () => {
  const { parse } = SETTINGS.find(({ key }) => key === "message")!;
  assertEquals(parse("x".repeat(131_072)), "x".repeat(131_072));
  for (const text of ["x".repeat(131_073), "ü".repeat(65_537)]) {
    assertThrows(() => parse(text), RangeError, "must be at most 131072 bytes");
  }
});

Deno.test("an address that is none, and a name that ends in a number, are refused as endpoint (D17)", () => {
  const endpoint = SETTINGS.find(({ key }) => key === "endpoint")!;
  for (const wrong of ["999.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.0.0.1"]) {
    assertThrows(() => endpoint.parse(wrong), RangeError, "four numbers from 0 to 255");
  }
  for (const right of ["192.0.2.1", "10.0.0.255", "gw1.example", "1a.2b"]) endpoint.parse(right);
});
