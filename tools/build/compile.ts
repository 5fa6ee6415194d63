/**
 * `deno task compile`: executables for x86_64 and arm64, each one file.
 *
 * The bundle of main.ts goes into denort by `deno compile`; where no denort can be had, the same bundle is packed with
 * the official Deno from npm (tools/build/). Everything is made before anything is put into the folder, so that a
 * failure leaves it as it was. Beside them goes the bundle that `deno task publish` runs while it is fresh.
 */

import config from "../../deno.json" with { type: "json" };
import type { Build } from "../../lib/core/build.ts";
import { EXIT, formatError, UserError } from "../../lib/core/errors.ts";
import { makeBundle } from "./bundle.ts";
import { findDenort, readDenort, targetOf } from "./denort.ts";
import { parseFlags, type RuntimeChoice } from "./flags.ts";
import { npmDeno, sha256 } from "./npm_deno.ts";
import { packed } from "./packed.ts";
import { putAll } from "./put.ts";
import { denoDir } from "./run_deno.ts";
import { scopeOf } from "./scope.ts";
import { stampOf } from "./stamp.ts";
import { makeStandalone } from "./standalone.ts";
import { type Target, TARGETS, targetsOf } from "./targets.ts";
import { tryOut } from "./trial.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Options of {@linkcode compile}. */
export interface CompileOptions {
  /** As Deno calls them. @default all; with `denort`, those it is for */
  readonly targets?: readonly string[];
  /** Settings file of the one site that it is for. @default none: for any endpoint of AWS */
  readonly settings?: string;
  /** Ports at which the one for any endpoint may reach a proxy, at private addresses. @default none */
  readonly proxyPorts?: readonly number[];
  /** @default "auto" */
  readonly runtime?: RuntimeChoice;
  /** Files or zips with denort. */
  readonly denort?: readonly string[];
  /** Folder. @default "dist" */
  readonly out?: string;
  /** Takes what is worth a line. @default nobody */
  readonly say?: (line: string) => void;
  /** Variables that are looked at. @default this process's */
  readonly env?: Pick<Deno.Env, "get">;
}

/** An executable. */
export interface Built {
  readonly path: string;
  readonly target: Target["name"];
  readonly arch: Target["arch"];
  readonly runtime: "denort" | "npm";
  readonly bytes: number;
  readonly sha256: string;
  readonly build: Build;
}

/**
 * Makes the executables.
 *
 * @throws {UserError} If one cannot be made; then nothing was changed.
 */
export async function compile(options: CompileOptions = {}): Promise<Built[]> {
  const { runtime = "auto", out = "dist", say = () => {}, env = Deno.env } = options;
  const named = await Promise.all((options.denort ?? []).map((path) => readDenort(path)));
  const fitting = TARGETS.filter((target) => named.some((denort) => targetOf(denort) === target));
  const targets = options.targets?.length
    ? targetsOf(options.targets)
    : fitting.length > 0
    ? fitting
    : TARGETS;
  const build: Build = {
    ...await stampOf(ROOT, env.get("SOURCE_DATE_EPOCH")),
    ...scopeOf(options.settings, options.proxyPorts),
  };
  const { code } = await makeBundle(build);
  // What `deno task publish` runs: it carries no grants.
  const bundle = await makeBundle();
  const make = async (target: Target) => {
    const parts = { target, code, grants: build.grants };
    if (runtime !== "npm") {
      const search = { named, variable: env.get("DENORT_BIN"), denoDir: await denoDir() };
      const denort = await findDenort(target, search).catch((error) => {
        // What was named is never passed over: that it is unusable has another code.
        const isMissing = error instanceof UserError && error.exitCode === EXIT.unavailable;
        if (runtime === "denort" || !isMissing) throw error;
        say(`no denort for ${target.name}, so Deno from npm goes into it: ${error.message}`);
      });
      if (denort !== undefined) {
        const check = (path: string) => tryOut(path, { target, denort, build, say });
        return {
          runtime: "denort" as const,
          bytes: await makeStandalone({ ...parts, denort, date: build.date, check }),
        };
      }
    }
    const deno = await npmDeno(target);
    return {
      runtime: "npm" as const,
      bytes: await packed({ ...parts, deno, version: config.version }),
    };
  };
  const made = await Promise.all(targets.map(async (target) => {
    const { runtime, bytes } = await make(target);
    // Two executables that may do different things never have one name.
    const path = `${out}/mqtt443-${build.scope === "site" ? "site-" : ""}linux-${target.arch}`;
    const { name, arch } = target;
    const sum = sha256(bytes);
    return { content: bytes, path, target: name, arch, runtime, sha256: sum };
  }));
  const script = { path: `${out}/mqtt443.js`, content: new TextEncoder().encode(bundle.code) };
  await putAll(out, [...made.map((file) => ({ ...file, mode: 0o755 })), {
    ...script,
    mode: 0o644,
  }]);
  return made.map(({ content, ...built }) => ({ ...built, bytes: content.length, build }));
}

