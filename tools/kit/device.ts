/** The kit for a device: the executable, and all that an installer without internet needs around it, as an archive. */

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Build } from "../../lib/core/build.ts";
import { completionScript, SHELLS } from "../../lib/commands/completion.ts";
import { DENO_VERSION, TARGETS } from "../build/targets.ts";
import { type Entry, writeArchive } from "./archive.ts";
import type { DenoPart } from "./deno_contents.ts";
import { type DenoLicenses, licensesText } from "./licenses.ts";
import { type Installer, layout } from "./layout.ts";
import { type Package, ROOT } from "./packages.ts";
import { sbomText } from "./sbom.ts";
import { manText, readmeText, sampleText, schemaText } from "./texts.ts";

/** An executable, as tools/build/compile.ts tells of it. */
export interface Executable {
  readonly path: string;
  readonly arch: "x86_64" | "arm64";
  readonly runtime: "denort" | "npm";
  readonly sha256: string;
  readonly build: Build;
}

/** What else is in the kit. */
export interface DeviceKitOptions {
  readonly version: string;
  /** Packages of others in the executable. */
  readonly packages: readonly Package[];
  /** Files of this project that stand in it for modules of others. @default none */
  readonly standIns?: readonly string[];
  /** What Deno in it is made of. @default unknown */
  readonly denoParts?: readonly DenoPart[];
  /** The settings of one site, for which the executable was built. */
  readonly settings: string | undefined;
  /** Folder for the archive, which must be there. */
  readonly out: string;
}

const FILES = join(import.meta.dirname!, "files");

/**
 * Makes the kit: `mqtt443-<version>-linux-<arch>.tar.gz`, or `mqtt443-<version>-site-linux-<arch>.tar.gz` with the
 * settings of one site.
 *
 * @returns Its path and size in bytes.
 */
export async function makeDeviceKit(
  executable: Executable,
  options: DeviceKitOptions,
): Promise<{ path: string; bytes: number }> {
  const { version, settings, out } = options;
  const script = readText("install.sh")
    .replace("@VERSION@", version).replace("@ARCH@", executable.arch)
    .replace("@RUNTIME@", executable.runtime);
  const install = { path: "install.sh", content: script, isExecutable: true };
  const parts = [...partsOf(executable, options, "install.sh"), install];
  const places = layout("install.sh", [...parts.map(({ path }) => path), "FILES"]);
  const entries: Entry[] = [
    { path: "mqtt443", file: executable.path, isExecutable: true },
    ...parts,
    ...(settings === undefined ? [] : [{ path: "mqtt443.json", content: settings }]),
    {
      path: "certs.example/README.md",
      content: Deno.readFileSync(join(ROOT, "certs.example/README.md")),
    },
    { path: "FILES", content: places.map(({ name, place }) => `${name} ${place}\n`).join("") },
  ];
  const name = `mqtt443-${version}-${
    settings === undefined ? "" : "site-"
  }linux-${executable.arch}`;
  const path = join(out, `${name}.tar.gz`);
  const all = [...entries, { path: "SHA256SUMS", content: await sumsText(entries) }];
  const bytes = await writeArchive(path, below(name, all), timeOf(executable));
  return { path, bytes };
}

/** What is installed on a device by whatever installer, besides the executable; small files, under their names in the kit. */
export function partsOf(
  executable: Executable,
  { version, packages, settings, standIns = [], denoParts = [] }: DeviceKitOptions,
  installer: Installer,
): (Entry & { readonly content: string | Uint8Array })[] {
  const { arch, build, sha256 } = executable;
  const facts = {
    ...{ version, arch, installer },
    ...{ net: build.grants.net, hasSettings: settings !== undefined },
  };
  const target = TARGETS.find((target) => target.arch === arch)!;
  const npm = executable.runtime === "npm"
    ? { name: target.package, integrity: target.integrity }
    : undefined;
  const runtime = {
    ...{ version: DENO_VERSION, v8: Deno.version.v8, npm, parts: denoParts },
    sha256: npm && target.denoSha256,
  };
  const units = [...Deno.readDirSync(FILES)].map(({ name }) => name)
    .filter((name) => /\.(service|socket|target)$/.test(name)).sort();
  const unit = (text: string) =>
    installer === "dpkg" ? text.replaceAll("/usr/local/bin/", "/usr/bin/") : text;
  const texts: Readonly<Record<string, string>> = {
    ...Object.fromEntries(units.map((name) => [name, unit(readText(name))])),
    "listen.conf": readText("listen.conf"),
    "certs.sh": readText("certs.sh"),
    "mqtt443.sysusers": readText("sysusers.conf"),
    "mqtt443.tmpfiles": readText("tmpfiles.conf"),
    ...Object.fromEntries(SHELLS.map((shell) => [`mqtt443.${shell}`, completionScript(shell)])),
    "mqtt443.json.sample": sampleText(),
    "mqtt443.schema.json": schemaText(),
    "README.txt": readmeText(facts),
    LICENSE: Deno.readTextFileSync(join(ROOT, "LICENSE")),
    "SECURITY.md": Deno.readTextFileSync(join(ROOT, ".github/SECURITY.md")),
    "mqtt443.1": manText(version, build.date.slice(0, 10)),
    VERSION: `${version} (${build.commit}, ${build.date})\n`,
    "sbom.cdx.json": sbomText({
      ...{ version, arch, sha256, commit: build.commit },
      ...{ timeS: timeOf(executable), packages, standIns, runtime },
    }),
    "THIRD_PARTY_LICENSES.txt": licensesText(packages, { ...runtime, texts: licenseTexts() }),
  };
  return Object.entries(texts).map(([path, content]) => ({ path, content }));
}

/** Time of everything in a kit, in s since 1970. */
export function timeOf({ build }: Pick<Executable, "build">): number {
  return Date.parse(build.date) / 1000;
}

function readText(name: string): string {
  return Deno.readTextFileSync(join(FILES, name));
}

/** The licences that are kept here. */
export function licenseTexts(): DenoLicenses["texts"] {
  const read = (name: string) => Deno.readTextFileSync(join(FILES, `licenses/${name}.txt`));
  return { deno: read("deno"), v8: read("v8"), apache2: read("apache-2.0"), isc: read("isc") };
}

/** The entries in one top folder. */
export function below(folder: string, entries: readonly Entry[]): Entry[] {
  return entries.map((entry) => ({ ...entry, path: `${folder}/${entry.path}` }));
}

/** What `sha256sum -c` reads, for all files among the entries. */
export async function sumsText(entries: readonly Entry[]): Promise<string> {
  const lines = [];
  for (const entry of entries) {
    if (!("link" in entry)) lines.push(`${await sha256Of(entry)}  ${entry.path}\n`);
  }
  return lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("");
}

async function sha256Of(entry: Exclude<Entry, { link: string }>): Promise<string> {
  const hash = createHash("sha256");
  if ("content" in entry) return hash.update(entry.content).digest("hex");
  for await (const chunk of (await Deno.open(entry.file)).readable) hash.update(chunk);
  return hash.digest("hex");
}
