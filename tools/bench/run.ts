/** Starting what is measured: command lines, in an environment that is the same for all. */

import { endOf, follow, kill } from "./process.ts";

/** How to start something. */
export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
  /** Variables besides those that all get. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A command line as options of `Deno.Command`: nothing of our environment but what every program needs. */
export function commandOf(
  { program, args, env }: CommandLine,
  options: Deno.CommandOptions,
): Deno.Command {
  const kept = ["PATH", "HOME", "TMPDIR", "LANG"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return new Deno.Command(program, {
    ...options,
    args: [...args],
    clearEnv: true,
    env: { ...Object.fromEntries(kept), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...env },
  });
}

/** What is to be heard of a run. */
export interface RunOptions {
  readonly signal: AbortSignal;
  /** Hears all that it has said on stdout and stderr so far, each time that it says something. */
  readonly onText?: (said: string, child: Deno.ChildProcess) => void;
  readonly stdin?: "null" | "piped";
  readonly cwd?: string;
  /** After how many ms it is killed. @default a minute */
  readonly forMs?: number;
}

/**
 * Runs something to its end; returns what it said, on stdout and stderr.
 *
 * @throws {Error} If it does not end well.
 */
export async function run(
  command: CommandLine,
  { signal, onText, stdin = "null", cwd, forMs }: RunOptions,
): Promise<string> {
  signal.throwIfAborted();
  const child = commandOf(command, {
    stdin,
    stdout: "piped",
    stderr: "piped",
    ...(cwd !== undefined && { cwd }),
  }).spawn();
  const onAbort = () => kill(child, "SIGKILL");
  signal.addEventListener("abort", onAbort);
  let said = "";
  const hear = (text: string) => {
    said += text;
    onText?.(said, child);
  };
  const reading = Promise.all([follow(child.stdout, hear), follow(child.stderr, hear)]);
  const isGood = await endOf(child, forMs);
  await reading;
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
  if (!isGood) throw new Error(`${nameOf(command)} failed: ${said.trim().slice(-1000)}`);
  return said;
}

function nameOf({ program, args }: CommandLine): string {
  const file = args.find((arg) => /\.(ts|js|mjs|py)$/.test(arg));
  return (file ?? program).replace(/^.*\//, "");
}

/** Where a program is, or undefined. Debian keeps servers where the PATH of a user does not reach. */
export function programPath(name: string): string | undefined {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/local/sbin", "/usr/sbin"];
  return folders.map((folder) => `${folder}/${name}`).find(isFile);
}

/** Whether there is a file. */
export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
