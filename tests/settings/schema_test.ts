/** The JSON Schema of the settings file: it takes and refuses what the program does. */

import { assert, assertEquals } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import { sampleFile } from "../../lib/commands/help.ts";
import { UserError } from "../../lib/core/errors.ts";
import { mergeSettings } from "../../lib/settings/merge.ts";
import { fileLayer } from "../../lib/settings/file.ts";
import { settingsSchema } from "../../lib/settings/schema.ts";
import { SETTINGS } from "../../lib/settings/table.ts";
import { run } from "../support/command_line.ts";

const AROUND = {
  hostName: "gw-7",
  certs: "./certs",
  sourcesProblem: (specs: readonly string[]) =>
    specs.length > 0 && specs.every((spec) => /^[a-z]/.test(spec)) ? undefined : "must have names",
};
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, unicodeRegExp: true });
ajvFormats.default(ajv);
const validate = ajv.compile(settingsSchema());

/** What `source none` needs: no schema of one key says that. */
const WITH_SOCKET = fileLayer("socket.json", '{"listen":"/run/in.sock"}');

function isTaken(text: string): boolean {
  try {
    mergeSettings([WITH_SOCKET, fileLayer("f.json", text)], AROUND, { needEndpoint: false });
    return true;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return false;
  }
}

/** Values of every form, and those at the edges of each kind. */
const VALUES: readonly unknown[] = [
  ...[null, true, false, {}, [], ["clock"], ["clock", 5], [null], [[]]],
  ...[0, 1, 2, 5, 1.2, 1.3, 1.5, 8443, 65_535, 65_536, 1000, 1001, 1e5, 100_001, 1e8, 1e9],
  ...[1e8 + 1, 1e9 + 1],
  ...["", " ", "none", "None", "null", "0", "1", "2", "007", "443", "65535", "65536", "0x10"],
  ...["1e3", "+1", "1.0", "-1", "1\n", "٣", "9".repeat(40), "0".repeat(40) + "5"],
  ...[
    "5",
    "3.1.1",
    "1.2",
    "1.3",
    "0600",
    "systemd",
    "/run/in.sock",
    "json",
    "text",
    "JSON",
    "drop-oldest",
    "power",
    "warn",
    "debug",
  ],
  ...[
    "99ms",
    "100ms",
    "99.9ms",
    "0.1s",
    "0.09s",
    "1s",
    "0.999999s",
    "1.5s",
    "10 s",
    "10",
    "s",
    ".5s",
  ],
  ...["30s", "29.9s", "1200s", "1200.1s", "20m", "0.333333h", "0.333334h", "2m", "120001ms", "5m"],
  ...["0.083333h", "1h", "60.000001m", "24h", "24.000001h", "86400000ms", "86400001ms", "8760h"],
  ...["8761h", "1d", "1S", "1.1234567s", "00010s", "1s1s", "1constructor", "999999999999999h"],
  ...[
    "128KiB",
    "127.9KiB",
    "131071B",
    "131072B",
    "0.125MiB",
    "0.000122GiB",
    "0.000123GiB",
    "64MiB",
  ],
  ...["64GiB", "65GiB", "68719476736B", "68719476737B", "64MB", "64mib", "1.5GiB"],
  ...["samples", "columns", "rows", "5KiB", "1KiB", "1023B", "0s", "0ms"],
  ...["x", "gw-7", "$x", "a$b", "a+b", "a#", "a\0", "a\nb", "ü", "\u0085", "é/ü"],
  ...["x".repeat(63), "x".repeat(64), "x".repeat(128), "x".repeat(129), "x".repeat(255)],
  ...["x".repeat(256), "x".repeat(257), "x".repeat(131_072), "x".repeat(131_073), "~".repeat(255)],
  ...["gw.example", "gw.example.", "gw..example", ".", "-gw", "gw-", "_a.b", "gẃ.example", "*.a"],
  ...["10.0.0.1", "::1", "2001:db8::1", "::ffff:10.0.0.1", "1::2::3", "[::1]", "gw:8883", "cafe:1"],
  ...[
    "mqtts://gw",
    "user@gw",
    "gw/x",
    "gw?x",
    "gw x",
    "x.".repeat(126) + "x",
    "x.".repeat(127) + "x",
  ],
  ...["a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h/i", "$aws/rules/r/1/2/3/4/5/6/7/8", "/", "{clientId}/a"],
  ...["$aws/rules/r/1/2/3/4/5/6/7/8/9", "$aws/rules//1/2/3/4/5/6", "a/#", "+"],
  ...["/c/pass", "./pass", "../pass", "...", "pass", ".pass", "..", "/", "/a\0", "/-----BEGIN KEY"],
  ...["-----BEGIN CERTIFICATE-----", "clock", "clock,system"],
  ...["http://proxy:3128", "https://[fd00::1]:1/", "socks5://10.0.0.1:65535", "http://a:65536"],
  ...["http://a", "http://a:0", "ftp://a:1", "http://a:1/b", "http://-a:1", "http://u:p@a:1"],
];

