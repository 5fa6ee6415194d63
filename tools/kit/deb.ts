/**
 * The Debian package: the files of the kit below /usr, with the runtime laid out as install.sh does it, and scripts that
 * need no network. The same commit gives the same bytes.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { launcherOf } from "../build/packed.ts";
import { writeAr } from "./ar.ts";
import { type Entry, writeArchive } from "./archive.ts";
import { type DeviceKitOptions, type Executable, partsOf, timeOf } from "./device.ts";
import { layout, runtimeFolder } from "./layout.ts";
import { ROOT } from "./packages.ts";

/** As Debian calls the kinds of machines. */
const ARCHITECTURES = { x86_64: "amd64", arm64: "arm64" } as const;
const SCRIPTS = join(import.meta.dirname!, "files/deb");
/** Deno's own needs (`objdump -T`: GLIBC_2.27), and who makes the user where there is no systemd. */
const DEPENDS = "libc6 (>= 2.27), libgcc-s1 | libgcc1, passwd";

/**
 * Makes it: `mqtt443_<version>_<architecture>.deb`, or `mqtt443-site_…` with the settings of one site.
 *
 * @returns Its path and size in bytes.
 */
export async function makeDeb(
  executable: Executable,
  options: DeviceKitOptions,
): Promise<{ path: string; bytes: number }> {
  const { version, settings, out } = options;
  const work = await Deno.makeTempDir({ dir: out, prefix: ".deb-" });
  try {
    const { entries, conffiles } = await filesOf(executable, options, work);
    const name = settings === undefined ? "mqtt443" : "mqtt443-site";
    const architecture = ARCHITECTURES[executable.arch];
    const sums = await Promise.all(entries.map(sumOf));
    const control = [
      { path: "./control", content: controlText({ name, version, architecture, sums }) },
      { path: "./conffiles", content: conffiles.map((path) => `/${path}\n`).join("") },
      {
        path: "./md5sums",
        content: sums.filter(({ path }) => !conffiles.includes(path))
          .map(({ md5, path }) => `${md5}  ${path}\n`).join(""),
      },
      ...["preinst", "postinst", "prerm", "postrm"].map((script) => ({
        path: `./${script}`,
        content: Deno.readFileSync(join(SCRIPTS, script)),
        isExecutable: true,
      })),
    ];
    const timeS = timeOf(executable);
    const dotted = entries.map((entry) => ({ ...entry, path: `./${entry.path}` }));
    await writeArchive(join(work, "control.tar.gz"), control, timeS);
    await writeArchive(join(work, "data.tar.gz"), dotted, timeS);
    const path = join(out, `${name}_${version}_${architecture}.deb`);
    const members = ["control.tar.gz", "data.tar.gz"]
      .map((name) => ({ name, content: { file: join(work, name) } }));
    const format = { name: "debian-binary", content: new TextEncoder().encode("2.0\n") };
    await writeAr(path, [format, ...members], timeS);
    return { path, bytes: (await Deno.stat(path)).size };
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Everything that it installs, and what of it belongs to the administrator. */
async function filesOf(
  executable: Executable,
  options: DeviceKitOptions,
  work: string,
): Promise<{ entries: Exclude<Entry, { link: string }>[]; conffiles: string[] }> {
  const parts = partsOf(executable, options, "dpkg");
  const contents = new Map(parts.map(({ path, content }) => [path, content]));
  const places = layout("dpkg", [...contents.keys()]);
  const entries: Exclude<Entry, { link: string }>[] = places.map(({ name, place }) => {
    const content = contents.get(name)!;
    return place.includes("/man/")
      ? { path: `${place.slice(1)}.gz`, content: gzipSync(content, { level: 9 }) }
      : { path: place.slice(1), content };
  });
  const changes = Deno.readFileSync(join(ROOT, ".github/CHANGELOG.md"));
  entries.push(
    { path: "usr/share/doc/mqtt443/changelog.gz", content: gzipSync(changes, { level: 9 }) },
    { path: "usr/share/doc/mqtt443/copyright", content: contents.get("LICENSE")! },
    ...await programOf(executable, work),
  );
  const sample = "etc/mqtt443/mqtt443.json.sample";
  if (options.settings === undefined) return { entries, conffiles: [sample] };
  const own = "etc/mqtt443/mqtt443.json";
  entries.push({ path: own, content: options.settings });
  return { entries, conffiles: [own, sample] };
}

/** The executable; one that brings Deno along is laid out, and started by its own first lines. */
async function programOf(
  { path, runtime }: Executable,
  work: string,
): Promise<{ path: string; file: string; isExecutable?: boolean }[]> {
  if (runtime === "denort") return [{ path: "usr/bin/mqtt443", file: path, isExecutable: true }];
  const unpacked = join(work, "runtime");
  await Deno.mkdir(unpacked);
  const { success, stdout, stderr } = await new Deno.Command("sh", {
    args: [path],
    env: { MQTT443_UNPACK: unpacked },
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`Cannot unpack "${path}": ${text.decode(stderr)}`);
  const launcher = join(work, "mqtt443");
  const folder = runtimeFolder("dpkg");
  await Deno.writeTextFile(launcher, launcherOf(await head(path), folder));
  const below = `${folder.slice(1)}/${text.decode(stdout).trim()}`;
  return [
    { path: "usr/bin/mqtt443", file: launcher, isExecutable: true },
    { path: `${below}/mqtt443`, file: join(unpacked, "mqtt443"), isExecutable: true },
    { path: `${below}/mqtt443.js`, file: join(unpacked, "mqtt443.js") },
  ];
}

/** The first bytes of a file: its header is shorter than that. */
async function head(path: string): Promise<Uint8Array> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(65_536);
  const count = await file.read(bytes) ?? 0;
  return bytes.subarray(0, count);
}

interface Sum {
  readonly path: string;
  readonly bytes: number;
  readonly md5: string;
}

/** dpkg's own check of what is installed is MD5: it finds damage, and nothing else is asked of it. */
async function sumOf(entry: Exclude<Entry, { link: string }>): Promise<Sum> {
  const content = "content" in entry ? entry.content : await Deno.readFile(entry.file);
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const md5 = createHash("md5").update(bytes).digest("hex");
  return { path: entry.path, bytes: bytes.length, md5 };
}

function controlText(
  { name, version, architecture, sums }: {
    readonly name: string;
    readonly version: string;
    readonly architecture: string;
    readonly sums: readonly Sum[];
  },
): string {
  const [other] = ["mqtt443", "mqtt443-site"].filter((one) => one !== name);
  const kib = sums.reduce((sum, { bytes }) => sum + Math.ceil(bytes / 1024), 0);
  return `Package: ${name}
Version: ${version}
Architecture: ${architecture}
Maintainer: the mqtt443 authors <mqtt443@users.noreply.github.com>
Installed-Size: ${kib}
Depends: ${DEPENDS}
Conflicts: ${other}
Section: net
Priority: optional
Description: publish a gateway's telemetry to AWS IoT Core on port 443
 Reads certificates, connects with mutual TLS and ALPN on port 443, publishes
 telemetry over MQTT, and accounts for every message: they wait on disk while
 the link is down. Says in plain words why it cannot publish.
`;
}
