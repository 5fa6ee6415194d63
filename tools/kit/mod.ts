/**
 * `deno task kit`: everything that a device without internet needs, per architecture one archive with an installer and one
 * Debian package; with `--source`, everything that a machine without internet needs to run, test and build this project.
 *
 * Archives are the same byte for byte from the same commit. Nothing half-written is left.
 */

import { basename, join } from "node:path";
import { EXIT, formatError, messageOf, UserError } from "../../lib/core/errors.ts";
import { VERSION } from "../../lib/core/build.ts";
import { quote } from "../../lib/core/text.ts";
import { makeBundle } from "../build/bundle.ts";
import { compile } from "../build/compile.ts";
import { parseFlags, type RuntimeChoice, usageError } from "../build/flags.ts";
import { npmDeno, sha256 } from "../build/npm_deno.ts";
import { stampOf } from "../build/stamp.ts";
import { type Target, TARGETS } from "../build/targets.ts";
import { makeDeb } from "./deb.ts";
import { partsOfDeno, sqliteVersion } from "./deno_contents.ts";
import { type DeviceKitOptions, type Executable, makeDeviceKit, partsOf } from "./device.ts";
import { packagesIn, readLock, ROOT } from "./packages.ts";
import { makeSourceKit } from "./source.ts";
import { inWorkFolder } from "../shared/temp_folder.ts";

const HELP =
  `Makes a kit and a Debian package for a device, or a kit of the source; none needs a network.

Usage: deno task kit [--arch ARCH]… [--settings FILE] [--denort FILE]… [--runtime RUNTIME] [--out DIR]
       deno task kit --source [--arch ARCH]… [--out DIR]

  --arch ARCH        ${TARGETS.map(({ arch }) => arch).join(" or ")} (default: both)
  --settings FILE    for this site alone: baked into the executable, and part of the kit
  --denort, --runtime  as \`deno task compile\` takes them
  --source           Deno, the source and every dependency instead of an executable
  --out DIR          where to (default: dist)
  --help             show this

SOURCE_DATE_EPOCH sets the time in the archive (default: that of the commit).
`;

/** What was asked for. */
export interface KitOptions {
  readonly targets: readonly Target[];
  readonly settings: string | undefined;
  readonly denort: readonly string[];
  readonly runtime: RuntimeChoice;
  readonly isSource: boolean;
  readonly out: string;
  readonly proxyPorts?: readonly number[];
}

/**
 * Reads the command line.
 *
 * @throws {UserError} If it is wrong.
 */
export function parseKit(args: readonly string[]): KitOptions | "help" {
  const flags = parseFlags(args, { task: "kit", list: "arch", toggle: "source" });
  if (flags === "help") return "help";
  const { list: archs, isToggled: isSource, settings, runtime, denort, out, proxyPorts } = flags;
  const known = TARGETS.map(({ arch }) => arch);
  for (const arch of archs) {
    if (!known.some((one) => one === arch)) {
      throw usageError(
        "kit",
        `Cannot make a kit for ${quote(arch)}: must be ${known.join(" or ")}`,
      );
    }
  }
  if (isSource && settings !== undefined) {
    throw usageError("kit", "Cannot use --settings with --source: that kit is for any settings");
  }
  if (isSource && (runtime !== undefined || denort.length > 0)) {
    throw usageError("kit", "Cannot use --runtime or --denort with --source: it has all of Deno");
  }
  return {
    targets: TARGETS.filter(({ arch }) => archs.length === 0 || archs.includes(arch)),
    runtime: runtime ?? "auto",
    out: out ?? "dist",
    ...{ settings, denort, isSource },
    ...(proxyPorts.length > 0 && { proxyPorts }),
  };
}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseKit(args);
    if (options === "help") {
      console.log(HELP);
      return EXIT.ok;
    }
    for (const { path, bytes } of await makeKits(options, (line) => console.error(line))) {
      const sum = sha256(await Deno.readFile(path));
      console.log(
        `${path}\n  size     ${bytes} (${(bytes / 1e6).toFixed(1)} MB)\n  sha256   ${sum}`,
      );
    }
    return EXIT.ok;
  } catch (error) {
    console.error(formatError(error));
    return error instanceof UserError ? error.exitCode : EXIT.bug;
  }
}

/** An archive. */
export interface Kit {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Makes what was asked for.
 *
 * @param say Takes what is worth a line.
 * @param options.withParts Whether executables and bills of materials are put beside the kits, too. @default false
 * @throws {UserError} If one cannot be made; then the folder stays as it was.
 */
export async function makeKits(
  { targets, settings, denort, runtime, isSource, out, proxyPorts = [] }: KitOptions,
  say: (line: string) => void,
  { withParts = false }: { readonly withParts?: boolean } = {},
): Promise<Kit[]> {
  return await inFolder(out, async (work) => {
    const lock = readLock();
    const kits: Kit[] = [];
    if (isSource) {
      const { date } = await stampOf(ROOT, Deno.env.get("SOURCE_DATE_EPOCH"));
      const timeS = Date.parse(date) / 1000;
      for (const target of targets) {
        const deno = await npmDeno(target);
        kits.push(await makeSourceKit(target, { version: VERSION, lock, deno, timeS, out: work }));
      }
    } else {
      const built = await compile({
        targets: targets.map(({ name }) => name),
        denort,
        runtime,
        out: work,
        proxyPorts,
        say,
        ...(settings !== undefined && { settings }),
      });
      const { modules } = await makeBundle();
      const packages = await packagesIn(modules, lock);
      const standIns = modules.filter((path) => /^tools\/(std|build\/stand_ins)\//.test(path));
      // Compiling has read and checked them.
      const text = settings === undefined ? undefined : await Deno.readTextFile(settings);
      const known = { version: VERSION, packages, standIns, settings: text, out: work };
      for (const executable of built) {
        const target = TARGETS.find(({ arch }) => arch === executable.arch)!;
        const deno = executable.runtime === "npm"
          ? await npmDeno(target)
          : await Deno.readFile(executable.path);
        const parts = { ...known, denoParts: partsOfDeno(deno, sqliteVersion()) };
        kits.push(await makeDeviceKit(executable, parts), await makeDeb(executable, parts));
        if (withParts) kits.push(...await makeLoose(executable, parts));
      }
    }
    return kits.map(({ path, bytes }) => {
      const place = join(out, basename(path));
      Deno.renameSync(path, place);
      return { path: place, bytes };
    });
  });
}

/** An executable and its bill of materials, as files of their own. */
async function makeLoose(executable: Executable, options: DeviceKitOptions): Promise<Kit[]> {
  const name = `mqtt443-${options.version}-linux-${executable.arch}.sbom.cdx.json`;
  const path = join(options.out, name);
  const bill = partsOf(executable, options, "install.sh")
    .find(({ path }) => path === "sbom.cdx.json")!;
  await Deno.writeTextFile(path, String(bill.content));
  return await Promise.all([path, executable.path].map(async (path) => ({
    path,
    bytes: (await Deno.stat(path)).size,
  })));
}

/** Works in a folder where the result belongs: there must be room there anyway. */
async function inFolder<T>(out: string, work: (folder: string) => Promise<T>): Promise<T> {
  let isMade = false;
  try {
    return await inWorkFolder(out, ".kit-", (folder) => {
      isMade = true;
      return work(folder);
    });
  } catch (cause) {
    if (isMade) throw cause;
    throw new UserError(`Cannot write to ${quote(out)}: ${messageOf(cause)}`, {
      code: "tool-failed",
      hint: "name another folder with --out DIR",
      exitCode: EXIT.cannotCreate,
      cause,
    });
  }
}
