/**
 * Makes one minified ES module of main.ts and all that it reaches: what executables run, and the bench.
 *
 * Deno says which npm packages these are and where they lie; esbuild joins them. `deno bundle` cannot put one module in
 * place of another: that gives 350 KB. Of MQTT.js only what this program uses comes along: see {@linkcode STAND_INS}.
 *
 * The bytes do not depend on whether jsr.io can be reached: the bundle always holds the stand-ins of tools/std.
 */

import { dirname, join } from "node:path";
import { builtinModules } from "node:module";
import * as esbuild from "esbuild";
import type { Build } from "../../lib/core/build.ts";
import { slim } from "./slim.ts";
import { inTempFolder } from "../shared/temp_folder.ts";

/** A bundle. */
export interface Bundle {
  readonly code: string;
  /** Every module in it: paths from the project's folder, or `npm:PACKAGE/FILE`. */
  readonly modules: readonly string[];
}

const ROOT = dirname(dirname(import.meta.dirname!));

/** What modules ask for, and what they get: Deno's own, or a file of tools/build/stand_ins that says why, or of tools/std. */
const STAND_INS: Readonly<Record<string, string>> = {
  // The same bytes wherever they are made: the packages of JSR are not everywhere.
  "@std/cli/parse-args": join(ROOT, "tools/std/cli/parse_args.ts"),
  "@std/log/base-handler": join(ROOT, "tools/std/log/mod.ts"),
  "@std/log/levels": join(ROOT, "tools/std/log/mod.ts"),
  "@std/log/logger": join(ROOT, "tools/std/log/mod.ts"),
  // The same streams as Node's, a second time: 90 KB.
  "readable-stream": "node:stream",
  "debug": join(ROOT, "tools/build/stand_ins/debug.cjs"),
  "bl": join(ROOT, "tools/build/stand_ins/bl.cjs"),
  "process-nextick-args": join(ROOT, "tools/build/stand_ins/nextick.cjs"),
  "rfdc/default": join(ROOT, "tools/build/stand_ins/rfdc.cjs"),
  "../topic-alias-send": join(ROOT, "tools/build/stand_ins/topic_alias_send.cjs"),
  "./generate": join(ROOT, "tools/build/stand_ins/generate.cjs"),
  "./KeepaliveManager": join(ROOT, "tools/build/stand_ins/keepalive_manager.cjs"),
  "./auth": join(ROOT, "tools/build/stand_ins/auth.cjs"),
  "./is-browser": join(ROOT, "tools/build/stand_ins/is_browser.cjs"),
};

/**
 * What this program imports of Node's modules. Each is imported where its turn comes, and kept in `NODE` for CommonJS,
 * which cannot import: to ask `process` for them would load a dozen scripts of Node more.
 */
const IMPORTED: Readonly<Record<string, readonly string[]>> = {
  "node:buffer": ["Buffer"],
  "node:crypto": ["X509Certificate", "createPrivateKey"],
  "node:dns": ["lookup"],
  "node:net": ["connect", "createServer", "isIP"],
  "node:sqlite": ["DatabaseSync"],
  "node:stream": ["Transform"],
  "node:tls": ["connect"],
  "node:zlib": ["crc32"],
};

/** What CommonJS alone asks for, and what brings it along. */
const ALONG: Readonly<Record<string, readonly string[]>> = {
  "node:tls": ["node:stream", "node:events", "node:process"],
};

/**
 * Bundles the program.
 *
 * @param build What to write into it; without it the bundle says what the source would.
 * @throws {UserError} If there is no temporary folder, or it is full.
 * @throws {Error} If a module cannot be found.
 */
