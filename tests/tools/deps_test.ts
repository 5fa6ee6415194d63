/**
 * Real runs of tools/deps.ts in a copy of what it needs, with a registry in
 * this process that answers, is not there, never answers, or is something
 * else.
 *
 * @module
 */

import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { lutimesSync } from "node:fs";
import { join } from "node:path";
import { startRegistry } from "../support/jsr_registry.ts";

const REPOSITORY = join(import.meta.dirname!, "../..");

/** A port nobody listens on: the connection is refused at once. */
const NOWHERE = "http://127.0.0.1:1/";

const LINK = "../tools/std";

interface Config {
  imports: Record<string, string>;
}

const CONFIG: Config = JSON.parse(Deno.readTextFileSync(join(REPOSITORY, "deno.json")));

const PACKAGES = Object.values(CONFIG.imports).filter((specifier) => specifier.startsWith("jsr:"));

Deno.test("deps links the stand-ins and says so when jsr.io cannot be reached", async () => {
  await using copy = await makeCopy();
  const { code, stderr } = await copy.run(NOWHERE);
  assertEquals(code, 0);
  assertEquals(copy.link(), LINK);
  assertStringIncludes(stderr, "jsr.io cannot be reached");
  assertStringIncludes(stderr, "stand-ins");
});

Deno.test("deps says nothing and asks nobody when its link is fresh", async () => {
  await using copy = await makeCopy();
  await using registry = startRegistry();
  await copy.run(NOWHERE);
  assertEquals(await copy.run(registry.url), { code: 0, stderr: "" });
  assertEquals(copy.link(), LINK);
  assertEquals(registry.asked, 0);
});

Deno.test("deps removes its old link and says so when jsr.io answers again", async () => {
  await using copy = await makeCopy();
  await using registry = startRegistry();
  await copy.run(NOWHERE);
  copy.age();
  const { code, stderr } = await copy.run(registry.url);
  assertEquals(code, 0);
  assertEquals(copy.link(), undefined);
  assertStringIncludes(stderr, "removed vendor/std");
});

Deno.test("deps makes no link when the packages are in Deno's cache", async () => {
  await using copy = await makeCopy();
  const registry = startRegistry();
  await copy.cachePackages(registry.url);
  const before = copy.lock();
  await registry[Symbol.asyncDispose]();
  assertEquals(await copy.run(registry.url), { code: 0, stderr: "" });
  assertEquals(copy.link(), undefined);
  assertEquals(copy.lock(), before);
});

Deno.test("deps takes the login page of a network for no answer", async () => {
  await using copy = await makeCopy();
  await using page = startRegistry(() => new Response("<html>Please log in</html>"));
  await copy.run(page.url);
  assertEquals(copy.link(), LINK);
});

Deno.test("deps does not wait long for a network that swallows packets", async () => {
  await using copy = await makeCopy();
  // The system takes the connection, and nobody ever reads from it.
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const startMs = performance.now();
  await copy.run(`http://127.0.0.1:${listener.addr.port}/`);
  assertLess(performance.now() - startMs, 10_000);
  assertEquals(copy.link(), LINK);
});

Deno.test("deps leaves a link vendor/std to another place alone", async () => {
  await using copy = await makeCopy();
  await using registry = startRegistry();
  Deno.mkdirSync(copy.path("vendor"));
  Deno.symlinkSync("../../std", copy.path("vendor/std"));
  for (const url of [NOWHERE, registry.url]) {
    assertEquals(await copy.run(url), { code: 0, stderr: "" });
    assertEquals(copy.link(), "../../std");
  }
});

Deno.test("deps fails with a hint when the link cannot be made", async () => {
  await using copy = await makeCopy();
  Deno.writeTextFileSync(copy.path("vendor"), "a file in the way");
  const { code, stderr } = await copy.run(NOWHERE);
  assertEquals(code, 73);
  assertStringIncludes(stderr, "error: Cannot link vendor/std to tools/std");
  assertStringIncludes(stderr, "hint: ");
});

