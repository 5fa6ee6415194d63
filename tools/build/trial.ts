/**
 * Tries what `deno compile` made of a denort, as Deno takes any ELF file for one: an executable for this machine is
 * started; in one for another machine denort itself is looked for.
 */

import type { Build } from "../../lib/core/build.ts";
import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";
import type { Denort } from "./denort.ts";
import { DENO_VERSION, type Target } from "./targets.ts";

/** How long it may take, in ms: a slow machine needs a second. */
const PATIENCE_MS = 30_000;

/** What denort 2.9.5 says where it finds no program inside (cli/rt/binary.rs); Deno itself has it nowhere. */
const MARK = "Could not find standalone binary section.";

/** What is tried. */
export interface TrialOptions {
  readonly target: Target;
  readonly denort: Denort;
  readonly build: Build;
  /** Takes what could not be tried. */
  readonly say: (line: string) => void;
  readonly patienceMs?: number;
}

/**
 * Tries an executable.
 *
 * @param path In a folder where it may be started.
 * @throws {UserError} If it is not this program with its grants, run by denort.
 */
export async function tryOut(path: string, options: TrialOptions): Promise<void> {
  const { target, denort, build, say, patienceMs = PATIENCE_MS } = options;
  const what = denort === "download" ? "the denort that Deno fetched" : quote(denort.path);
  const refuse = (why: string) =>
    new UserError(`Cannot use denort ${what} for ${target.name}: ${why}`, {
      code: "tool-failed",
      hint:
        `name denort of Deno ${DENO_VERSION} itself, or the zip it comes in; or \`--runtime npm\``,
      exitCode: EXIT.config,
    });
  if (Deno.build.target === target.name) {
    const why = await whyNot(path, build, patienceMs);
    if (why !== undefined) throw refuse(`what is made of it is not this program: ${why}`);
    return;
  }
  if (denort !== "download" && !contains(denort.bytes, MARK)) {
    throw refuse(`it is no denort of Deno ${DENO_VERSION}`);
  }
  say(
    `the executable for ${target.name} cannot be started here: try \`version\` where it is to run`,
  );
}

/** Starts it. */
async function whyNot(path: string, build: Build, patienceMs: number): Promise<string | undefined> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(path, {
      args: ["version", "--json"],
      cwd: path.replace(/[^/]*$/, ""),
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.PermissionDenied)) return messageOf(cause);
    throw new UserError(`Cannot start ${quote(path)}: ${messageOf(cause)}`, {
      code: "tool-failed",
      hint: "set TMPDIR to a folder in which programs may be started",
      exitCode: EXIT.cannotCreate,
      cause,
    });
  }
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, patienceMs);
  const { code, signal, stdout } = await child.output().finally(() => clearTimeout(timer));
  if (isLate) return `it was not done after ${patienceMs / 1000} s`;
  if (code !== 0) return `\`version\` ends with ${signal ?? `code ${code}`}`;
  try {
    const { runtime, deno, baked } = JSON.parse(new TextDecoder().decode(stdout));
    if (runtime !== "denort") return `its runtime is ${quote(String(runtime))}`;
    if (deno !== DENO_VERSION) return `its Deno is ${quote(String(deno))}`;
    return JSON.stringify(baked) === JSON.stringify(build.grants)
      ? undefined
      : "it has other grants";
  } catch {
    return "`version --json` prints no JSON";
  }
}

/** Whether there is this ASCII text in it. */
function contains(bytes: Uint8Array, text: string): boolean {
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0]!); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return true;
  }
  return false;
}
