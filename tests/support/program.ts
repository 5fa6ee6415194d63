/**
 * The program as a process, for every test that starts one: with exactly the grants that its settings need, and the
 * variables that `deno task publish` sets. A permission that is missing there would be missing for users: it fails the
 * test (see {@linkcode assertGranted}).
 *
 * `TEST_PROXY` names a proxy for everything that connects. `TEST_FORM` says which form runs; tools/test.ts makes it, and names it in `TEST_PROGRAM`.
 * - `source` (when nothing is said): main.ts.
 * - `bundle`: the bundle, under Deno.
 * - `executable`: the self-extracting file, unpacked once. The grants of a real one are those of its site, and to pack one
 *   takes ten seconds; so each test starts the header of the packed file with its own grants in place of the packed ones.
 */

import type { Grants } from "../../lib/core/build.ts";
import { UserError } from "../../lib/core/errors.ts";
import { generalGrants, grantFlags } from "../../lib/settings/grants.ts";
import { CERTS_PATHS, NOTIFY_PATH } from "../../lib/settings/places.ts";
import { quoted } from "../../tools/build/packed.ts";
import { ENVIRONMENT } from "../../tools/publish.ts";
import { grantsFor, runArguments } from "../../tools/shared/scoped.ts";

/** A form in which tests start the program. */
export type TestForm = "source" | "bundle" | "executable";

/** Where tests find the form to start. */
export const TEST_VARIABLES = { form: "TEST_FORM", program: "TEST_PROGRAM", proxy: "TEST_PROXY" };

/** The proxy through which whatever connects goes in this run of the tests, if any. */
export const TEST_PROXY: string | undefined = Deno.env.get(TEST_VARIABLES.proxy);

/** For a test whose subject is the way without a proxy. */
export const DIRECT: { readonly ignore: boolean } = { ignore: TEST_PROXY !== undefined };

/** What the packed file of the tests may do: nothing that a test needs, but for the variables that pass. */
export const PACKED_GRANTS: Grants = {
  net: ["test.invalid:443"],
  read: ["/test.invalid"],
  write: ["/test.invalid"],
  env: generalGrants().env,
  sys: ["hostname"],
};

/** A settings file without settings. */
export const NO_SETTINGS = new URL("../testdata/no_settings.json", import.meta.url).pathname;

/** Variables of this process that a process of a test keeps. */
const KEPT = ["PATH", "HOME", "DENO_DIR", "XDG_CACHE_HOME"];

/** What a process is started with, besides its arguments. */
export interface ProgramOptions {
  /** @default that of this process */
  readonly cwd?: string;
  /** Variables besides PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs another one in a world of its own, as `["unshare", "--mount"]`. */
  readonly within?: readonly string[];
  /** What it may do. @default what its settings need */
  readonly grants?: Grants;
  /** What is run in place of the form that is tested, before the arguments: it has its own grants. */
  readonly command?: readonly string[];
}

/** A command, and all variables that it gets. */
export interface ProgramCommand {
  readonly words: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
}

/** The command that starts the program with these arguments. */
export function programCommand(
  args: readonly string[],
  { cwd, env = {}, within = [], grants, command }: ProgramOptions = {},
): ProgramCommand {
  const kept = KEPT.flatMap((name) =>
    Deno.env.has(name) ? [[name, Deno.env.get(name)!] as const] : []
  );
  const { form, program } = formUnderTest();
  const around = { ...(cwd !== undefined && { cwd }), env };
  const granted = () => grants ?? testGrants(args, around);
  const own = command !== undefined
    ? [...command, ...args]
    : form === "executable"
    ? ["sh", headerFor(program!, granted()), ...args]
    : [Deno.execPath(), ...runArguments(args, granted(), program)];
  const all = { ...Object.fromEntries(kept), ...variablesOf(around) };
  return {
    words: [...within, ...own] as [string, ...string[]],
    env: form === "executable"
      ? { MQTT443_RUNTIME_DIR: `${program}.runtime`, ...all }
      : { ...all, ...ENVIRONMENT },
  };
}

