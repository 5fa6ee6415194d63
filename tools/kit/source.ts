/**
 * The kit of the source: the project's files, Deno, and every npm package of the lock file, for a machine that has no
 * network. In place of the JSR packages it has the project's stand-ins, on which the same tests pass. Deno for the other
 * machines is there too, since executables are made for all of them.
 */

import { join } from "node:path";
import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { npmDenoFolder } from "../build/npm_deno.ts";
import { runDeno } from "../build/run_deno.ts";
import { DENO_VERSION, type Target, TARGETS } from "../build/targets.ts";
import { type Entry, writeArchive } from "./archive.ts";
import { below } from "./device.ts";
import { type Lock, type LockedPackage, npmFolders, ROOT } from "./packages.ts";
import { kitText } from "./texts.ts";

/** What the kit is made from. */
export interface SourceKitOptions {
  readonly version: string;
  readonly lock: Lock;
  /** The official Deno for the target. */
  readonly deno: Uint8Array;
  /** Time of everything in it, in s since 1970. */
  readonly timeS: number;
  /** Folder for the archive, which must be there. */
  readonly out: string;
}

const FILES = join(import.meta.dirname!, "files");
/** Where the kit's own things are: a folder that git, and Deno's formatter and linter, leave alone. */
const DENO_FOLDER = "vendor/deno";
/** The name under which Deno keeps what comes from npm. */
const CACHE = `${DENO_FOLDER}/cache/npm/registry.npmjs.org`;
/** What is beside the project's files in a kit, and no part of the project. */
const OF_THE_KIT = ["deno", "KIT.txt"];

/**
 * Makes the kit: `mqtt443-<version>-source-linux-<arch>.tar.gz`.
 *
 * @returns Its path and size in bytes.
 */
export async function makeSourceKit(
  target: Target,
  { version, lock, deno, timeS, out }: SourceKitOptions,
): Promise<{ path: string; bytes: number }> {
  const script = Deno.readTextFileSync(join(FILES, "deno")).replace("@EPOCH@", `${timeS}`);
  const entries: Entry[] = [
    ...(await projectFiles(ROOT)).map((path) => entryOf(ROOT, path)),
    { path: "deno", content: script, isExecutable: true },
    { path: "KIT.txt", content: kitText(version, target.arch) },
    { path: `${DENO_FOLDER}/deno`, content: deno, isExecutable: true },
    // tools/deps.ts leaves alone what is not its own link, and thus asks no network either.
    { path: "vendor/std", link: "../tools/std/" },
    ...await packageFiles(lock, target),
  ];
  const name = `mqtt443-${version}-source-linux-${target.arch}`;
  const path = join(out, `${name}.tar.gz`);
  return { path, bytes: await writeArchive(path, below(name, entries), timeS) };
}

/** The project's files: what git tracks, or without git, what git would not ignore; as paths from its folder. */
export async function projectFiles(root: string): Promise<string[]> {
  const tracked = await gitFiles(root);
  // In a folder within another repository, git tracks nothing of it.
  if (tracked.includes("deno.json")) {
    return tracked.filter((path) => path !== "" && exists(join(root, path)));
  }
  const ignored = Deno.readTextFileSync(join(root, ".gitignore")).split("\n")
    .map((line) => line.replace(/^\/|\/$/g, ""));
  const left = new Set([".git", ...ignored, ...OF_THE_KIT]);
  return [...Deno.readDirSync(root)].filter(({ name }) => !left.has(name))
    .flatMap((entry) => entry.isDirectory ? filesIn(root, entry.name) : [entry.name]);
}

/** What git tracks; nothing where there is no git, or no repository. */
async function gitFiles(root: string): Promise<string[]> {
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", root, "ls-files", "-z"],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).split("\0") : [];
  } catch {
    return [];
  }
}

