/** Copies of the project in two worlds: one where jsr.io answers, and one where it cannot be reached. */

import { assertEquals } from "@std/assert";
import { dirname, join } from "node:path";
import { denoDir } from "../../tools/build/run_deno.ts";
import { ROOT } from "../../tools/kit/packages.ts";
import { projectFiles } from "../../tools/kit/source.ts";
import type { Outcome } from "./command_line.ts";
import { lockFor, startRegistry } from "./jsr_registry.ts";

/** A copy of the project; disposing removes it. */
export interface World extends AsyncDisposable {
  /** The copy's folder. */
  readonly root: string;
  /** Runs Deno in the copy; asserts that it succeeds. */
  deno(...args: string[]): Promise<Outcome>;
}

/** Copies the project, with its own lock file and cache, and the npm packages of this machine's. */
export async function makeWorld(kind: "jsr" | "stand-ins"): Promise<World> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-world-" });
  const root = join(folder, "project");
  for (const path of await projectFiles(ROOT)) {
    Deno.mkdirSync(dirname(join(root, path)), { recursive: true });
    const { isSymlink } = Deno.lstatSync(join(ROOT, path));
    if (isSymlink) Deno.symlinkSync(Deno.readLinkSync(join(ROOT, path)), join(root, path));
    else Deno.copyFileSync(join(ROOT, path), join(root, path));
  }
  const cache = join(folder, "cache");
  Deno.mkdirSync(cache);
  Deno.symlinkSync(join(await denoDir(), "npm"), join(cache, "npm"));
  const registry = kind === "jsr" ? startRegistry() : undefined;
  const env = {
    JSR_URL: registry?.url ?? "http://127.0.0.1:1/",
    DENO_DIR: cache,
    NO_COLOR: "1",
    SOURCE_DATE_EPOCH: "1700000000",
  };
  if (kind === "jsr") {
    const lock = join(root, "deno.lock");
    Deno.writeTextFileSync(lock, lockFor(Deno.readTextFileSync(lock)));
  }
  return {
    root,
    async deno(...args) {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args,
        cwd: root,
        env,
      }).output();
      const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      assertEquals(code, 0, `deno ${args.join(" ")}: ${err}`);
      return { code, stdout: out!, stderr: err! };
    },
    async [Symbol.asyncDispose]() {
      await registry?.[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
