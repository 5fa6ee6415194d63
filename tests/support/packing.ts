/**
 * Self-extracting executables with a stand-in for Deno: a script that tells how it was started. What the header does can be
 * seen so without 95 MB.
 */

import type { Grants } from "../../lib/core/build.ts";
import { type Outcome, outcomeOf } from "./command_line.ts";
import { hasProgram } from "./queueing.ts";
import { packed } from "../../tools/build/packed.ts";

/** Where an executable is tried, and what it left. */
export interface Bench {
  /** A folder of the test's own. */
  readonly folder: string;
  /** The executable. */
  readonly file: string;
  /** Where it unpacks; it does not exist before. */
  readonly runtimes: string;
}

/** What the stand-in told of its start. */
export interface Start {
  readonly pid: number;
  /** Deno's own. */
  readonly flags: readonly string[];
  /** The program's. */
  readonly args: readonly string[];
  readonly input: string;
  readonly umask: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Shells that a gateway may have, each with the tools that come with it. */
export const SHELLS: readonly (readonly string[])[] = [
  ["dash"],
  ["bash", "--posix"],
  ["busybox", "sh"],
].filter(([name]) => hasProgram(name!));

/**
 * The stand-in. Asked for its version it does what `trial` says; the code it ends with is its first argument, if a number.
 */
export function standIn(trial = "exit 0"): string {
  return `#!/bin/sh
if [ "$1" = --version ]; then
${trial}
fi
field() { printf '%s\\037' "$1"; }
field "$$"; field "$(umask)"; field "$(pwd)"; field "$(cat)"; field "$(env)"
for each; do field "$each"; done
for code; do case $code in *mqtt443.js) found=1 ;; *) [ -z "$found" ] || break ;; esac; done
case $code in [0-9] | [0-9][0-9]) exit "$code" ;; esac
`;
}

/** What an executable around the stand-in carries. */
export const GRANTS: Grants = {
  ...{ net: ["gw.example:443"], read: ["./it's here"] },
  ...{ write: [], env: [], sys: [] },
};

/** Variables with which an executable unpacks where the test looks. */
export function envOf({ runtimes }: Pick<Bench, "runtimes">): Record<string, string> {
  return { MQTT443_RUNTIME_DIR: runtimes };
}

/** Makes an executable around the stand-in, in a folder that is removed at the end. */
export async function onBench(
  action: (bench: Bench) => Promise<void>,
  { deno = standIn(), name = "mqtt443", code = "the program", grants = GRANTS } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    const file = `${folder}/${name}`;
    await writePacked(file, { deno, code, grants });
    await action({ folder, file, runtimes: `${folder}/runtimes` });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes an executable around a stand-in. */
export async function writePacked(
  file: string,
  { deno = standIn(), code = "the program", grants = GRANTS, systemDir }: {
    deno?: string;
    code?: string;
    grants?: Grants;
    systemDir?: string;
  } = {},
): Promise<void> {
  const bytes = await packed({
    target: { machine: Deno.build.arch },
    version: "1.2.3",
    code,
    deno: new TextEncoder().encode(deno),
    grants,
    // What is installed on this machine is nobody's business here.
    systemDir: systemDir ?? "/nonexistent/mqtt443",
  });
  await Deno.remove(file).catch(() => {});
  await Deno.writeFile(file, bytes, { mode: 0o755 });
}

/** Options of {@linkcode run}. */
export interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
}

/** Runs a command with these variables and a PATH. */
export async function run(
  command: readonly string[],
  { args = [], env = {}, cwd, input = "" }: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(command, { args, env, ...(cwd !== undefined && { cwd }) });
  return await outcomeOf(child, input);
}

/** Starts a command with these variables and a PATH. */
export function spawn(
  command: readonly string[],
  { args = [], env = {}, cwd }: Omit<RunOptions, "input"> = {},
): Deno.ChildProcess {
  const [program, ...words] = command;
  return new Deno.Command(program!, {
    args: [...words, ...args],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", ...env },
    ...(cwd !== undefined && { cwd }),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** What the stand-in said. */
export function startOf({ stdout, stderr, code }: Outcome): Start {
  const [pid, umask, cwd, input, env, ...words] = stdout.split("\x1f").slice(0, -1);
  if (env === undefined) throw new Error(`The stand-in was not started: ${code} ${stderr}`);
  const at = words.findIndex((word) => word.endsWith("/mqtt443.js"));
  return {
    pid: Number(pid),
    umask: umask!,
    cwd: cwd!,
    input: input!,
    env: Object.fromEntries(env.split("\n").map((line) => line.split("=", 2) as [string, string])),
    flags: words.slice(0, at + 1),
    args: words.slice(at + 1),
  };
}

/** Names in a folder, sorted; none where there is no folder. */
export function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch {
    return [];
  }
}

/** Path of a program. @throws {Error} If it is not in PATH. */
export async function whereIs(tool: string): Promise<string> {
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    const path = `${folder}/${tool}`;
    if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
  }
  throw new Error(`There is no ${tool} here`);
}