for (const { key } of SETTINGS) {
  Deno.test(`schema takes and refuses what the program does: ${key}`, () => {
    // The default topic holds the client id.
    const textOf = (value: unknown) => JSON.stringify({ topic: "a", [key]: value });
    const taken = VALUES.filter((value) => isTaken(textOf(value)));
    assert(taken.length > 0 && taken.length < VALUES.length);
    assertEquals(VALUES.filter((value) => validate(JSON.parse(textOf(value)))), taken);
  });
}

Deno.test("schema takes what JSON Schema cannot refuse, and the program does", () => {
  const more: Record<string, unknown>[] = [
    // Bytes of UTF-8, where it counts letters.
    { clientId: "ü".repeat(65) },
    { message: "ü".repeat(65_537) },
    // The names of sources, and rules between settings.
    { source: "clock,5" },
    { clientId: "a/b/c/d/e/f" },
    { endpoint: "x.amazonaws.com", inflight: 101 },
  ];
  for (const values of more) {
    const text = JSON.stringify(values);
    assertEquals([validate(values), isTaken(text)], [true, false], text);
  }
});

Deno.test("schema refuses unknown settings, and takes a $schema of any place", () => {
  for (
    const [text, isGood] of [
      ["{}", true],
      ['{"$schema": "./mqtt443.schema.json", "port": 443}', true],
      ['{"porrt": 443}', false],
      ["[]", false],
      ["null", false],
    ] as const
  ) {
    assertEquals([isTaken(text), validate(JSON.parse(text))], [isGood, isGood], text);
  }
});

Deno.test("schema takes the sample file, each default and each example", () => {
  assert(validate(JSON.parse(sampleFile())));
  const { properties } = settingsSchema() as {
    properties: Record<string, { default?: unknown; description: string }>;
  };
  for (const { key, example, compute, sentence } of SETTINGS) {
    const property = properties[key]!;
    assert(validate({ [key]: example }), key);
    assertEquals("default" in property, compute === undefined, key);
    assert(compute !== undefined || validate({ [key]: property.default }), key);
    assert(property.description.startsWith(sentence), key);
  }
});

Deno.test("schema and program take the settings file that the README shows, with its comments", () => {
  const page = Deno.readTextFileSync(new URL("../../lib/settings/README.md", import.meta.url));
  const text = /\n {4}\{\n[^]*?\n {4}\}\n/.exec(page)![0];
  assert(text.includes("// ") && text.includes("/* "));
  const { $schema, ...values } = { $schema: "x", ...fileLayer("f.json", text).values };
  assert(validate({ $schema, ...values }), JSON.stringify(validate.errors));
  const { settings } = mergeSettings([fileLayer("f.json", text)], AROUND, { needEndpoint: true });
  assertEquals([settings.interval, settings.queueMaxAge], [30_000, undefined]);
});

Deno.test("settings --schema prints the schema, whatever the settings are", async () => {
  for (const args of [["settings", "--schema"], ["settings", "--schema", "--port", "x"]]) {
    const { code, stdout, stderr } = await run(args);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout), JSON.parse(JSON.stringify(settingsSchema())));
  }
});
