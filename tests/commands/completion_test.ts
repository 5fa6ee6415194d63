/** `mqtt443 completion`: its scripts in the shells themselves, at a real terminal. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { COMMANDS } from "../../lib/commands/table.ts";
import { completionScript, SHELLS } from "../../lib/commands/completion.ts";
import { flagOf, SETTINGS } from "../../lib/settings/table.ts";
import { assertTold, inFolder, run } from "../support/command_line.ts";
import { hasProgram } from "../support/queueing.ts";
import { hasTerminal, openTerminal } from "../support/terminal.ts";

/** How each shell is started without anybody's own files, and its first line: it loads the script and is ready. */
const STARTS: Readonly<Record<string, readonly [string[], string]>> = {
  bash: [["bash", "--norc", "--noprofile"], "PS1='ready> '; source <(mqtt443 completion bash)"],
  zsh: [
    ["zsh", "-f"],
    "PS1='ready> '; autoload -U compinit; compinit -D; source <(mqtt443 completion zsh)",
  ],
  fish: [
    ["fish", "--no-config"],
    "set -g fish_autosuggestion_enabled 0; function fish_prompt; echo 'ready> '; end; " +
    "mqtt443 completion fish | source",
  ],
};

/** What is typed, with `\t` for the key, and what the command then gets. */
const TYPED: readonly (readonly [string, readonly string[]])[] = [
  ["pub\t--log-f\tj\t", ["publish", "--log-format", "json"]],
  ["doc\t--offl\t--policy-f\tpol\t", ["doctor", "--offline", "--policy-file", "policy.json"]],
  ["queue cl\t--state\tfol\t", ["queue", "clear", "--state", "folder/"]],
  ["watch '#' --queue-fu\tdrop-n\t", ["watch", "#", "--queue-full", "drop-newest"]],
  ["completion fi\t", ["completion", "fish"]],
  ["help sett\t", ["help", "settings"]],
];

for (const shell of SHELLS) {
  const isHere = hasTerminal && hasProgram(shell);
  Deno.test({
    name: `completion works in ${shell}${isHere ? "" : " (it or tmux is missing)"}`,
    ignore: !isHere,
    fn: () =>
      inFolder(async (folder) => {
        await Deno.mkdir(join(folder, "folder"));
        for (const name of ["policy.json", "folder/file"]) {
          await Deno.writeTextFile(join(folder, name), "");
        }
        // In place of the program, one that says what it gets; it hands out the script, too.
        const { stdout } = await run(["completion", shell]);
        await Deno.mkdir(join(folder, ".bin"));
        await Deno.writeTextFile(join(folder, ".bin/script"), stdout);
        const told = `#!/bin/sh
[ "$*" != "completion ${shell}" ] || [ -t 1 ] || exec cat "${folder}/.bin/script"
printf '[%s]' "$@"
echo
`;
        await Deno.writeTextFile(join(folder, ".bin/mqtt443"), told, { mode: 0o755 });
        const [command, first] = STARTS[shell]!;
        const PATH = `${folder}/.bin:${Deno.env.get("PATH")}`;
        await using terminal = await openTerminal(command, {
          ...{ folder, columns: 200, rows: 50 },
          env: { PATH, SHELL: "/bin/sh" },
        });
        await terminal.until(/[$%#>]$/);
        await terminal.type({ text: first }, "Enter");
        await terminal.until(/^ready>/);
        for (const [keys, words] of TYPED) {
          await terminal.type({ text: `mqtt443 ${keys}` }, "Enter");
          // zsh writes a value that it completes behind a `=`, and takes a slash back that ends a word.
          const pattern = words.map((word) => `[${word}]`).join("")
            .replaceAll(/[\][#.]/g, "\\$&")
            .replaceAll(/(--[a-z-]+)\\]\\\[(?!--)/g, "$1(=|\\]\\[)").replaceAll("/", "/?");
          await terminal.until(new RegExp(`^${pattern}$`));
        }
      }),
  });

  Deno.test(`completion of ${shell} knows each command, each setting and each of their words`, () => {
    const script = completionScript(shell);
    for (const name of COMMANDS) assertStringIncludes(script, name);
    for (const { key } of SETTINGS) assertStringIncludes(script, flagOf(key).slice(2));
    for (const words of ["json text shadow".split(" "), ["drop-oldest", "drop-newest"]]) {
      for (const word of words) assertStringIncludes(script, word);
    }
  });
}

Deno.test("completion of a shell that it does not know, or of none, is a wrong command line", async () => {
  for (const args of [["csh"], ["bush"], [], ["bash", "zsh"]]) {
    const outcome = await run(["completion", ...args]);
    assertTold(outcome);
    assertEquals(outcome.code, 64);
    assertStringIncludes(outcome.stderr, "mqtt443 completion bash|zsh|fish");
  }
});
