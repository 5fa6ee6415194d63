import { assertEquals } from "@std/assert";
import { DENO_VERSION } from "../../tools/build/targets.ts";
import { PAGES, withMadeParts } from "../../tools/docs/mod.ts";
import { PROMISES, proofs } from "../../tools/docs/promises.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

for (const page of PAGES) {
  const name = page.pathname.split("/").slice(-3).join("/");
  Deno.test(`what is made in ${name} is what the code says (deno task docs)`, () => {
    const text = Deno.readTextFileSync(page);
    assertEquals(withMadeParts(text), text);
  });
}

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
