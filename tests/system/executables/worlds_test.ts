/** The tasks where jsr.io answers, and where it cannot be reached: they do the same, and make the same bytes. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { makeWorld } from "../../support/worlds.ts";
import { runCommand } from "./kitting.ts";

const KIT = ["--arch", "x86_64", "--runtime", "npm"];
const TARGET = ["--target", "x86_64-unknown-linux-gnu", "--runtime", "npm"];

Deno.test("tasks compile, kit and test run where jsr.io answers, and make what they make elsewhere (F10)", async () => {
  await using jsr = await makeWorld("jsr");
  await using elsewhere = await makeWorld("stand-ins");
  assertEquals((await jsr.deno("task", "--quiet", "deps")).stderr, "");
  const { stderr } = await elsewhere.deno("task", "--quiet", "deps");
  assertStringIncludes(stderr, "jsr.io cannot be reached");

  for (const world of [jsr, elsewhere]) {
    await world.deno("task", "--quiet", "compile", ...TARGET);
    await world.deno("task", "--quiet", "kit", ...KIT);
  }
  const names = [...Deno.readDirSync(join(jsr.root, "dist"))].map(({ name }) => name).sort();
  assertEquals(names.length, 4, names.join());
  for (const name of names) {
    const [one, other] = [jsr, elsewhere].map(({ root }) => join(root, "dist", name));
    assertEquals((await runCommand(["cmp", one!, other!])).code, 0, name);
  }
  const tested = await jsr.deno("task", "--quiet", "test", "--filter", "/^(parseArgs|queue) /");
  assertMatch(tested.stdout, /^ok \| \d{2,} passed .*\| 0 failed/m);
});
