/**
 * Commands as they are typed: each a process of its own, and what came of it. Only what no process can be given (a clock,
 * a terminal, arguments that no shell can pass) runs in the test's own process.
 */

import { assertEquals } from "@std/assert";
import { app } from "../../lib/app.ts";
import type { World } from "../../lib/core/process.ts";
import { assertGranted, NO_SETTINGS, type ProgramOptions, spawnProgram } from "./program.ts";

/** What came of a command. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The world around a command. */
export interface Around extends ProgramOptions {
  /** Standard input. @default "" */
  readonly input?: string;
  /** Whether a permission that is missing is what the test is about. @default false */
  readonly lacks?: boolean;
}

/** An environment of a test's own; without another settings file, one without settings. */
export function makeEnv(variables: Readonly<Record<string, string>> = {}): World["env"] {
  const env = new Map(Object.entries({ MQTT443_CONFIG: NO_SETTINGS, ...variables }));
  return {
    get: (name) => env.get(name),
    set: (name, value) => void env.set(name, value),
    delete: (name) => void env.delete(name),
    toObject: () => Object.fromEntries(env),
  };
}

/** What no process can be given. */
export interface AroundHere extends Pick<Around, "env" | "input"> {
  readonly now?: Date;
  /** What the user at the terminal answers. @default there is no terminal */
  readonly answer?: boolean;
  /** Whether stdout is a terminal. */
  readonly isTerminal?: boolean;
}

/** Runs a command with these variables and no others, in an empty folder, without a settings file. */
export function run(args: readonly string[], around: Around = {}): Promise<Outcome> {
  return inFolder((cwd) => runProcess(args, { cwd, ...around }));
}

/** No command that ends by itself takes as long; one that does not end is killed. */
const DEADLINE_MS = 60_000;

/** Runs a command with these variables and no others. */
export async function runProcess(
  args: readonly string[],
  { input = "", lacks = false, ...options }: Around,
): Promise<Outcome> {
  const child = spawnProgram(args, options);
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  const outcome = await outcomeOf(child, input).finally(() => clearTimeout(timer));
  if (!lacks) assertGranted(outcome.stderr + outcome.stdout);
  return outcome;
}

/** Whether a process can be given these arguments: Linux takes no NUL, no half character, and 128 KiB at most. */
export function canBeTyped(args: readonly string[]): boolean {
  return args.every((arg) => arg.isWellFormed() && !arg.includes("\0") && arg.length < 131_000);
}

/** Runs a command in this process, with all its permissions. */
export async function runHere(
  args: readonly string[],
  around: AroundHere = {},
): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const { answer, now } = around;
  const world: World = {
    env: makeEnv(around.env),
    out: (text) => void out.push(text),
    err: (line) => void err.push(`${line}\n`),
    isErrTerminal: false,
    isOutTerminal: around.isTerminal ?? false,
    input: () => ReadableStream.from([new TextEncoder().encode(around.input ?? "")]),
    confirm: answer === undefined ? undefined : () => answer,
    onSignals: () => () => {},
    every: () => () => {},
    hostName: () => "gw-7",
    now: () => now ?? new Date(),
    monotonicMs: () => performance.now(),
    random: Math.random,
  };
  const code = await app(args, world);
  return { code, stdout: out.join(""), stderr: err.join("") };
}

/** Writes a process its input, and waits for what comes of it. */
export async function outcomeOf(child: Deno.ChildProcess, input = ""): Promise<Outcome> {
  const writer = child.stdin.getWriter();
  // A command that does not read its input may be gone before it is written.
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** That an error is told as the house does it: one `error:` line, its problems, one `hint:` line, nothing on stdout. */
export function assertTold({ stdout, stderr }: Outcome, name = ""): void {
  const lines = stderr.split("\n").filter((line) => !/^\d{4}-\d\d-\d\dT/.test(line));
  const kinds = lines.map((line) =>
    line === "" ? "end" : /^(error: |hint: | {2})/.exec(line)?.[0].trim() ?? `stray: ${line}`
  );
  assertEquals(
    kinds.filter((kind) => kind !== ""),
    ["error:", "hint:", "end"],
    `${name}: ${stderr}`,
  );
  assertEquals(stdout, "", name);
}

/** A folder for one test, removed at its end. */
export async function inFolder<T>(action: (folder: string) => Promise<T> | T): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    return await action(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A TCP port that must see no connection while the action runs. */
export async function withUntouchedPort<T>(action: (port: number) => Promise<T>): Promise<T> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let connections = 0;
  const accepting = (async () => {
    for await (const connection of listener) {
      connections++;
      connection.close();
    }
  })();
  try {
    const result = await action(listener.addr.port);
    // One connection of our own: those before it have been accepted when this one is.
    const last = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    await last.read(new Uint8Array(1)).catch(() => null);
    last.close();
    assertEquals(connections, 1, "something connected to the endpoint");
    return result;
  } finally {
    listener.close();
    await accepting;
  }
}