/** The npm packages of the lock file that run on the target, and Deno for the others, as Deno's cache has them. */
async function packageFiles(lock: Lock, target: Target): Promise<Entry[]> {
  const wanted = Object.entries(lock.npm).filter(([, locked]) => isFor(locked, target))
    .map(([key, { integrity }]) => ({ id: /^(@[^/]+\/)?[^@]+@[^_]+/.exec(key)![0], integrity }));
  const folders = await npmFolders();
  const folderOf = (id: string) => {
    const folder = folders.get(id);
    if (folder === undefined) throw new Error(`Cannot find npm:${id} of deno.lock in Deno's cache`);
    return folder;
  };
  const missing = wanted.map(({ id }) => id).filter((id) => !exists(folderOf(id)));
  if (missing.length > 0) await fetchPackages(missing, lock);
  const others = TARGETS.filter((other) => other !== target).map(async (other) => ({
    id: `${other.package}@${DENO_VERSION}`,
    integrity: other.integrity,
    folder: await npmDenoFolder(other),
  }));
  const packages = [
    ...wanted.map((one) => ({ ...one, folder: folderOf(one.id) })),
    ...await Promise.all(others),
  ];
  const packuments = new Map<string, Record<string, unknown>>();
  const files = packages.flatMap(({ id, integrity, folder }) => {
    const [name, version] = [id.replace(/(?<=.)@.*$/, ""), id.replace(/^.+@/, "")];
    packuments.set(name, { ...packuments.get(name), [version]: versionInfo(folder, integrity) });
    return filesIn(folder, "").filter((path) => !path.endsWith(".map"))
      .map((path) => ({ ...entryOf(folder, path), path: `${CACHE}/${name}/${version}/${path}` }));
  });
  return [
    ...files,
    ...[...packuments].map(([name, versions]) => ({
      path: `${CACHE}/${name}/registry.json`,
      // As Deno writes it; without it, Deno would ask the registry.
      content: JSON.stringify({ name, versions, "dist-tags": {}, "_deno.packumentFormat": "full" }),
    })),
  ];
}

function isFor({ os, cpu }: LockedPackage, { arch }: Target): boolean {
  const machine = arch === "arm64" ? "arm64" : "x64";
  return (os?.includes("linux") ?? true) && (cpu?.includes(machine) ?? true);
}

/** What the registry says of a version, made from the package itself. */
function versionInfo(folder: string, integrity: string): Record<string, unknown> {
  const manifest = JSON.parse(Deno.readTextFileSync(join(folder, "package.json")));
  const kept = [
    ...["version", "bin", "dependencies", "optionalDependencies"],
    ...["peerDependencies", "peerDependenciesMeta", "os", "cpu"],
  ];
  return {
    ...Object.fromEntries(kept.flatMap((key) => key in manifest ? [[key, manifest[key]]] : [])),
    dist: { tarball: "", integrity },
  };
}

/** Has Deno fetch packages into its cache; the lock file's hashes are checked. */
async function fetchPackages(ids: readonly string[], lock: Lock): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-kit-" });
  try {
    const file = join(folder, "deno.lock");
    const specifiers = ids.map((id) => [`npm:${id}`, id.replace(/^.+@/, "")]);
    const { npm } = lock;
    await Deno.writeTextFile(
      file,
      JSON.stringify({ version: "5", specifiers: Object.fromEntries(specifiers), npm }),
    );
    await runDeno(
      ["cache", "--no-config", `--lock=${file}`, ...ids.map((id) => `npm:${id}`)],
      { cwd: folder, env: Deno.env.toObject() },
    );
  } catch (cause) {
    throw new UserError(`Cannot fetch ${ids.join(", ")} of deno.lock: ${messageOf(cause)}`, {
      code: "tool-failed",
      hint: "reach the npm registry once (NPM_CONFIG_REGISTRY and HTTPS_PROXY are heeded)",
      exitCode: EXIT.unavailable,
      cause,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Files and links below a folder, as paths from `root`. */
function filesIn(root: string, folder: string): string[] {
  return [...Deno.readDirSync(join(root, folder))].flatMap(({ name, isDirectory }) => {
    const path = folder === "" ? name : `${folder}/${name}`;
    return isDirectory ? filesIn(root, path) : [path];
  });
}

function entryOf(root: string, path: string): Entry {
  const file = join(root, path);
  const { isSymlink, mode } = Deno.lstatSync(file);
  if (isSymlink) return { path, link: Deno.readLinkSync(file) };
  return { path, file, isExecutable: ((mode ?? 0) & 0o100) !== 0 };
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
