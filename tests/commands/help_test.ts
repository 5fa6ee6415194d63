import { assert, assertEquals, assertLessOrEqual, assertMatch, assertThrows } from "@std/assert";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { COMMAND_TABLE, COMMANDS } from "../../lib/commands/table.ts";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { helpText, sampleFile, settingsHelp, settingsTable } from "../../lib/commands/help.ts";
import { mergeSettings } from "../../lib/settings/merge.ts";
import { fileLayer } from "../../lib/settings/file.ts";
import { flagOf, SETTINGS } from "../../lib/settings/table.ts";

const AROUND = { hostName: "gw-7", certs: "./certs", sourcesProblem: () => undefined };

const HEIGHTS: Readonly<Record<string, number>> = { "": 24, help: 24, settings: 225 };

for (const name of ["", ...COMMANDS]) {
  Deno.test(`help of ${name || "all"} fits a terminal of 80 columns (F20)`, () => {
    const lines = helpText(name).split("\n");
    assertLessOrEqual(lines.length, HEIGHTS[name] ?? 36);
    for (const line of lines) assert(line.length <= 80, line);
  });
}

Deno.test("help of a command begins with its usage and ends without a line end", () => {
  for (const name of COMMANDS.filter((name) => name !== "help")) {
    const text = helpText(name);
    assert(text.startsWith(`Usage: mqtt443 ${name} ${COMMAND_TABLE[name].usage}\n`));
    assertEquals(text, text.trimEnd());
  }
});

Deno.test("help of a command names each of its own flags", () => {
  for (const name of COMMANDS) {
    for (const flag of Object.keys(COMMAND_TABLE[name].flags)) {
      assert(helpText(name).includes(`\n  --${flag} `), `${name} --${flag}`);
    }
  }
});

Deno.test("help of a command lists each flag that it takes, as the hint about an unknown one says (F20)", () => {
  for (const name of COMMANDS.filter((name) => !COMMAND_TABLE[name].isBare)) {
    const text = helpText(name);
    const given = (flag: string) => new RegExp(`(^|\\s)${flag}\\b`, "m").test(text);
    for (const { key } of SETTINGS) assert(given(flagOf(key)), `${name} ${flagOf(key)}`);
    assert(given("--config"), name);
  }
});

Deno.test("help of all names each command and each exit code", () => {
  const text = helpText("");
  for (const name of COMMANDS) assertMatch(text, new RegExp(`^ {2}mqtt443 ${name} `, "m"));
  for (const code of Object.values(EXIT)) assertMatch(text, new RegExp(`\\b${code} \\w`));
});

Deno.test("help of an unknown command is refused with the one that was meant", () => {
  const error = assertThrows(() => helpText("pubish"), UserError);
  assertEquals(error.exitCode, 64);
  assertMatch(error.message, /did you mean "publish"/);
});

Deno.test("the commands in the help's examples are understood", () => {
  const lines = COMMANDS.flatMap((name) => helpText(name).split("\n"))
    .filter((line) => /^ {2}(.*\| )?mqtt443 (publish|watch) /.test(line) && line.includes(" --"));
  assert(lines.length >= 5);
  for (const line of lines) {
    const words = line.replace(/^.*?mqtt443 /, "").match(/"[^"]*"|'[^']*'|\S+/g)!;
    parseCommand(words.map((word) => word.replace(/^["'](.*)["']$/, "$1")));
  }
});

Deno.test("the sample settings file is in the help and has no problem", () => {
  assert(helpText("settings").endsWith(sampleFile()));
  const layer = fileLayer("sample.json", sampleFile());
  const { settings } = mergeSettings([layer], AROUND, { needEndpoint: true });
  assertEquals(settings.clientId, "gw-7");
});

Deno.test("help of settings tells of each setting once", () => {
  const flags = settingsHelp().split("\n").filter((line) => /^ {2}--/.test(line));
  assertEquals(flags.length, SETTINGS.length + 1);
});

Deno.test("the table for README has a row a setting, each with four cells", () => {
  const rows = settingsTable().split("\n");
  assertEquals(rows.length, SETTINGS.length + 2);
  for (const row of rows) assertMatch(row, /^\|([^|]*\|){4}$/);
});
