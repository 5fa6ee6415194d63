/** `status --watch` in a terminal of 80 columns: a gateway that does well, badly, and is not there any more. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { StatusDocument } from "../../lib/publisher/mod.ts";
import { inFolder } from "../support/command_line.ts";
import { programCommand } from "../support/program.ts";
import { DOWN, GOOD } from "../support/status_files.ts";
import { hasTerminal, openTerminal } from "../support/terminal.ts";

/** The times of a status moved so that it is of now. */
function ofNow(status: StatusDocument, ageMs = 0): StatusDocument {
  const byMs = Date.now() - ageMs - Date.parse(status.updatedAt);
  const text = JSON.stringify(status).replace(
    /\d{4}-\d\d-\d\dT[\d:.]+Z/g,
    (time) => new Date(Date.parse(time) + byMs).toISOString(),
  );
  return JSON.parse(text);
}

Deno.test({
  name:
    "status --watch shows each state on one screen of 80 columns, and ends with its exit code (O4)",
  ignore: !hasTerminal,
  fn: () =>
    inFolder(async (folder) => {
      const path = `${folder}/status.json`;
      const put = async (status: StatusDocument) => {
        await Deno.writeTextFile(`${path}.test`, JSON.stringify(status));
        await Deno.rename(`${path}.test`, path);
      };
      const { words, env } = programCommand(
        ["status", "--watch", "--status-file", "./status.json"],
        {
          cwd: folder,
        },
      );
      const script = 'trap : INT; cd "$0" && "$@"; echo "ended with $?"';
      await using terminal = await openTerminal(["sh", "-c", script, folder, ...words], {
        ...{ folder, env },
      });
      const screen = async (pattern: RegExp) => {
        const lines = await terminal.until(pattern);
        assert(lines.length <= 24, lines.join("\n"));
        for (const line of lines) assert([...line].length <= 80, line);
        // A broken line would be longer when it is put together.
        assertEquals(await terminal.lines(true), await terminal.lines());
        return lines.join("\n");
      };
      assertStringIncludes(await screen(/^No publisher runs: there is no/), "hint: ");
      await put(ofNow(GOOD));
      const good = await screen(/^link +connected for 24 min/);
      assertStringIncludes(good, "last minute |▁▂▁▂▃█▅▂▁▂▁▂| 19 messages");
      assertStringIncludes(good, "Ctrl-C ends it");
      assert(!good.includes("hinders"), good);
      await put(ofNow(DOWN));
      const down = await screen(/^link +waiting for 5 s, attempt 12/);
      for (const part of ["hinders     abcdef", "to do       look", "disk takes no messages"]) {
        assertStringIncludes(down, part);
      }
      await put(ofNow(GOOD, 40_000));
      assertStringIncludes(await screen(/^No publisher runs:/), "was written at");
      await put(ofNow(DOWN));
      await screen(/^link +waiting/);
      await terminal.type("C-c");
      const end = (await terminal.until(/^ended with 69/)).join("\n");
      // The last one stays.
      assertStringIncludes(end, "waiting for 5 s");
    }),
});
