/** Counts of the bundle that depend on no machine: its size, and what it loads before the first CONNECT. */

import { assert, assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { makeBundle } from "../../tools/build/bundle.ts";
import { BUNDLE_LIMIT_BYTES } from "../../tools/bench/targets.ts";
import { grantFlags, grantsOf } from "../../lib/settings/grants.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { makeEnv } from "../support/command_line.ts";
import { NO_SETTINGS } from "../support/program.ts";
import { makeRig } from "../support/publishing.ts";

// esbuild's process ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

const { code } = await makeBundle();

Deno.test("bundle is no larger than its limit", () => {
  const bytes = new TextEncoder().encode(code).length;
  assert(bytes <= BUNDLE_LIMIT_BYTES, `${bytes} bytes, at most ${BUNDLE_LIMIT_BYTES}`);
});

Deno.test("bundle is ASCII, of which V8 needs one byte a character and not two", () => {
  assertEquals(/[\x80-\uffff]/.exec(code)?.[0], undefined);
});

/** What is compiled when it is run, and so kept in Deno's cache: all of Node's modules but those in its snapshot. */
function loadedModules(denoDir: string): string[] {
  using cache = new DatabaseSync(`${denoDir}/v8_code_cache_v2`, { readOnly: true });
  return cache.prepare("SELECT specifier FROM codecache").all().map((row) => `${row.specifier}`);
}

Deno.test("bundle loads no more of Deno to publish than it needs: of Node no HTTP, no loader, of the web no streams", async () => {
  await using rig = await makeRig();
  const path = `${rig.folder}/mqtt443.js`;
  const denoDir = `${rig.folder}/deno`;
  await Deno.writeTextFile(path, code);
  const args = ["publish", ...rig.flags, "--message", "hello", "--durability", "crash"];
  const world = { env: makeEnv(), hostName: () => "gw-7" };
  const { settings } = loadSettings(parseCommand(args), world, { needEndpoint: true });
  const { code: exitCode, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-config", ...grantFlags(grantsOf(settings, NO_SETTINGS)), path, ...args],
    env: { DENO_DIR: denoDir, MQTT443_CONFIG: NO_SETTINGS },
  }).output();
  assertEquals(exitCode, 0, new TextDecoder().decode(stderr));
  const loaded = loadedModules(denoDir);
  assert(loaded.some((name) => name.endsWith("/tls.ts")), "the cache says nothing");
  const others =
    /^(node:|ext:deno_node\/)_?(https?|http2|module|worker_threads|child_process|url|cluster|repl)\b/;
  assertEquals(loaded.filter((name) => others.test(name) || name.endsWith("06_streams.js")), []);
});
