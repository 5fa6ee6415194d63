/** What the commands print, in a terminal of 80 columns: no word is broken, and no line is cut. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { COMMANDS } from "../../lib/commands/table.ts";
import { inFolder, runProcess } from "../support/command_line.ts";
import { programCommand } from "../support/program.ts";
import { pki, writeIdentity } from "../support/publishing.ts";
import { hasTerminal, openTerminal } from "../support/terminal.ts";

/** As long as AWS makes them, and a client id of a fleet. */
const ENDPOINT = "a1b2c3d4e5f6g7-ats.iot.cn-northwest-1.amazonaws.com.cn";
const ID = "plant-7/line-3/gateway-0123456789abcdef";
const ENV = { MQTT443_ENDPOINT: ENDPOINT, MQTT443_CLIENT_ID: ID };

/** Runs a command in a terminal of its own; returns what was to be seen there. */
async function shown(args: readonly string[], folder: string): Promise<string[]> {
  const { words, env } = programCommand(args, { cwd: folder, env: ENV });
  const script = 'cd "$0" && "$@"; echo "ended with $?"';
  await using terminal = await openTerminal(["sh", "-c", script, folder, ...words], {
    folder,
    env,
  });
  const own = (lines: readonly string[]) =>
    lines.filter((line) => !/^ended with|^Pane is dead|^$/.test(line));
  const lines = own(await terminal.until(/^ended with \d/));
  assertEquals(lines, own(await terminal.lines(true)));
  for (const line of lines) assert(!/\S…$|\.\.\.$/.test(line), `it was cut: ${line}`);
  return lines;
}

function inTerminal(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `${name} in a terminal of 80 columns${hasTerminal ? "" : " (tmux is missing)"}`,
    ignore: !hasTerminal,
    fn: () => inFolder(fn),
  });
}

for (const about of ["", ...COMMANDS]) {
  inTerminal(`help ${about}`.trim() + " is whole", async (folder) => {
    const lines = await shown(about === "" ? ["help"] : ["help", about], folder);
    assert(lines.length > 4);
  });
}

inTerminal("settings is whole with the longest endpoint", async (folder) => {
  const text = (await shown(["settings", "--state", "./state"], folder)).join("\n");
  for (const part of [ENDPOINT, "MQTT443_ENDPOINT", "./state", `dt/mqtt443/${ID}/telemetry`]) {
    assertStringIncludes(text, part);
  }
});

inTerminal("doctor that finds something is whole", async (folder) => {
  const text = (await shown(["doctor", "--offline"], folder)).join("\n");
  assertStringIncludes(text, ENDPOINT);
  assertStringIncludes(text, "hint: ");
  // Longer than the column it stands in: it is to be copied.
  assertStringIncludes(text, "BindReadOnlyPaths=-/proc/loadavg:/run/mqtt443/host/proc/loadavg");
});

inTerminal("queue that holds something is whole", async (folder) => {
  // Short, wherever the test's folder is: a path that is wider than a terminal is broken by it.
  const state = "./state";
  await writeIdentity(join(folder, "certs"), pki);
  const message = ["publish", "--message", "x", "--give-up-after", "1s", "--state", state];
  // Nobody listens there: it is kept.
  const { code } = await runProcess([...message, "--endpoint", "127.0.0.1", "--port", "9"], {
    cwd: folder,
  });
  assertEquals(code, 75);
  const lines = await shown(["queue", "--state", state], folder);
  assertStringIncludes(lines.join("\n"), "waiting");
});
