/** The names of the project's files. */

import { assertEquals } from "@std/assert";
import { ROOT } from "../../tools/kit/packages.ts";
import { projectFiles } from "../../tools/kit/source.ts";

/** Characters, ends and whole names that Windows refuses, and JSR with it. */
const REFUSED = /[<>:"\\|?*\p{Cc}]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/iu;

Deno.test("no file of the project has a name that Windows or JSR refuses (F21)", async () => {
  const paths = await projectFiles(ROOT);
  const refused = paths.filter((path) => path.split("/").some((name) => REFUSED.test(name)));
  assertEquals(refused, []);
  // Nor do two names differ by case alone.
  assertEquals(new Set(paths.map((path) => path.toLowerCase())).size, paths.length);
  const tried = ["iio:device0", "a?", "end.", "NUL", "com1.txt", "a\\b", "tab\t"];
  assertEquals(tried.filter((name) => !REFUSED.test(name)), []);
});
