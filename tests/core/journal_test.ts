/** What the program says under systemd: a process whose stderr is the stream that JOURNAL_STREAM names, or is not. */

import { assertEquals, assertMatch } from "@std/assert";
import { makePki, writeCerts } from "../../tools/endpoint/mod.ts";
import { startChild } from "../support/children.ts";
import { inFolder } from "../support/command_line.ts";

/** A shell that sets the variable as systemd does, for the stderr that the program gets; or for another stream. */
const UNDER = {
  systemd: ["sh", "-c", 'export JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2); exec "$@"', "sh"],
  "a shell of a service": ["sh", "-c", 'export JOURNAL_STREAM=1:1; exec "$@"', "sh"],
};

/** Publishes one message to a port where nobody listens, with the grants that users have; returns what was said. */
async function said(folder: string, under: keyof typeof UNDER): Promise<string[]> {
  await writeCerts(`${folder}/certs`, await makePki());
  const values = {
    endpoint: "localhost",
    port: 1,
    certs: `${folder}/certs`,
    state: `${folder}/state`,
    message: "hello",
    giveUpAfter: "3s",
    backoffMax: "1s",
  };
  const config = `${folder}/a.json`;
  await Deno.writeTextFile(config, JSON.stringify(values));
  const child = startChild(["publish", "--config", config], { within: UNDER[under] });
  const { words } = await child.ended;
  await child.end();
  return words.trimEnd().split("\n");
}

Deno.test("log under systemd: each line with its priority, and no time of its own (F11)", () =>
  inFolder(async (folder) => {
    const lines = await said(folder, "systemd");
    for (const line of lines) assertMatch(line, /^<[346]>(INFO |WARN |ERROR) [a-z]/);
    assertEquals(lines.some((line) => line.startsWith("<4>WARN  retrying ")), true);
  }));

Deno.test("log of a process that only inherits JOURNAL_STREAM is as elsewhere (F11)", () =>
  inFolder(async (folder) => {
    for (const line of await said(folder, "a shell of a service")) {
      assertMatch(line, /^\d{4}-\d\d-\d\dT\S+Z (INFO |WARN |ERROR) [a-z]/);
    }
  }));

Deno.test("error that ends a service at its start is one for the journal too (F11)", () =>
  inFolder(async (folder) => {
    const child = startChild(["publish", "--qos", "2"], { within: UNDER.systemd, cwd: folder });
    const { code, words } = await child.ended;
    await child.end();
    assertEquals(code, 78);
    for (const line of words.trimEnd().split("\n")) assertMatch(line, /^<3>(error: | {2}|hint: )/);
  }));