const HELP = `Makes executables of mqtt443, each one file.

Usage: deno task compile [--target TARGET]… [--settings FILE] [--runtime auto|npm|denort]
                         [--denort FILE]… [--proxy-ports PORTS] [--out DIR] [--json]

  --target TARGET   ${TARGETS.map(({ name }) => name).join(" or ")}
                    (default: both; with --denort, those that it is for)
  --settings FILE   for one site: nothing but what this settings file needs is permitted
                    (default: for any endpoint of AWS IoT Core, files in the usual places)
  --runtime WHICH   denort: by deno compile; npm: Deno from npm, unpacked at the first start;
                    auto: denort where it can be had, else npm (default)
  --denort FILE     denort, or the zip it comes in; else DENORT_BIN, Deno's cache, a download
  --proxy-ports PORTS  without --settings: it may also reach a proxy at these ports (3128,8080) of
                    private addresses; --proxy then names it by its address, not by a host name
  --out DIR         where they go (default: dist)
  --json            what was made, as JSON

Example:
  deno task compile --target aarch64-unknown-linux-gnu --settings mqtt443.json

Exit codes: 0 done, 64 wrong command line, 69 denort or Deno cannot be had, 73 DIR or TMPDIR
cannot be written, 78 settings or denort are wrong.
`;

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  try {
    const flags = parse(args);
    if (flags === "help") {
      console.log(HELP);
      return EXIT.ok;
    }
    const built = await compile({ ...flags, say: (line) => console.error(line) });
    console.log(flags.json ? JSON.stringify(built, null, 2) : built.map(textOf).join("\n"));
    return EXIT.ok;
  } catch (error) {
    console.error(formatError(error));
    return error instanceof UserError ? error.exitCode : EXIT.bug;
  }
}

function parse(args: readonly string[]): CompileOptions & { json: boolean } | "help" {
  const flags = parseFlags(args, { task: "compile", list: "target", toggle: "json" });
  if (flags === "help") return "help";
  const { list: targets, isToggled: json, denort, runtime, settings, out, proxyPorts } = flags;
  return {
    ...{ targets, json, denort, proxyPorts },
    ...(runtime !== undefined && { runtime }),
    ...(settings !== undefined && { settings }),
    ...(out !== undefined && { out }),
  };
}

function textOf({ path, bytes, sha256, runtime, build }: Built): string {
  const { scope, grants, commit, date } = build;
  const { notify, listen, status, ...others } = grants;
  const one = (path: string | undefined) => path === undefined ? [] : [path];
  const lists = { ...others, notify: one(notify), listen: one(listen), status: one(status) };
  const grantLines = Object.entries(lists).map(([name, values]) =>
    `  ${name.padEnd(8)} ${values.join(" ") || "none"}`
  );
  return [
    path,
    `  size     ${bytes} (${(bytes / 1e6).toFixed(1)} MB)`,
    `  sha256   ${sha256}`,
    `  runtime  ${
      runtime === "denort"
        ? "denort, by deno compile"
        : "Deno from npm, unpacked at the first start"
    }`,
    `  build    ${commit}, ${date}`,
    `  scope    ${scope}`,
    ...grantLines,
  ].join("\n");
}
