/**
 * `deno task release`: everything that a release is made of in one folder: executables, kits, Debian packages, bills of
 * materials, checksums, their signature, and RELEASE.md, which says how to verify all that.
 *
 * It is made whole beside its place, and then renamed. It publishes nothing.
 */

import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { VERSION } from "../../lib/core/build.ts";
import { EXIT, formatError, messageOf, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";
import { sha256 } from "../build/npm_deno.ts";
import { stampOf } from "../build/stamp.ts";
import { TARGETS } from "../build/targets.ts";
import { type KitOptions, makeKits } from "../kit/mod.ts";
import { ROOT } from "../kit/packages.ts";
import { inWorkFolder } from "../shared/temp_folder.ts";
import { releasePage } from "./page.ts";
import { sign } from "./sign.ts";

const HELP =
  `Makes the folder of a release: executables, kits, packages, checksums, signature, RELEASE.md.

Usage: deno task release --key FILE [--arch ARCH]… [--runtime RUNTIME] [--out DIR]

  --key FILE         sign with this SSH key: a private key's file, or the public one of a key in ssh-agent
  --arch ARCH        ${TARGETS.map(({ arch }) => arch).join(" or ")} (default: both)
  --runtime RUNTIME  as \`deno task compile\` takes it
  --out DIR          where to; must not be there yet (default: dist/release-${VERSION})
  --help             show this

SOURCE_DATE_EPOCH sets the time in the archives (default: that of the commit).
`;

/** What was asked for. */
export interface ReleaseOptions extends Pick<KitOptions, "targets" | "runtime"> {
  readonly key: string;
  readonly out: string;
}

/**
 * Reads the command line.
 *
 * @throws {UserError} If it is wrong.
 */
export function parseRelease(args: readonly string[]): ReleaseOptions | "help" {
  const flags = parseArgs(args[0] === "--" ? args.slice(1) : [...args], {
    string: ["key", "arch", "runtime", "out"],
    collect: ["arch"],
    boolean: ["help"],
    unknown: (argument) => {
      throw usageError(`Cannot understand ${quote(argument)}`);
    },
  });
  if (flags.help) return "help";
  if (!flags.key) throw usageError("Cannot make a release without a key: --key FILE is required");
  const archs = flags.arch as string[];
  const strange = archs.find((name) => !TARGETS.some(({ arch }) => arch === name));
  if (strange !== undefined) throw usageError(`Cannot make a release for ${quote(strange)}`);
  const runtime = flags.runtime ?? "auto";
  if (runtime !== "auto" && runtime !== "npm" && runtime !== "denort") {
    throw usageError(`Unknown runtime ${quote(runtime)}`);
  }
  return {
    targets: TARGETS.filter(({ arch }) => archs.length === 0 || archs.includes(arch)),
    key: flags.key,
    out: flags.out || join("dist", `release-${VERSION}`),
    runtime,
  };
}

function usageError(message: string): UserError {
  return new UserError(message, {
    code: "tool-failed",
    hint: "see `deno task release --help`",
    exitCode: EXIT.usage,
  });
}

/**
 * Makes the folder.
 *
 * @returns The names of what is in it.
 * @throws {UserError} If it cannot be made; then nothing is left.
 */
export async function makeRelease(
  { targets, runtime, key, out }: ReleaseOptions,
  say: (line: string) => void,
): Promise<string[]> {
  if (await Deno.lstat(out).then(() => true, () => false)) {
    throw new UserError(`Cannot make a release in ${quote(out)}: it is there already`, {
      code: "tool-failed",
      hint: `move it away: \`mv ${out} ${out}.old\`; or name another folder with --out DIR`,
      exitCode: EXIT.cannotCreate,
    });
  }
  return await inWorkFolder(join(out, ".."), ".release-", async (work) => {
    const folder = join(work, "release");
    const made = await makeKits(
      { targets, runtime, settings: undefined, denort: [], isSource: false, out: folder },
      say,
      { withParts: true },
    );
    await Deno.copyFile(join(ROOT, ".github/CHANGELOG.md"), join(folder, "CHANGELOG.md"));
    const files = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    const lines = [];
    for (const name of files) {
      lines.push(`${sha256(await Deno.readFile(join(folder, name)))}  ${name}\n`);
    }
    const sums = join(folder, "SHA256SUMS");
    await Deno.writeTextFile(sums, lines.join(""));
    const signer = await sign(sums, key);
    await Deno.writeTextFile(join(folder, "allowed_signers"), signer);
    const { commit, date } = await stampOf(ROOT, Deno.env.get("SOURCE_DATE_EPOCH"));
    const page = releasePage({ version: VERSION, commit, date, files, signer });
    await Deno.writeTextFile(join(folder, "RELEASE.md"), page);
    await Deno.rename(folder, out);
    say(`${made.length} kits and packages, ${files.length} files signed for`);
    return [...Deno.readDirSync(out)].map(({ name }) => name).sort();
  }).catch((cause) => {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`Cannot make a release in ${quote(out)}: ${messageOf(cause)}`, {
      code: "tool-failed",
      hint: "free some space (`df -h`), or name another folder with --out DIR",
      exitCode: EXIT.cannotCreate,
      cause,
    });
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseRelease(args);
    if (options === "help") {
      console.log(HELP);
      return EXIT.ok;
    }
    const names = await makeRelease(options, (line) => console.error(line));
    console.log(names.map((name) => join(options.out, name)).join("\n"));
    return EXIT.ok;
  } catch (error) {
    console.error(formatError(error));
    return error instanceof UserError ? error.exitCode : EXIT.bug;
  }
}
