/** Counts of the bundle that depend on no machine: its size, and what it loads before the first CONNECT. */

import { assert, assertEquals } from "@std/assert";
import { makeBundle } from "../tools/bundle.ts";
import { BUNDLE_LIMIT_BYTES } from "../tools/bench/targets.ts";
import { grantFlags, grantsOf } from "../lib/grants.ts";
import { loadSettings } from "../lib/load.ts";
import { parseCommand } from "../lib/cli.ts";
import { makeEnv } from "./command_line.ts";
import { makeRig } from "./publishing.ts";

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

/** Tells what is asked of Node's built-in modules at run time: those of CommonJS. */
const SPY = `
  import process from "node:process";
  const real = process.getBuiltinModule;
  process.getBuiltinModule = (name) => {
    console.error("asked " + name);
    return real.call(process, name);
  };
`;

Deno.test("bundle loads no more of Node before the first CONNECT than it needs, above all neither TLS nor DNS", async () => {
  const imported = [...code.matchAll(/\bimport\b[^"'()]*["'](node:[^"']+)["']/g)]
    .map((match) => match[1]!);
  await using rig = await makeRig();
  const path = `${rig.folder}/mqtt443.js`;
  await Deno.writeTextFile(path, code);
  await Deno.writeTextFile(`${rig.folder}/spy.js`, SPY);
  const args = ["publish", ...rig.flags, "--message", "hello"];
  const world = { env: makeEnv(), hostName: () => "gw-7" };
  const { settings } = loadSettings(parseCommand(args), world, { needEndpoint: true });
  const { code: exitCode, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-config", "--preload", `${rig.folder}/spy.js`],
      ...[...grantFlags(grantsOf(settings, undefined)), path, ...args],
    ],
  }).output();
  const lines = new TextDecoder().decode(stderr).split("\n");
  assertEquals(exitCode, 0, lines.join("\n"));
  const connected = lines.findIndex((line) => line.includes('"event":"connected"'));
  const asked = lines.slice(0, connected).flatMap((line) => /^asked (\S+)/.exec(line)?.[1] ?? []);
  assert(asked.length > 0, "the spy saw nothing");
  const loaded = new Set([...imported, ...asked].map((name) => name.replace(/^node:/, "")));
  assertEquals([...loaded].filter((name) => !NEEDED.has(name)), []);
});

/** By SQLite, by MQTT.js and its codec, by checks of certificates; "process" is the global of MQTT.js as well. */
const NEEDED = new Set([
  ...["sqlite", "buffer", "events", "stream", "crypto", "zlib", "process"],
]);
