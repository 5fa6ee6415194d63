import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { COMMAND_TABLE, COMMANDS } from "../../lib/commands/table.ts";
import { UserError } from "../../lib/core/errors.ts";
import { flagOf, SETTINGS } from "../../lib/settings/table.ts";

function refusal(...args: string[]): UserError {
  const error = assertThrows(() => parseCommand(args), UserError);
  assertEquals(error.exitCode, 64);
  assert(error.hint !== "");
  return error;
}

function flags(...args: string[]): Readonly<Record<string, unknown>> {
  return parseCommand(["publish", ...args]).flags.values;
}

Deno.test("every command is known by its name", () => {
  for (const name of COMMANDS) {
    const operands = COMMAND_TABLE[name].operands[0] === 0 ? [] : ["a/b"];
    assertEquals(parseCommand([name, ...operands]).name, name);
  }
});

Deno.test("flags take their value after a space or an equals sign", () => {
  assertEquals(flags("--port", "8443", "--topic=a/b"), { port: "8443", topic: "a/b" });
});

Deno.test("values stay what was typed", () => {
  assertEquals(flags("--client-id=007", "--message", "1e3", "--topic", "true"), {
    clientId: "007",
    message: "1e3",
    topic: "true",
  });
});

Deno.test("a value may hold an equals sign, a line end, or begin with a dash", () => {
  assertEquals(flags("--source=file:a=/x", "--message", "-5", "--topic=-x", "--state=a\nb"), {
    source: "file:a=/x",
    message: "-5",
    topic: "-x",
    state: "a\nb",
  });
  assertEquals(flags("--message=--x"), { message: "--x" });
});

Deno.test("a value may be empty, and takes nothing of what follows it", () => {
  assertEquals(flags("--message="), { message: "" });
  assertEquals(flags("--message", ""), { message: "" });
  const command = parseCommand(["watch", "--message=", "a/b"]);
  assertEquals([command.operands, command.flags.values], [["a/b"], { message: "" }]);
  assertEquals(parseCommand(["publish", "--config="]).config, "");
});

Deno.test("flags that were not given are absent", () => {
  assertEquals(flags(), {});
});

Deno.test("config is apart from the settings", () => {
  const command = parseCommand(["settings", "--config", "f.json"]);
  assertEquals([command.config, command.flags.values], ["f.json", {}]);
});

Deno.test("switches are told by name", () => {
  const { switches } = parseCommand(["queue", "clear", "--yes", "--json"]);
  assertEquals([...switches].toSorted(), ["json", "yes"]);
  assertEquals([...parseCommand(["publish", "--dry-run"]).switches], ["dry-run"]);
});

Deno.test("operands are texts, wherever they stand", () => {
  assertEquals(parseCommand(["watch", "--port", "1", "5"]).operands, ["5"]);
  assertEquals(parseCommand(["watch", "a/#", "--port", "1"]).operands, ["a/#"]);
});

Deno.test("what follows -- is an operand, whatever it looks like", () => {
  assertEquals(parseCommand(["watch", "--port", "1", "--", "--port"]).operands, ["--port"]);
  assertMatch(refusal("watch", "--", "--port", "2").message, /unexpected "2"/);
});

Deno.test("no command is refused with the way out", () => {
  assertMatch(refusal().hint, /mqtt443 publish/);
});

Deno.test("an unknown command is refused with the one that was meant", () => {
  assertEquals(
    refusal("publihs").message,
    'Cannot run "publihs": unknown command (did you mean "publish"?)',
  );
  assertMatch(refusal("banana").hint, /^the commands are publish, .*queue/);
  for (const name of ["", "__proto__", "constructor", "PUBLISH2"]) refusal(name);
});

Deno.test("a flag before the command is refused by that rule", () => {
  assertMatch(refusal("--port", "1").message, /the command comes first/);
});

Deno.test("unknown flags are refused all at once, with those that were meant", () => {
  const error = refusal("publish", "--intervall", "1s", "--tpoic=x", "--banana", "-x");
  assertEquals(error.problems, [
    '"--intervall" (did you mean "--interval"?)',
    '"--tpoic" (did you mean "--topic"?)',
    '"--banana"',
    '"-x"',
  ]);
  assertMatch(error.hint, /mqtt443 help publish/);
});

Deno.test("a flag is known under its whole name only", () => {
  for (
    const flag of [
      "--por",
      "--no-json",
      "--Port",
      "--ackTimeout",
      "--no-help",
      "--no-port=1",
      "--port.x",
      "-xyz",
    ]
  ) {
    assertEquals(refusal("publish", flag).problems.length, 1, flag);
  }
});

Deno.test("a switch of another command is unknown", () => {
  assertMatch(refusal("watch", "a", "--yes").problems.join(), /--yes/);
});

for (const flag of [...SETTINGS.map(({ key }) => flagOf(key)), "--config"]) {
  Deno.test(`${flag} given twice is refused`, () => {
    const message = `Cannot use ${flag} twice`;
    assertEquals(refusal("publish", flag, "1", flag, "2").message, message);
    assertEquals(refusal("publish", `${flag}=1`, `${flag}=1`).message, message);
    assertEquals(refusal("publish", `${flag}=`, flag, "1").message, message);
  });

  Deno.test(`${flag} without a value is refused`, () => {
    assertEquals(refusal("publish", flag).message, `Cannot use ${flag}: its value is missing`);
    assertEquals(refusal("publish", flag, "--dry-run").hint, `type ${flag}=VALUE`);
  });
}

Deno.test("a switch given twice or with a value is refused", () => {
  assertEquals(refusal("queue", "--json", "--json").message, "Cannot use --json twice");
  assertMatch(refusal("queue", "--json=true").message, /--json takes no value/);
});

Deno.test("operands too many or too few are refused with the usage", () => {
  assertMatch(refusal("publish", "now").message, /unexpected "now"/);
  assertMatch(refusal("watch").message, /TOPIC is missing/);
  assertMatch(refusal("watch", "a", "b").message, /unexpected "b"/);
  assertMatch(refusal("queue", "clear", "all").hint, /^usage: mqtt443 queue /);
});

Deno.test("--help and -h ask for the help of a command", () => {
  for (const name of COMMANDS.filter((name) => name !== "help")) {
    for (const flag of ["--help", "-h"]) {
      const { name: told, help } = parseCommand([name, flag]);
      assertEquals([told, help], ["help", name]);
    }
  }
});

Deno.test("--help is given even where the rest is wrong", () => {
  assertEquals(parseCommand(["publish", "--banana", "--help"]).help, "publish");
  assertEquals(parseCommand(["watch", "--help"]).help, "watch");
});

Deno.test("--help without a command asks for the overview", () => {
  for (const args of [["--help"], ["-h"], ["help"], ["help", "--help"]]) {
    assert(["", "help"].includes(parseCommand(args).help!), args.join(" "));
  }
});

Deno.test("help takes a subject", () => {
  assertEquals(parseCommand(["help", "settings"]).help, "settings");
});

Deno.test("--version is version", () => {
  const { name, switches } = parseCommand(["--version", "--json"]);
  assertEquals([name, [...switches]], ["version", ["json"]]);
});

Deno.test("errors of the command line show control characters as text", () => {
  assertEquals(refusal("a\nb").message.includes("\n"), false);
  assertEquals(refusal("publish", "--a\u001bb").problems.join().includes("\u001b"), false);
});
