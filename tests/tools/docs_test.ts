import { assertEquals } from "@std/assert";
import { DENO_VERSION } from "../../tools/build/targets.ts";
import { pages, pageText, withMadeParts } from "../../tools/docs/mod.ts";
import { PROMISES, proofs } from "../../tools/docs/promises.ts";

for (const page of pages()) {
  Deno.test(`the made parts of ${page} are those of the code (deno task docs)`, async () => {
    assertEquals(await withMadeParts(pageText(page)), pageText(page));
  });
}

Deno.test("the pages hold each made part once", () => {
  const names = pages().flatMap((page) =>
    [...pageText(page).matchAll(/<!-- made: (\w+) -->/g)].map(([, name]) => `${page}: ${name}`)
  );
  assertEquals(names.toSorted(), [
    "README.md: doctor",
    "README.md: help",
    "lib/doctor/README.md: causes",
    "lib/doctor/README.md: codes",
    "lib/queue/README.md: queue",
    "lib/settings/README.md: settings",
    "lib/sources/README.md: readings",
    "tests/README.md: promises",
  ]);
});

Deno.test("each promise is proved by a test that names it, and no test names one that is not given", () => {
  const proved = proofs();
  assertEquals(Object.keys(PROMISES).filter((id) => !proved.has(id)), []);
  assertEquals([...proved.keys()].filter((id) => !(id in PROMISES)), []);
});

Deno.test("the pages and this process name the one pinned version of Deno", () => {
  const named = pages().flatMap((page) =>
    [...pageText(page).matchAll(/deno@([\d.]+)/g)].map(([, version]) => version)
  );
  assertEquals(new Set(named), new Set([DENO_VERSION]));
  assertEquals(Deno.version.deno, DENO_VERSION);
});