/** The form that runs, and its file; undefined where it runs from source. */
function formUnderTest(): { form: TestForm; program: string | undefined } {
  const form = Deno.env.get(TEST_VARIABLES.form) ?? "source";
  if (form === "source") return { form, program: undefined };
  const program = Deno.env.get(TEST_VARIABLES.program);
  if ((form !== "bundle" && form !== "executable") || program === undefined) {
    throw new Error(`Cannot test form "${form}": start the tests with tools/test.ts`);
  }
  return { form, program };
}

/** Starts the program. @param streams Those that are no pipe. */
export function spawnProgram(
  args: readonly string[],
  options: ProgramOptions = {},
  streams: Pick<Deno.CommandOptions, "stdin" | "stdout" | "stderr"> = {},
): Deno.ChildProcess {
  const { words: [program, ...words], env } = programCommand(args, options);
  return new Deno.Command(program, {
    args: words,
    clearEnv: true,
    env: { ...env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    ...streams,
  }).spawn();
}

/**
 * The grants for these arguments, as the product makes them. Settings that are wrong need what it takes to say so: that is
 * what the executable for any endpoint has.
 */
export function testGrants(
  args: readonly string[],
  { cwd, env = {} }: Pick<ProgramOptions, "cwd" | "env"> = {},
): Grants {
  const variables = {
    // It is looked for in the program's folder, and not in this process's.
    ...(hasSettings(cwd) && { MQTT443_CONFIG: `${cwd}/mqtt443.json` }),
    ...variablesOf({ ...(cwd !== undefined && { cwd }), env }),
  };
  const world = {
    env: {
      get: (name: string) => variables[name as never],
      set() {},
      delete() {},
      toObject: () => variables,
    },
    hostName: Deno.hostname,
  };
  try {
    const grants = grantsFor(args, world);
    // The folder that is there was looked for in this process's directory, and not in the program's.
    const isUsual = CERTS_PATHS.some((path) => grants.read.includes(path));
    return isUsual ? { ...grants, read: [...grants.read, ...CERTS_PATHS] } : grants;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...generalGrants(), read: [...generalGrants().read, ...named(args, variables)] };
  }
}

/** The program's own variables: what this machine has in the usual places is not for tests. */
function variablesOf({ cwd, env = {} }: Pick<ProgramOptions, "cwd" | "env">) {
  return hasSettings(cwd) ? env : { MQTT443_CONFIG: NO_SETTINGS, ...env };
}

function hasSettings(cwd: string | undefined): boolean {
  return cwd !== undefined && isFile(`${cwd}/mqtt443.json`);
}

/** The settings file that arguments and variables name. */
function named(args: readonly string[], { MQTT443_CONFIG }: NonNullable<ProgramOptions["env"]>) {
  const paths = args.flatMap((arg, at) =>
    args[at - 1] === "--config" ? [arg] : /^--config=(.+)/.exec(arg)?.slice(1) ?? []
  );
  return MQTT443_CONFIG === undefined ? paths : [...paths, MQTT443_CONFIG];
}

/** @throws {Error} If what the program said shows that it lacked a permission. */
export function assertGranted(said: string): void {
  const line = said.split("\n").find((line) =>
    /not granted|NotCapable|Deno's permission|Requires \w+ access/.test(line)
  );
  if (line !== undefined) throw new Error(`The program lacked a permission: ${line}`);
}

/** Path of the header with these grants, beside the packed file, with which it shares what was unpacked. */
function headerFor(program: string, grants: Grants): string {
  const words = (grants: Grants) => grantFlags(grants).map(quoted).join(" ");
  const packed = Deno.readTextFileSync(`${program}.header`);
  const header = packed.replace(
    words(PACKED_GRANTS),
    () => words({ notify: NOTIFY_PATH, ...grants }),
  );
  if (header === packed) throw new Error(`${program} has other grants than it was made with`);
  // Gone with the packed file.
  const path = Deno.makeTempFileSync({ dir: `${program}.headers` });
  Deno.writeTextFileSync(path, header);
  return path;
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
