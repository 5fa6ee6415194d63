/**
 * The command line as a table: what is typed, and the exit code and words that come of it. These are the cases that
 * need no certificates; cli_table_refused_test.ts holds those that would publish if they were not refused,
 * cli_table_process_test.ts those that need a process of their own.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { COMMANDS } from "../../lib/commands/table.ts";
import { helpText } from "../../lib/commands/help.ts";
import { SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import { SETTINGS } from "../../lib/settings/table.ts";
import { assertTold, inFolder, run, runHere } from "../support/command_line.ts";
import { messages, OPTIONS } from "../support/queueing.ts";

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
    says: [/the command comes first/, /hint: type `mqtt443 publish --endpoint HOST`/],
  },
  "the flags of mosquitto_pub without a command (F20)": {
    args: ["-h", "gw.example", "-t", "a", "-m", "x"],
    says: [/"-h": the command comes first/],
  },
  "a host behind -h, which is help (F20)": {
    args: ["publish", "--message", "x", "-h", "gw.example"],
    says: [/^ {2}"-h" is help here; for a host type --endpoint HOST$/m],
  },
  "the flags of mosquitto_pub (F20)": {
    args: ["publish", "-m", "x", "-q1", "-h", "gw.example", "-p", "8883", "--cafile", "ca.pem"],
    says: [
      /^ {2}"-m" \(here it is --message TEXT\)$/m,
      /^ {2}"-q" \(here it is --qos QOS\)$/m,
      /^ {2}"-h" is help here; for a host type --endpoint HOST$/m,
      /^ {2}"-p" \(here it is --port PORT\)$/m,
      /^ {2}"--cafile" \(here it is --ca FILE\)$/m,
    ],
  },
  "flags of one letter, though the last of them asks for help (F20)": {
    args: ["publish", "-m", "x", "-h"],
    says: [/^ {2}"-m" /m],
  },
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

Deno.test("--help with the name of a command prints its help", async () => {
  assertEquals(await run(["--help", "publish"]), await run(["help", "publish"]));
});

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
    const values = '"$schema": "x", "qos": 0, "topic": "a/b", /* slow */ "interval": "5s",';
    await Deno.writeTextFile(config, `{ // one site\n${values}\n}`);
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
    const sorted = (text: string) => text.split("\n").sort();
    // Variables have no order.
    assertEquals({ ...outcome, stderr: sorted(outcome.stderr) }, {
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
      ].sort(),
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

for (const args of [["queue"], ["queue", "--json"], ["queue", "clear", "--yes"]]) {
  Deno.test(`${args.join(" ")} says that there is no queue where there is none, and makes none (F20)`, async () => {
    await inFolder(async (folder) => {
      const state = `${folder}/state`;
      const outcome = await run([...args, "--state", state]);
      assertTold(outcome);
      assertEquals(outcome.code, 73);
      assertMatch(outcome.stderr, /^error: No queue here: there is no ".*\/state\/queue\.db"$/m);
      const none = await run([...args, "--state", state, "--durability", "none"]);
      assertMatch(
        none.stderr,
        /^error: No queue here: with durability none nothing is kept on disk$/m,
      );
      assertEquals([...Deno.readDirSync(folder)], []);
    });
  });
}

Deno.test("queue whose first message is still to come is empty", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/queue.db`, "", { mode: 0o600 });
    await Deno.chmod(folder, 0o700);
    const { code, stdout, stderr } = await run(["queue", "--json", "--state", folder]);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout), {
      waiting: 0,
      bytes: 0,
      oldest: null,
      quarantined: 0,
      dropped: 0,
      handedIn: 0,
      refused: 0,
    });
    const cleared = await run(["queue", "clear", "--yes", "--state", folder]);
    assertEquals(cleared, { code: 0, stdout: "discarded: 0\n", stderr: "" });
  });
});

Deno.test("queue clear discards what waits, with the grants that users have (F20)", async () => {
  await inFolder(async (folder) => {
    const queue = new SqliteQueue(`${folder}/queue.db`, OPTIONS);
    queue.put(messages(3));
    queue.close();
    await Deno.chmod(`${folder}/queue.db`, 0o600);
    const cleared = await run(["queue", "clear", "--yes", "--state", folder]);
    assertEquals(cleared, { code: 0, stdout: "discarded: 3\n", stderr: "" });
    const { stdout } = await run(["queue", "--json", "--state", folder]);
    assertEquals(JSON.parse(stdout).waiting, 0);
  });
});

Deno.test("queue clear discards nothing without --yes or an answer", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/queue.db`, "", { mode: 0o600 });
    const outcome = await run(["queue", "clear", "--state", folder]);
    assertTold(outcome);
    assertMatch(outcome.stderr, /without confirmation\nhint: .*type the same again with --yes/);
    assertEquals(outcome.code, 64);
    const refused = await runHere(["queue", "clear", "--state", folder], { answer: false });
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
