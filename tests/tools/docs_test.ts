import { assertEquals } from "@std/assert";
import { DENO_VERSION } from "../../tools/build/targets.ts";
import { withMadeParts } from "../../tools/docs/mod.ts";
import { PROMISES, proofs } from "../../tools/docs/promises.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

Deno.test("README's settings table, help and promises are those of the code (deno task docs)", () => {
  assertEquals(withMadeParts(README), README);
});

Deno.test("README holds the made parts", () => {
  const names = [...README.matchAll(/<!-- made: (\w+) -->/g)].map(([, name]) => name);
  assertEquals(names.toSorted(), ["help", "promises", "settings"]);
});

Deno.test("each promise is proved by a test that names it, and no test names one that is not given", () => {
  const proved = proofs();
  assertEquals(Object.keys(PROMISES).filter((id) => !proved.has(id)), []);
  assertEquals([...proved.keys()].filter((id) => !(id in PROMISES)), []);
});

Deno.test("README and this process name the one pinned version of Deno", () => {
  const named = [...README.matchAll(/deno@([\d.]+)/g)].map(([, version]) => version);
  assertEquals(new Set(named), new Set([DENO_VERSION]));
  assertEquals(Deno.version.deno, DENO_VERSION);
});
