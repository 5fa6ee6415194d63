import { assertEquals } from "@std/assert";
import { withMadeParts } from "../tools/docs.ts";

const README = Deno.readTextFileSync(new URL("../README.md", import.meta.url));

Deno.test("README's settings table and help are those of the code (deno task docs)", () => {
  assertEquals(withMadeParts(README), README);
});

Deno.test("README holds both made parts", () => {
  const names = [...README.matchAll(/<!-- made: (\w+) -->/g)].map(([, name]) => name);
  assertEquals(names.toSorted(), ["help", "settings"]);
});