export async function makeBundle(build?: Build): Promise<Bundle> {
  const packages = await npmPackages();
  return await inTempFolder("mqtt443-bundle-", async (dir) => {
    try {
      makeTree(dir, packages);
      const { outputFiles, metafile } = await esbuild.build({
        entryPoints: [join(dir, "main.ts")],
        absWorkingDir: dir,
        preserveSymlinks: true,
        bundle: true,
        minify: true,
        write: false,
        metafile: true,
        format: "esm",
        platform: "node",
        target: "esnext",
        legalComments: "none",
        logLevel: "silent",
        banner: { js: "const NODE={};" },
        define: { MQTT443_BUILD: build === undefined ? "undefined" : JSON.stringify(build) },
        plugins: [resolver],
      });
      const names = Object.keys(metafile.inputs).filter((path) => !path.startsWith("<"))
        .map((path) => nameOf(path, dir));
      return { code: outputFiles[0]!.text, modules: [...new Set(names)].sort() };
    } finally {
      await esbuild.stop();
    }
  });
}

/** An npm package, as `deno info --json` tells of it. */
interface NpmPackage {
  readonly name: string;
  /** Its folder in Deno's cache. */
  readonly localPath: string;
}

async function npmPackages(): Promise<NpmPackage[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--frozen", "main.ts"],
    cwd: ROOT,
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`Cannot list the packages of main.ts: ${text.decode(stderr)}`);
  return Object.values(JSON.parse(text.decode(stdout)).npmPackages);
}

/** Lays the program out as a package for Node, of symlinks: esbuild then reads CommonJS as Deno does. */
function makeTree(dir: string, packages: readonly NpmPackage[]): void {
  Deno.writeTextFileSync(join(dir, "package.json"), '{"type":"module"}');
  for (const name of ["main.ts", "lib", "deno.json"]) {
    Deno.symlinkSync(join(ROOT, name), join(dir, name));
  }
  for (const [name, versions] of Map.groupBy(packages, ({ name }) => name)) {
    // One that is there in two versions is left out: should a bundle ever need it, esbuild says so.
    if (versions.length > 1) continue;
    const link = join(dir, "node_modules", name);
    Deno.mkdirSync(dirname(link), { recursive: true });
    Deno.symlinkSync(versions[0]!.localPath, link);
  }
}

/** Puts stand-ins and Deno's own modules in their places; esbuild finds the rest in the tree. */
const resolver: esbuild.Plugin = {
  name: "mqtt443",
  setup(build) {
    build.onResolve({ filter: /^/ }, ({ path, kind }) => {
      const bare = STAND_INS[path] ?? path;
      if (bare.startsWith("/")) return { path: bare };
      if (!builtinModules.includes(bare.replace(/^node:/, ""))) return undefined;
      const name = bare.replace(/^(node:)?/, "node:");
      if (kind === "dynamic-import") return { path: name, external: true };
      return { path: name, namespace: kind === "require-call" ? "required" : "builtin" };
    });
    // Asked for at its turn: as imports of the bundle they would all be loaded before its first statement.
    build.onLoad({ filter: /^/, namespace: "builtin" }, ({ path }) => ({
      contents: [path, ALONG[path] ?? []].flat().map((name) =>
        `NODE["${name}"] = (await import("${name}")).default;`
      ).join("") +
        `export const { ${IMPORTED[path]?.join()} } = NODE["${path}"];` +
        `export default NODE["${path}"];`,
    }));
    build.onLoad({ filter: /^/, namespace: "required" }, ({ path }) => {
      if (path in IMPORTED || Object.values(ALONG).flat().includes(path)) {
        return { contents: `module.exports = NODE["${path}"];` };
      }
      return { errors: [{ text: `"${path}" is imported by nothing of ours` }] };
    });
    build.onLoad({ filter: /\/mqtt(-packet)?\/.*\.js$/ }, async ({ path }) => ({
      contents: slim(await Deno.readTextFile(path)),
    }));
    // A text of which only the version is read.
    build.onLoad({ filter: /\/(deno|mqtt\/package)\.json$/ }, async ({ path }) => {
      const { version } = JSON.parse(await Deno.readTextFile(path));
      return { contents: JSON.stringify({ version }), loader: "json" };
    });
  },
};

/** `lib/app.ts`, `npm:mqtt/build/lib/client.js`, `node:stream`. */
function nameOf(path: string, dir: string): string {
  if (path.startsWith("node_modules/")) return path.replace("node_modules/", "npm:");
  const file = path.replace(/^(builtin|required):/, "");
  return (file.startsWith("../") ? join(dir, file) : file).replace(`${ROOT}/`, "");
}
