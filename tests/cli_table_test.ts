/**
 * The command line as a table: what is typed, and the exit code and words that come of it. These are the cases that
 * need no certificates; cli_table_refused_test.ts holds those that would publish if they were not refused,
 * cli_table_process_test.ts those that need a process of their own.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { COMMANDS } from "../lib/cli.ts";
import { helpText } from "../lib/help.ts";
import { SETTINGS } from "../lib/settings_table.ts";
import { assertTold, inFolder, run, runHere } from "./command_line.ts";

interface Refusal {
  readonly args: readonly string[];
  readonly says: readonly RegExp[];
}

const MISUSES: Record<string, Refusal> = {
  "an unknown command": {
    args: ["publsh"],
    says: [/^error: Cannot run "publsh": unknown command \(did you mean "publish"\?\)$/m],
  },
  "a flag instead of a command": {
    args: ["--endpoint", "x"],
    says: [/the command comes first/, /hint: the commands are publish, /],
  },
  "an unknown flag": {
    args: ["publish", "--keepalive", "60s"],
    says: [
      /^ {2}"--keepalive" \(did you mean "--keep-alive"\?\)$/m,
      /hint: `mqtt443 help publish`/,
    ],
  },
  "several unknown flags": {
    args: ["settings", "--bananas", "--prot", "1"],
    says: [/"--bananas"$/m, /"--prot" \(did you mean "--port"\?\)/],
  },
  "a flag given twice": {
    args: ["settings", "--port", "1", "--port=2"],
    says: [/Cannot use --port twice/],
  },
  "a missing value at the end": {
    args: ["publish", "--endpoint"],
    says: [/Cannot use --endpoint: its value is missing/, /type --endpoint=VALUE/],
  },
  "a missing value before a flag": {
    args: ["publish", "--endpoint", "--port", "1"],
    says: [/Cannot use --endpoint: its value is missing/],
  },
  "a switch with a value": { args: ["queue", "--json=no"], says: [/--json takes no value/] },
  "a flag of another command": { args: ["queue", "--dry-run"], says: [/"--dry-run"/] },
  "an operand too many": { args: ["settings", "port"], says: [/unexpected "port"/, /usage: /] },
  "watch without a topic": { args: ["watch"], says: [/TOPIC is missing/] },
  "an unknown help": { args: ["help", "publsh"], says: [/did you mean "publish"/] },
  "an unknown verb of queue": {
    args: ["queue", "claer", "--state", "/nonexistent"],
    says: [/Cannot run queue "claer"/, /mqtt443 queue clear/],
  },
  "a passphrase as a flag": {
    args: ["publish", "--key-passphrase", "MARKED-SECRET"],
    says: [/"--key-passphrase"/],
  },
};

for (const [name, { args, says }] of Object.entries(MISUSES)) {
  Deno.test(`command line refuses ${name} with exit code 64`, async () => {
    const outcome = await run(args);
    assertTold(outcome, name);
    assertEquals(outcome.code, 64);
    for (const words of says) assertMatch(outcome.stderr, words);
    assertEquals(outcome.stderr.includes("MARKED-SECRET"), false);
  });
}

Deno.test("command line without a command prints the help on stderr and exits 64", async () => {
  assertEquals(await run([]), { code: 64, stdout: "", stderr: `${helpText("")}\n` });
});

for (const name of ["", ...COMMANDS]) {
  Deno.test(`${name} --help prints its help on stdout and exits 0`, async () => {
    const outcome = { code: 0, stdout: `${helpText(name)}\n`, stderr: "" };
    const words = name === "" ? [] : [name];
    assertEquals(await run([...words, "--help"]), outcome);
    assertEquals(await run([...words, "-h"]), outcome);
    assertEquals(await run(["help", ...words]), outcome);
  });
}

Deno.test("help asks no settings, which may be wrong", async () => {
  const { code } = await run(["publish", "--help"], { env: { MQTT443_PORT: "x" } });
  assertEquals(code, 0);
});

Deno.test("settings prints every setting, once, with its origin", async () => {
  const { code, stdout, stderr } = await run(["settings", "--port", "8443"]);
  const keys = stdout.trimEnd().split("\n").map((line) => line.split(" ")[0]);
  assertEquals([code, stderr, keys], [0, "", SETTINGS.map(({ key }) => key)]);
  assertMatch(stdout, /^port +8443 +--port$/m);
  assertMatch(stdout, /^endpoint +- +default$/m);
});

Deno.test("settings keeps its lines whatever a value holds", async () => {
  const { stdout } = await run(["settings", "--message", "a\nport 1\u001b[2J"]);
  assertEquals(stdout.trimEnd().split("\n").length, SETTINGS.length);
  assertMatch(stdout, /^message +a\\nport 1\\u001b\[2J +--message$/m);
});

Deno.test("settings --json is a document with value and origin of every setting", async () => {
  await inFolder(async (folder) => {
    const config = `${folder}/a.json`;
    await Deno.writeTextFile(config, '{"qos": 0, "topic": "a/b", "interval": "5s"}');
    const { code, stdout, stderr } = await run(
      ["settings", "--json", "--config", config, "--interval", "2s"],
      { env: { MQTT443_TOPIC: "c/d", MQTT443_INTERVAL: "3s" } },
    );
    const document = JSON.parse(stdout);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(Object.keys(document), SETTINGS.map(({ key }) => key));
    assertEquals(document.qos, { value: 0, origin: "file", from: config });
    assertEquals(document.topic, { value: "c/d", origin: "environment", from: "MQTT443_TOPIC" });
    assertEquals(document.interval, { value: "2s", origin: "flag", from: "--interval" });
    assertEquals(document.port, { value: 443, origin: "default" });
  });
});

Deno.test("every problem of every layer is told in one error", async () => {
  await inFolder(async (folder) => {
    const config = `${folder}/a.json`;
    await Deno.writeTextFile(config, '{"interval": "0s", "topik": "a"}');
    const outcome = await run(["publish", "--config", config, "--qos", "2"], {
      env: { MQTT443_KEEP_ALIVE: "29s", MQTT443_TOPICS: "x" },
    });
    assertEquals(outcome, {
      code: 78,
      stdout: "",
      stderr: [
        "error: Cannot use these settings: 6 problems",
        `  interval: must be from 100ms to 24h: current value is "0s" (from ${config})`,
        `  "topik": unknown setting (did you mean "topic"?) (from ${config})`,
        '  keepAlive: must be from 30s to 1200s: current value is "29s" (from MQTT443_KEEP_ALIVE)',
        '  MQTT443_TOPICS: unknown variable (did you mean "MQTT443_TOPIC"?) (from the environment)',
        '  qos: must be a whole number from 0 to 1: current value is "2" (from --qos)',
        "  endpoint: required: set it in the file, MQTT443_ENDPOINT or --endpoint HOST",
        "hint: correct them where they came from; `mqtt443 help settings` lists all settings",
        "",
      ].join("\n"),
    });
  });
});

Deno.test("version --json holds what scripts look for", async () => {
  const { code, stdout, stderr } = await run(["version", "--json"]);
  const { version, deno, v8, alpn, tls } = JSON.parse(stdout);
  assertEquals([code, stderr, deno, alpn], [0, "", Deno.version.deno, true]);
  assertMatch(version, /^\d+\.\d+\.\d+/);
  assertEquals([v8, tls], [Deno.version.v8, ["TLSv1.2", "TLSv1.3"]]);
});

Deno.test("--version is version", async () => {
  assertEquals(await run(["--version"]), await run(["version"]));
});

Deno.test("queue of a state directory that is not there is empty, and makes none", async () => {
  await inFolder(async (folder) => {
    const state = `${folder}/state`;
    const { code, stdout, stderr } = await run(["queue", "--json", "--state", state]);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout), {
      waiting: 0,
      bytes: 0,
      oldest: null,
      quarantined: 0,
      dropped: 0,
    });
    const cleared = await run(["queue", "clear", "--yes", "--state", state]);
    assertEquals(cleared, { code: 0, stdout: "discarded: 0\n", stderr: "" });
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("queue clear discards nothing without --yes or an answer", async () => {
  await inFolder(async (folder) => {
    const state = `${folder}/state`;
    const outcome = await run(["queue", "clear", "--state", state]);
    assertTold(outcome);
    assertMatch(outcome.stderr, /nobody was asked\nhint: type `mqtt443 queue clear --yes`/);
    assertEquals(outcome.code, 64);
    const refused = await runHere(["queue", "clear", "--state", state], { answer: false });
    assertEquals(refused, { code: 0, stdout: "", stderr: "" });
  });
});

Deno.test("publish --dry-run prints what it would send, and makes no state directory", async () => {
  await inFolder(async (folder) => {
    const outcome = await run([
      "publish",
      "--dry-run",
      "--source=clock",
      "--format=text",
      "--topic=test/date",
      "--state",
      `${folder}/state`,
    ]);
    assertMatch(outcome.stdout, /^test\/date \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\n$/);
    assertEquals([outcome.code, outcome.stderr], [0, ""]);
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("publish --dry-run of standard input prints a line a line", async () => {
  const { code, stdout } = await run(
    ["publish", "--dry-run", "--source", "stdin", "--topic", "a", "--format", "text"],
    { input: "one\n\ntwo\n" },
  );
  assertEquals([code, stdout], [0, "a one\na two\n"]);
});
