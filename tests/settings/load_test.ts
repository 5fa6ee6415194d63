import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { UserError } from "../../lib/core/errors.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import { inFolder } from "../support/command_line.ts";
import { NO_SETTINGS } from "../support/program.ts";

function load(args: readonly string[], given: Record<string, string> = {}) {
  const env: Record<string, string> = { MQTT443_CONFIG: NO_SETTINGS, ...given };
  const world = {
    env: {
      get: (name: string) => env[name],
      set: () => {},
      delete: () => {},
      toObject: () => env,
    },
    hostName: () => "gw-7",
  };
  return loadSettings(parseCommand(["settings", ...args]), world, { needEndpoint: false });
}

function refusal(args: readonly string[], env: Record<string, string> = {}): UserError {
  const error = assertThrows(() => load(args, env), UserError);
  assertEquals([error.exitCode, error.step], [78, "settings"]);
  return error;
}

Deno.test("the settings file is the one that --config names", () =>
  inFolder((folder) => {
    const path = `${folder}/a.json`;
    Deno.writeTextFileSync(path, '{"port": 8443}');
    const { settings, origins, configPath } = load(["--config", path]);
    assertEquals([settings.port, configPath], [8443, path]);
    assertEquals(origins.port, { origin: "file", from: path });
  }));

Deno.test("MQTT443_CONFIG names the settings file, and --config goes before it", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/a.json`, '{"port": 1}');
    Deno.writeTextFileSync(`${folder}/b.json`, '{"port": 2}');
    const env = { MQTT443_CONFIG: `${folder}/a.json` };
    assertEquals(load([], env).settings.port, 1);
    assertEquals(load(["--config", `${folder}/b.json`], env).settings.port, 2);
  }));

Deno.test("flags go before variables, variables before the file", () =>
  inFolder((folder) => {
    const path = `${folder}/a.json`;
    Deno.writeTextFileSync(path, '{"port": 1, "qos": 0, "inflight": 5}');
    const { settings } = load(["--config", path, "--port", "3"], {
      MQTT443_PORT: "2",
      MQTT443_QOS: "1",
    });
    assertEquals([settings.port, settings.qos, settings.inflight], [3, 1, 5]);
  }));

Deno.test("a settings file that was named must be there", () => {
  const error = refusal(["--config", "/nonexistent/x.json"]);
  assertEquals(error.message, 'Cannot read settings file "/nonexistent/x.json": file not found');
  assertMatch(error.hint, /--config FILE/);
  refusal([], { MQTT443_CONFIG: "/nonexistent/x.json" });
  refusal(["--config="]);
});

Deno.test("a settings file of 100 MB is refused by its size, unread (G6)", () =>
  inFolder((folder) => {
    const path = `${folder}/big.json`;
    Deno.writeTextFileSync(path, "{");
    Deno.truncateSync(path, 100 * 1024 ** 2);
    assertMatch(
      refusal(["--config", path]).message,
      /it has 104857600 bytes, and no settings file/,
    );
  }));

Deno.test("a settings file is not a folder or a device", () => {
  for (const path of ["/", "/dev/zero"]) {
    assertMatch(refusal(["--config", path]).message, /it is not a regular file$/);
  }
});

Deno.test("bad UTF-8 in a settings file is refused with its line (G6)", () =>
  inFolder((folder) => {
    const path = `${folder}/bad.json`;
    const text = new TextEncoder().encode('{\n"topic": "a",\n"clientId": "X"}');
    text[text.lastIndexOf(0x58)] = 0xff;
    Deno.writeFileSync(path, text);
    assertMatch(refusal(["--config", path]).message, /: line 3 is not valid UTF-8$/);
  }));

Deno.test("a settings file may begin with a byte order mark", () =>
  inFolder((folder) => {
    const path = `${folder}/bom.json`;
    Deno.writeTextFileSync(path, '\uFEFF{"port": 8443}');
    assertEquals(load(["--config", path]).settings.port, 8443);
  }));

Deno.test("JSON nested as deep as the file may be is refused in words (G6)", () =>
  inFolder((folder) => {
    const path = `${folder}/deep.json`;
    const nested = (open: string, close: string, depth: number) =>
      open.repeat(depth) + close.repeat(depth);
    const documents = [
      nested("[", "]", 100_000),
      `{"endpoint":${nested("[", "]", 200_000)}}`,
      `{"source":${nested("[", "]", 100_000)}}`,
      `{"a":`.repeat(100_000) + "1" + "}".repeat(100_000),
      "[".repeat(500_000),
    ];
    for (const text of documents) {
      Deno.writeTextFileSync(path, text);
      const error = refusal(["--config", path]);
      assert([error.message, ...error.problems].join().length < 600);
    }
  }));

Deno.test("problems of every layer are told together, each with its layer", () =>
  inFolder((folder) => {
    const path = `${folder}/a.json`;
    Deno.writeTextFileSync(path, '{"interval": 0}');
    const { problems } = refusal(["--config", path, "--qos", "2"], { MQTT443_KEEP_ALIVE: "0" });
    assertEquals(problems.map((problem) => problem.replace(/:.*\(from/, ":")), [
      `interval: ${path})`,
      "keepAlive: MQTT443_KEEP_ALIVE)",
      "qos: --qos)",
    ]);
  }));

Deno.test("a wrong source is a problem of the settings", () => {
  assertMatch(refusal(["--source", "sytem"]).problems[0]!, /^source: .*did you mean "system"/);
  assertMatch(refusal(["--source", "stdin,clock"]).problems[0]!, /stdin alone/);
  assertMatch(refusal(["--source", "clock,clock"]).problems[0]!, /twice/);
});

Deno.test("our variables that are no settings are let by", () => {
  load([], { MQTT443_RUNTIME_DIR: "/run/x" });
});
