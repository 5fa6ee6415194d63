/**
 * Which packages of others are in the executable: read from the bundle's modules, the lock file, and Deno's cache.
 *
 * What is made of them is sbom.ts's and licenses.ts's business. They are npm packages alone: for those of JSR the bundle
 * holds files of tools/std, which are this project's own.
 */

import { dirname, join } from "node:path";
import { runDeno } from "../build/run_deno.ts";

/** The project's folder. */
export const ROOT: string = dirname(dirname(import.meta.dirname!));

/** A package in the executable. */
export interface Package {
  /** With its scope: `@peculiar/x509`. */
  readonly name: string;
  readonly version: string;
  /** From the lock file: `sha512-…` of the archive. */
  readonly integrity: string;
  /** SPDX expression that the package declares. */
  readonly license: string;
  /** The text of its licence. */
  readonly licenseText: string;
  /** Where it is developed. */
  readonly home: string;
  /** Names of those in the executable that it uses itself. */
  readonly uses: readonly string[];
}

/** deno.lock, as far as it is used. */
export interface Lock {
  readonly npm: Readonly<Record<string, LockedPackage>>;
}

/** A package in deno.lock. */
export interface LockedPackage {
  readonly integrity: string;
  readonly dependencies?: readonly string[];
  /** Kinds of machines that it is for, as Node calls them. */
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
}

/** Reads deno.lock. */
export function readLock(): Lock {
  return JSON.parse(Deno.readTextFileSync(join(ROOT, "deno.lock")));
}

/**
 * The packages in a bundle, sorted by name.
 *
 * @param modules As tools/build/bundle.ts tells them.
 * @throws {Error} If the lock file does not pin one, or one brings no licence.
 */
export async function packagesIn(modules: readonly string[], lock: Lock): Promise<Package[]> {
  const names = new Set(
    modules.flatMap((path) => /^npm:((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  );
  const folders = await npmFolders();
  return [...names].sort().map((name) => {
    const one = packageOf(name, lock, folders);
    return { ...one, uses: one.uses.filter((used) => names.has(used)).sort() };
  });
}

function packageOf(name: string, lock: Lock, folders: ReadonlyMap<string, string>): Package {
  const [version, locked] = lockedAs(name, lock.npm);
  const folder = folders.get(`${name}@${version}`);
  if (folder === undefined) throw new Error(`Cannot find npm:${name}@${version} in Deno's cache`);
  const { license, repository } = JSON.parse(Deno.readTextFileSync(join(folder, "package.json")));
  const file = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .find((name) => /^licen[cs]e(\.(md|txt))?$/i.test(name));
  if (typeof license !== "string" || file === undefined) {
    throw new Error(`Cannot tell the licence of npm:${name}@${version}: the package holds none`);
  }
  return {
    name,
    version,
    integrity: locked.integrity,
    license,
    licenseText: Deno.readTextFileSync(join(folder, file)),
    home: (typeof repository === "string" ? repository : repository?.url ?? "")
      .replace(/^git(\+https)?:\/\//, "https://").replace(/\.git$/, ""),
    uses: (locked.dependencies ?? []).map(withoutVersion),
  };
}

/** The one version of a package that the lock file has. Keys look like `@scope/name@1.2.3_peer@4.5.6`. */
function lockedAs(
  name: string,
  section: Readonly<Record<string, LockedPackage>>,
): [string, LockedPackage] {
  const found = Object.entries(section).filter(([key]) => withoutVersion(key) === name);
  if (found.length !== 1) {
    throw new Error(`Cannot tell the version of ${name}: deno.lock has ${found.length} of it`);
  }
  const [key, locked] = found[0]!;
  return [key.slice(name.length + 1).split("_")[0]!, locked];
}

function withoutVersion(specifier: string): string {
  return specifier.replace(/(?<=.)@.*$/, "");
}

/** Where Deno unpacks the npm packages of the lock file, by `name@version`; not all of them are there. */
export async function npmFolders(): Promise<Map<string, string>> {
  const text = await runDeno(["info", "--json", "--frozen", "main.ts"], {
    cwd: ROOT,
    env: Deno.env.toObject(),
  });
  const { npmPackages }: {
    npmPackages: Record<string, { name: string; version: string; localPath: string }>;
  } = JSON.parse(text);
  return new Map(
    Object.values(npmPackages).map(({ name, version, localPath }) => [
      `${name}@${version}`,
      localPath,
    ]),
  );
}
