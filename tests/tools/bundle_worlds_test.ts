/** The bundle where jsr.io answers and where it does not: it can be made, and is the same. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { makeBundle } from "../../tools/build/bundle.ts";
import { packagesIn, readLock } from "../../tools/kit/packages.ts";
import { makeWorld } from "../support/worlds.ts";

// esbuild's process ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

Deno.test("bundle is made where jsr.io answers, of the same modules and bytes, with the same packages (F10)", async () => {
  const here = await makeBundle();
  await using world = await makeWorld("jsr");
  assertEquals((await world.deno("task", "--quiet", "deps")).stderr, "");
  const { redirects, modules }: Graph = JSON.parse(
    (await world.deno("info", "--json", "--frozen", "main.ts")).stdout,
  );
  // The packages are those of the registry, and known by their specifiers through redirects alone.
  const [named, address] = Object.entries(redirects).find(([name]) => name.includes("/cli@"))!;
  assert(named.startsWith("jsr:"), named);
  assert(modules.some(({ specifier }) => specifier === address), address);
  assert(!modules.some(({ specifier }) => specifier.startsWith("jsr:")));

  Deno.writeTextFileSync(
    join(world.root, "tools/made.ts"),
    `import { makeBundle } from "./build/bundle.ts";
import { packagesIn, readLock } from "./kit/packages.ts";
const made = await makeBundle();
console.log(JSON.stringify({ made, packages: await packagesIn(made.modules, readLock()) }));
`,
  );
  const { stdout } = await world.deno("run", "-A", "--frozen", "tools/made.ts");
  const { made, packages } = JSON.parse(stdout);
  assertEquals(made.modules, here.modules);
  assert(made.code === here.code);
  assertEquals(packages, await packagesIn(here.modules, readLock()));
});

interface Graph {
  readonly redirects: Readonly<Record<string, string>>;
  readonly modules: readonly { readonly specifier: string }[];
}
