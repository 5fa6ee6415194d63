/** Kits with a stand-in for the executable, unpacked; and their install.sh, run by the shells that devices have. */

import { join } from "node:path";
import { generalGrants } from "../../../lib/settings/grants.ts";
import { makeDeviceKit } from "../../../tools/kit/device.ts";
import type { Outcome } from "../../support/command_line.ts";
import { hasProgram } from "../../support/queueing.ts";

/** What differs between kits. */
export interface KitChoice {
  /** @default "0.1.0" */
  readonly version?: string;
  /** What the stand-in prints, and how large it is made, in bytes. */
  readonly words?: string;
  readonly bytes?: number;
  /** The executable's text, in place of a stand-in's. */
  readonly executable?: string;
  readonly settings?: string;
  /** @default "x86_64" */
  readonly arch?: "x86_64" | "arm64";
}

/** Makes a kit in a folder, unpacks it there, and tells where its install.sh is. */
export async function makeKit(folder: string, choice: KitChoice = {}): Promise<string> {
  const { version = "0.1.0", words = "stand-in", bytes = 0, arch = "x86_64" } = choice;
  const path = join(folder, `stand-in-${version}`);
  // As the real one: asked for it, it lays out its runtime, and says what to call it.
  const standIn = `#!/bin/sh
if [ -n "\${MQTT443_UNPACK-}" ]; then
  echo ${words} >"$MQTT443_UNPACK/mqtt443"
  echo ${version} >"$MQTT443_UNPACK/mqtt443.js"
  echo mqtt443-${version}-${words}
  exit
fi
echo ${words}
${"#".repeat(bytes)}
`;
  await Deno.writeTextFile(path, choice.executable ?? standIn);
  const build = {
    commit: "0123456789",
    date: "2026-11-23T00:00:00Z",
    scope: "general",
    grants: generalGrants(),
  } as const;
  const kit = await makeDeviceKit(
    { path, arch, runtime: "npm", sha256: "0".repeat(64), build },
    { version, packages: [], settings: choice.settings, out: folder },
  );
  await runCommand(["tar", "xzf", kit.path, "-C", folder]);
  return kit.path.replace(/\.tar\.gz$/, "");
}

/** Runs `deno task kit`, with a time for the archive. */
export function kit(args: readonly string[], epoch = "1700000000"): Promise<Outcome> {
  const tool = new URL("../../../tools/kit/mod.ts", import.meta.url).pathname;
  return runCommand([Deno.execPath(), "run", "-A", "--frozen", tool, ...args], {
    env: { SOURCE_DATE_EPOCH: epoch },
  });
}

/** Shells that run install.sh here: those of Debian, of BusyBox, and the one that everybody has. */
export const SHELLS: readonly (readonly string[])[] = [
  ["sh"],
  ...["dash", "bash"].filter(hasProgram).map((name) => [name]),
  ...(hasProgram("busybox") ? [["busybox", "sh"]] : []),
];

/** Around a command. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command to its end. */
export async function runCommand(
  [command, ...args]: readonly string[],
  { cwd, env = {} }: CommandOptions = {},
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(command!, {
    args,
    env: { ...env },
    ...(cwd !== undefined && { cwd }),
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Runs a kit's install.sh. */
export function install(
  kit: string,
  args: readonly string[],
  { shell = ["sh"], ...options }: CommandOptions & { readonly shell?: readonly string[] } = {},
): Promise<Outcome> {
  return runCommand([...shell, join(kit, "install.sh"), ...args], options);
}

/** Everything below a folder: `path mode` and, of files, what is in them. */
export function tree(folder: string, below = ""): Record<string, string> {
  return Object.assign(
    {},
    ...[...Deno.readDirSync(join(folder, below))].map(({ name, isDirectory, isFile }) => {
      const path = below === "" ? name : `${below}/${name}`;
      const mode = ((Deno.lstatSync(join(folder, path)).mode ?? 0) & 0o7777).toString(8);
      if (isDirectory) return { [path]: mode, ...tree(folder, path) };
      return { [path]: `${mode} ${isFile ? Deno.readTextFileSync(join(folder, path)) : "link"}` };
    }),
  );
}
