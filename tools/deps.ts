/**
 * Makes the `jsr:` packages of deno.json usable: the other tasks depend on it.
 *
 * Where jsr.io answers, or the packages are in Deno's cache, there is nothing
 * to do. Otherwise `vendor/std` becomes a link to tools/std, whose small
 * stand-ins Deno then takes for the packages; the lock file stays as it is.
 * They have what this project uses and no more: to use more is a type error.
 * tests/tools/std_test.ts holds on both. Executables always hold the stand-ins
 * (tools/build/bundle.ts).
 * Once jsr.io answers again the link is removed. A link younger than
 * {@linkcode KEEP_MS} is kept without asking; remove it to ask at once. A
 * `vendor/std` that is anything but our link is not ours, and left alone.
 *
 * It imports no package and runs without configuration and lock file, since
 * both make Deno look for the very packages that may be missing:
 *
 *     deno run -A --no-config --no-lock tools/deps.ts
 *
 * `JSR_URL` and `DENO_DIR` mean here what they mean to Deno; a test needs no
 * more to force either way.
 *
 * @module
 */

import { unlinkSync } from "node:fs";
import { join } from "node:path";

const LINK_TARGET = "../tools/std";

/** How long a link is kept without asking, so that a timeout is paid rarely. */
const KEEP_MS = 6 * 60 * 60 * 1000;

/** A network that swallows packets may hold up a task for this long. */
const ANSWER_MS = 3000;

if (import.meta.main) {
  try {
    await provideStd(join(import.meta.dirname!, ".."));
  } catch (error) {
    say(
      `error: Cannot link vendor/std to tools/std: ${(error as Error).message}`,
      "hint: make the folder vendor writable, or run `ln -s ../tools/std vendor/std` there",
    );
    Deno.exitCode = 73;
  }
}

/** Sees to it that the packages deno.json in `root` names can be imported. */
async function provideStd(root: string): Promise<void> {
  const link = join(root, "vendor", "std");
  const found = lookAt(link);
  if (found === "other" || found === "fresh link") return;
  const packages = jsrPackages(root);
  if (isCached(root, packages) || await isAnswering(packages)) {
    if (found === "none") return;
    removeLink(link);
    say("deps: the packages of jsr.io can be used again: removed vendor/std");
    return;
  }
  makeLink(link);
  say(
    "deps: jsr.io cannot be reached and its packages are not cached: using the",
    "      stand-ins of tools/std instead (linked as vendor/std)",
  );
}

type Found = "none" | "fresh link" | "old link" | "other";

function lookAt(link: string): Found {
  try {
    const { isSymlink, mtime } = Deno.lstatSync(link);
    if (!isSymlink || Deno.readLinkSync(link) !== LINK_TARGET) return "other";
    const ageMs = Math.abs(Date.now() - (mtime?.getTime() ?? 0));
    return ageMs < KEEP_MS ? "fresh link" : "old link";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "none";
    throw error;
  }
}

/** The `jsr:` specifiers that deno.json imports. */
function jsrPackages(root: string): string[] {
  const config: { imports: Record<string, string> } = JSON.parse(
    Deno.readTextFileSync(join(root, "deno.json")),
  );
  return Object.values(config.imports).filter((specifier) => specifier.startsWith("jsr:"));
}

/** Whether Deno can import the packages without the network. */
function isCached(root: string, packages: string[]): boolean {
  // Only Deno knows what it needs, and that depends on the lock file: what
  // the lock pins is never looked up. So let it try, without configuration
  // (else our own link would satisfy it) and without writing the lock file.
  const source = packages.map((name) => `import ${JSON.stringify(name)};`);
  const lock = `--lock=${join(root, "deno.lock")}`;
  const { success } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-config", "--cached-only", "--no-prompt", lock]
      .concat("--frozen", `data:text/javascript,${source.join("")}`),
    cwd: root,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).outputSync();
  return success;
}

/** Whether the registry answers for each package, as a registry does. */
async function isAnswering(packages: string[]): Promise<boolean> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  try {
    const answers = await Promise.all(packages.map(async (name) => {
      // A login page of the local network is an answer too, but not JSON.
      const response = await fetch(manifestUrl(name), {
        signal,
        headers: { accept: "application/json" },
      });
      const body: unknown = await response.json();
      return response.ok && typeof body === "object" && body !== null &&
        "exports" in body;
    }));
    return answers.every((isGood) => isGood);
  } catch {
    return false;
  }
}

/** `jsr:@std/cli@^1.0.32` → where the registry describes that version. */
function manifestUrl(specifier: string): URL {
  const base = Deno.env.get("JSR_URL") || "https://jsr.io/";
  const [, name, version] = /^jsr:(@.+)@[\^~]?(.+)$/.exec(specifier)!;
  return new URL(`${name}/${version}_meta.json`, base.replace(/\/*$/, "/"));
}

/** Makes or renews the link; another run may do the same at the same time. */
function makeLink(link: string): void {
  Deno.mkdirSync(join(link, ".."), { recursive: true });
  const made = `${link}.${Deno.pid}`;
  Deno.symlinkSync(LINK_TARGET, made, { type: "dir" });
  try {
    // A rename replaces a link in one step, and never a folder.
    Deno.renameSync(made, link);
  } catch (error) {
    unlinkSync(made);
    throw error;
  }
}

function removeLink(link: string): void {
  try {
    // Unlike Deno.remove this can never take a folder away.
    unlinkSync(link);
  } catch (error) {
    if (lookAt(link) !== "none") throw error;
  }
}

function say(...lines: string[]): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${lines.join("\n")}\n`));
}
