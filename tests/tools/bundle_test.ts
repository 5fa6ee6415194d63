/** The bundle: what is in it, and when the publish task may run it. */

import { assert, assertEquals } from "@std/assert";
import { makeBundle } from "../../tools/build/bundle.ts";
import { freshBundle } from "../../tools/build/fresh.ts";
import { slim } from "../../tools/build/slim.ts";
import { denoArguments } from "../../tools/publish.ts";
import { inFolder } from "../support/command_line.ts";
import { NO_SETTINGS } from "../support/program.ts";

// esbuild's process ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

Deno.test("bundle holds the program, what it uses of MQTT.js, and nothing of tools or tests", async () => {
  const { modules } = await makeBundle();
  const packages = new Set(modules.map((name) => /^npm:(@?[^/]+)/.exec(name)?.[1]));
  assert(packages.has("mqtt") && packages.has("mqtt-packet"));
  const strangers = [
    ...["ws", "socks", "readable-stream", "debug", "lru-cache", "worker-timers"],
    ...["bl", "inherits", "process-nextick-args", "rfdc", "aedes", "@peculiar", "esbuild"],
  ];
  for (const name of strangers) assert(!packages.has(name), name);
  const others = modules.filter((name) => !/^(lib\/|npm:|node:|tools\/std\/)/.test(name));
  assertEquals(others.filter((name) => !name.startsWith("tools/build/")), ["deno.json", "main.ts"]);
});

Deno.test("slim takes out notes for debugging and words for codes and kept lengths, and nothing else", () => {
  const kept = [
    "if (a) this.log('x');",
    "  f(debug('x'));",
    "  this.logger('x');",
    "exports.Codes = {};",
  ];
  assertEquals(slim(kept.join("\n")), kept.join("\n"));
  const notes = [
    "a();",
    "  this.log('x %s', y);",
    "\tdebug('x')",
    "exports.ReasonCodes = {\n  1: 'a',\n};",
    "    if (num < 16384) varByteIntCache[num] = buffer",
  ];
  assertEquals(slim(notes.join("\n")), "a();\n;\n;\nexports.ReasonCodes = {};\n");
});

Deno.test("publish task runs the bundle as long as nothing that it is made of is younger", async () => {
  await inFolder(async (root) => {
    const files = [
      "main.ts",
      "deno.json",
      "deno.lock",
      "lib/a/b.ts",
      "tools/build/bundle.ts",
      "tools/build/slim.ts",
    ];
    const folders = ["tools/build/stand_ins/c.cjs", "tools/std/cli/mod.ts", "tools/std/log/mod.ts"];
    for (const name of [...files, ...folders]) {
      await Deno.mkdir(`${root}/${name}`.replace(/\/[^/]+$/, ""), { recursive: true });
      await Deno.writeTextFile(`${root}/${name}`, "");
    }
    assertEquals(freshBundle(root), undefined);
    const path = `${root}/dist/mqtt443.js`;
    const times = new Map([[path, 2000]]);
    const changedMs = (path: string) => times.get(path) ?? 1000;
    assertEquals(freshBundle(root, changedMs), path);
    for (const name of ["lib/a/b.ts", "lib/a", "deno.lock", ...folders]) {
      times.set(`${root}/${name}`, 2000);
      assertEquals(freshBundle(root, changedMs), undefined, name);
      times.delete(`${root}/${name}`);
    }
    const args = ["--endpoint", "localhost", "--config", NO_SETTINGS];
    const flags = denoArguments(args, path);
    assertEquals(flags.slice(-6), [path, "publish", ...args]);
    assert(flags.includes("--allow-net=localhost:443") && flags.includes("--no-remote"));
  });
});
