/**
 * The official Deno from npm, for what runs where there is no denort.
 *
 * Deno itself fetches it: registry, proxy, certificates and its cache are as in all other tasks, and a machine without a
 * network works once the cache has it. A lock file with the pinned hash goes along, and the executable is checked
 * against its own. Nothing is fetched where Deno that runs this is the one that is wanted.
 */

import { createHash } from "node:crypto";
import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { inTempFolder } from "../shared/temp_folder.ts";
import { runDeno } from "./run_deno.ts";
import { DENO_VERSION, type Target } from "./targets.ts";

/** Options of {@linkcode npmDeno}. */
export interface NpmDenoOptions {
  /** @default Deno that runs this */
  readonly execPath?: string;
  /** Variables for Deno besides those of this process: tests have a cache and a registry of their own. */
  readonly env?: Readonly<Record<string, string>>;
  /** In ms. @default 15 minutes */
  readonly patienceMs?: number;
}

/**
 * The executable of Deno for a target.
 *
 * @throws {UserError} If it cannot be had, or is not the one pinned.
 */
export async function npmDeno(target: Target, options: NpmDenoOptions = {}): Promise<Uint8Array> {
  const execPath = options.execPath ?? Deno.execPath();
  if (Deno.build.target === target.name) {
    const own = await Deno.readFile(execPath);
    if (sha256(own) === target.denoSha256) return own;
  }
  return (await cached(target, execPath, options)).bytes;
}

/**
 * The folder in Deno's cache with the package that {@linkcode npmDeno} comes from.
 *
 * @throws {UserError} If it cannot be had, or is not the one pinned.
 */
export async function npmDenoFolder(target: Target): Promise<string> {
  return (await cached(target, Deno.execPath(), {})).folder;
}

/** SHA-256 in hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function cached(
  target: Target,
  execPath: string,
  options: NpmDenoOptions,
): Promise<{ folder: string; bytes: Uint8Array }> {
  const folder = await fetched(target, execPath, options);
  const path = `${folder}/deno`;
  const bytes = await Deno.readFile(path).catch((cause) => {
    throw unusable(target, `Cannot read ${path}: ${messageOf(cause)}`, path);
  });
  const sum = sha256(bytes);
  if (sum === target.denoSha256) return { folder, bytes };
  throw unusable(
    target,
    `Cannot use ${path}: its sha256 must be ${target.denoSha256}: it is ${sum}`,
    path,
  );
}

function unusable(target: Target, message: string, path: string): UserError {
  return new UserError(message, {
    code: "tool-failed",
    hint: `remove the folder ${
      path.replace(/\/[^/]*$/, "")
    }, so that ${target.package} is fetched again`,
    exitCode: EXIT.unavailable,
  });
}

/** Has Deno fetch the package, and tells where it lies. */
async function fetched(
  target: Target,
  execPath: string,
  { env, patienceMs }: NpmDenoOptions,
): Promise<string> {
  const specifier = `npm:${target.package}@${DENO_VERSION}`;
  return await inTempFolder("mqtt443-npm-", async (folder) => {
    const lock = `${folder}/deno.lock`;
    await Deno.writeTextFile(lock, lockOf(target));
    const common = ["--no-config", "--frozen", "--lock", lock, specifier];
    const run = (...args: string[]) =>
      runDeno([...args, ...common], {
        execPath,
        cwd: folder,
        env: { ...Deno.env.toObject(), ...env },
        patienceMs,
      });
    try {
      await run("cache");
      const { npmPackages } = JSON.parse(await run("info", "--json"));
      return npmPackages[`${target.package}@${DENO_VERSION}`].localPath;
    } catch (cause) {
      throw new UserError(
        `Cannot fetch ${specifier}, the Deno that executables for ${target.machine} carry: ${
          messageOf(cause)
        }`,
        {
          code: "tool-failed",
          hint:
            "reach the npm registry once (NPM_CONFIG_REGISTRY, HTTPS_PROXY and DENO_CERT are heeded), " +
            "or name denort with --denort FILE",
          exitCode: EXIT.unavailable,
          cause,
        },
      );
    }
  });
}

function lockOf({ package: name, integrity }: Target): string {
  return JSON.stringify({
    version: "5",
    specifiers: { [`npm:${name}@${DENO_VERSION}`]: DENO_VERSION },
    npm: { [`${name}@${DENO_VERSION}`]: { integrity } },
  });
}
