/** The kit for a device: the executable, and all that an installer without internet needs around it. */

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Build } from "../../lib/core/build.ts";
import { DENO_VERSION, TARGETS } from "../build/targets.ts";
import { type Entry, writeArchive } from "./archive.ts";
import { type DenoLicenses, licensesText } from "./licenses.ts";
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
  { version, packages, settings, out }: DeviceKitOptions,
): Promise<{ path: string; bytes: number }> {
  const { arch, build, sha256 } = executable;
  const timeS = Date.parse(build.date) / 1000;
  const facts = { version, arch, net: build.grants.net, hasSettings: settings !== undefined };
  const target = TARGETS.find((target) => target.arch === arch)!;
  const npm = executable.runtime === "npm"
    ? { name: target.package, integrity: target.integrity }
    : undefined;
  const runtime = { version: DENO_VERSION, v8: Deno.version.v8, npm };
  const script = Deno.readTextFileSync(join(FILES, "install.sh"))
    .replace("@VERSION@", version).replace("@ARCH@", arch).replace("@RUNTIME@", executable.runtime);
  // Small files are read once, so that their sums are theirs.
  const entries: Entry[] = [
    { path: "mqtt443", file: executable.path, isExecutable: true },
    { path: "install.sh", content: script, isExecutable: true },
    { path: "mqtt443.service", content: Deno.readFileSync(join(FILES, "mqtt443.service")) },
    { path: "mqtt443-wait.target", content: Deno.readFileSync(join(FILES, "mqtt443-wait.target")) },
    { path: "mqtt443.socket", content: Deno.readFileSync(join(FILES, "mqtt443.socket")) },
    { path: "listen.conf", content: Deno.readFileSync(join(FILES, "listen.conf")) },
    { path: "mqtt443.json.sample", content: sampleText() },
    { path: "mqtt443.schema.json", content: schemaText() },
    ...(settings === undefined ? [] : [{ path: "mqtt443.json", content: settings }]),
    {
      path: "certs.example/README.md",
      content: Deno.readFileSync(join(ROOT, "certs.example/README.md")),
    },
    { path: "README.txt", content: readmeText(facts) },
    { path: "LICENSE", content: Deno.readFileSync(join(ROOT, "LICENSE")) },
    { path: "SECURITY.md", content: Deno.readFileSync(join(ROOT, ".github/SECURITY.md")) },
    { path: "mqtt443.1", content: manText(version, build.date.slice(0, 10)) },
    { path: "VERSION", content: `${version} (${build.commit}, ${build.date})\n` },
    {
      path: "sbom.cdx.json",
      content: sbomText({ version, arch, sha256, commit: build.commit, timeS, packages, runtime }),
    },
    {
      path: "THIRD_PARTY_LICENSES.txt",
      content: licensesText(packages, { ...runtime, texts: licenseTexts() }),
    },
  ];
  const name = `mqtt443-${version}-${settings === undefined ? "" : "site-"}linux-${arch}`;
  const path = join(out, `${name}.tar.gz`);
  const all = [...entries, { path: "SHA256SUMS", content: await sumsText(entries) }];
  const bytes = await writeArchive(path, below(name, all), timeS);
  return { path, bytes };
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