Deno.test("the link makes Deno take the stand-ins with a frozen lock file", async () => {
  await using copy = await makeCopy();
  const before = copy.lock();
  await copy.run(NOWHERE);
  const source = Object.keys(CONFIG.imports).filter((name) => name.startsWith("@std/")).map((
    name,
  ) => `console.log(import.meta.resolve("${name}"));`);
  Deno.writeTextFileSync(copy.path("main.ts"), source.join("\n"));
  const { code, stdout } = await copy.deno(NOWHERE, "run", "--frozen", "main.ts");
  assertEquals(code, 0);
  for (const line of stdout.trim().split("\n")) {
    assertStringIncludes(line, "/vendor/std/");
  }
  assertEquals(copy.lock(), before);
});

Deno.test("the stand-ins have the versions that deno.json and deno.lock name", () => {
  const { specifiers } = JSON.parse(Deno.readTextFileSync(join(REPOSITORY, "deno.lock")));
  for (const specifier of PACKAGES) {
    const [, folder, wanted] = /^jsr:@std\/(.+)@[\^~](.+)$/.exec(specifier)!;
    const { version } = JSON.parse(
      Deno.readTextFileSync(join(REPOSITORY, "tools", "std", folder!, "deno.json")),
    );
    assertEquals(version, wanted);
    assertEquals(specifiers[specifier.replace("^0.", "~0.")], version);
  }
});

interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

/** A copy of what tools/deps.ts needs, with a cache of its own. */
interface Copy extends AsyncDisposable {
  path(name: string): string;
  /** Runs tools/deps.ts with the registry at a URL. */
  run(jsrUrl: string): Promise<Omit<Output, "stdout">>;
  deno(jsrUrl: string, ...args: string[]): Promise<Output>;
  /** Has Deno import the packages, and write a lock file for them. */
  cachePackages(jsrUrl: string): Promise<void>;
  lock(): string;
  /** Where `vendor/std` links to, if it is a link. */
  link(): string | undefined;
  linkedMs(): number;
  /** Makes the link a week old. */
  age(): void;
}

async function makeCopy(): Promise<Copy> {
  const root = await Deno.makeTempDir({ prefix: "mqtt443-deps-" });
  const path = (name: string) => join(root, name);
  const from = (name: string) => join(REPOSITORY, name);
  for (const name of ["deno.json", "deno.lock", "tools/deps.ts"]) {
    Deno.mkdirSync(join(path(name), ".."), { recursive: true });
    Deno.copyFileSync(from(name), path(name));
  }
  for (const { name } of Deno.readDirSync(from("tools/std"))) {
    Deno.mkdirSync(path(`tools/std/${name}`), { recursive: true });
    for (const file of Deno.readDirSync(from(`tools/std/${name}`))) {
      const inside = `tools/std/${name}/${file.name}`;
      Deno.copyFileSync(from(inside), path(inside));
    }
  }

  async function deno(jsrUrl: string, ...args: string[]): Promise<Output> {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args,
      cwd: root,
      env: { JSR_URL: jsrUrl, DENO_DIR: path("cache"), NO_COLOR: "1" },
    }).output();
    const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
    return { code, stdout: out!, stderr: err! };
  }

  return {
    path,
    deno,
    async run(jsrUrl) {
      const { code, stderr } = await deno(
        jsrUrl,
        ...["run", "-A", "--no-config", "--no-lock", "tools/deps.ts"],
      );
      return { code, stderr };
    },
    async cachePackages(jsrUrl) {
      Deno.removeSync(path("deno.lock"));
      const imports = Object.fromEntries(
        Object.entries(CONFIG.imports).filter(([name]) => name.startsWith("@std/")),
      );
      Deno.writeTextFileSync(path("deno.json"), JSON.stringify({ imports }));
      const source = Object.keys(imports).map((name) => `import "${name}";`);
      Deno.writeTextFileSync(path("main.ts"), source.join("\n"));
      const { code, stderr } = await deno(jsrUrl, "run", "main.ts");
      assertEquals(code, 0, stderr);
    },
    lock: () => Deno.readTextFileSync(path("deno.lock")),
    link() {
      try {
        return Deno.readLinkSync(path("vendor/std"));
      } catch {
        return undefined;
      }
    },
    linkedMs: () => Deno.lstatSync(path("vendor/std")).mtime!.getTime(),
    age() {
      const weekOld = (Date.now() - 7 * 24 * 60 * 60 * 1000) / 1000;
      lutimesSync(path("vendor/std"), weekOld, weekOld);
    },
    async [Symbol.asyncDispose]() {
      await Deno.remove(root, { recursive: true });
    },
  };
}
