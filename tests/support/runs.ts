/** Runs of the program: as a process, or in this one, and what they say as it comes. */

import { app } from "../../lib/app.ts";
import type { Fields } from "../../lib/core/log.ts";
import type { World } from "../../lib/core/process.ts";
import { makeEnv } from "./command_line.ts";
import { assertGranted, type ProgramOptions, spawnProgram } from "./program.ts";

/** A line of the log. */
export interface Line extends Fields {
  readonly level: string;
  readonly event: string;
}

/** What a run can be given besides its flags. */
export interface RunOptions extends ProgramOptions {
  /** @default nothing */
  readonly input?: ReadableStream<Uint8Array>;
  /** Whether a permission that is missing is what the test is about. @default false */
  readonly lacks?: boolean;
}

/** What no process can be given: a clock, chance and a terminal of the test's own. */
export interface HereOptions extends Pick<RunOptions, "input"> {
  readonly random?: () => number;
  readonly now?: () => Date;
  readonly monotonicMs?: () => number;
  /** @default false */
  readonly isErrTerminal?: boolean;
}

/** A run of the program. */
export interface Run {
  readonly pid: number;
  readonly log: readonly Line[];
  readonly out: readonly string[];
  /** Text on stderr that is not of the log. */
  readonly errors: readonly string[];
  /** Settles with the exit code. */
  readonly code: Promise<number>;
  /** What a signal does. @default "SIGTERM" */
  signal(name?: Deno.Signal): void;
  /** Settles when the predicate holds; it is asked at each line of log and output. */
  until(predicate: () => boolean, what?: string): Promise<void>;
  /** The first line of an event, once it is there. */
  said(event: string, predicate?: (line: Line) => boolean): Promise<Line>;
}

/** A run in this process. */
export interface RunHere extends Run {
  /** Lets what is done every hour, or the like, be done now. */
  tick(): void;
}

/** What a run has said, and who waits for it. */
function listenTo() {
  const log: Line[] = [];
  const out: string[] = [];
  const errors: string[] = [];
  const waiting = new Set<() => void>();
  const changed = () => waiting.forEach((check) => check());
  const until: Run["until"] = (predicate, what = "something") => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      const last = log.slice(-15).map((line) => JSON.stringify(line)).join("\n");
      reject(new Error(`Waited a minute for ${what} in vain: ${errors.join("\n")}\n${last}`));
    }, 60_000);
    const check = () => predicate() && resolve();
    waiting.add(check);
    check();
    return promise.finally(() => {
      clearTimeout(timer);
      waiting.delete(check);
    });
  };
  return {
    log,
    out,
    errors,
    changed,
    until,
    async said(event: string, predicate: (line: Line) => boolean = () => true): Promise<Line> {
      const find = () => log.find((line) => line.event === event && predicate(line));
      await until(() => find() !== undefined, `log event "${event}"`);
      return find()!;
    },
    takeOut(text: string) {
      out.push(text);
      changed();
    },
    takeErr(line: string) {
      if (line.startsWith("{")) log.push(JSON.parse(line));
      else errors.push(line);
      changed();
    },
  };
}

/** A run as a process. */
export interface RunProcess extends Run {
  /** Kills it if it has not ended. @throws {Error} If it lacked a permission. */
  end(): Promise<void>;
}

/** Starts it as a process. */
export function startRun(
  args: readonly string[],
  { input, lacks, ...options }: RunOptions,
): RunProcess {
  const { takeOut, takeErr, changed, ...said } = listenTo();
  const process = spawnProgram(args, options, { stdin: input ? "piped" : "null" });
  const over = new AbortController();
  // A program that has ended reads no more: the rest of its input is nobody's.
  const writing = input?.pipeTo(process.stdin, { signal: over.signal }).catch(() => {});
  const reading = Promise.all([
    eachLine(process.stdout, (line) => takeOut(`${line}\n`)),
    eachLine(process.stderr, takeErr),
  ]);
  const code = (async () => {
    const { code } = await process.status;
    over.abort();
    await Promise.all([reading, writing]);
    changed();
    return code;
  })();
  return {
    ...said,
    pid: process.pid,
    code,
    signal: (name = "SIGTERM") => process.kill(name),
    async end() {
      try {
        process.kill("SIGKILL");
      } catch { /* it has ended */ }
      await code;
      if (!lacks) {
        assertGranted([...said.errors, ...said.log.map((line) => JSON.stringify(line))].join("\n"));
      }
    },
  };
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
}

/** Starts it in this process. */
export function startHere(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  around: HereOptions = {},
): RunHere {
  const { takeOut, takeErr, changed, ...said } = listenTo();
  const listeners = new Set<(name: Deno.Signal) => void>();
  const repeated = new Set<() => void>();
  const world: World = {
    env: makeEnv(env),
    out: takeOut,
    err: takeErr,
    isErrTerminal: around.isErrTerminal ?? false,
    input: () => around.input ?? ReadableStream.from([]),
    confirm: undefined,
    onSignals(_names, listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    every(_ms, action) {
      repeated.add(action);
      return () => repeated.delete(action);
    },
    hostName: () => "gw-7",
    now: around.now ?? (() => new Date()),
    monotonicMs: around.monotonicMs ?? (() => performance.now()),
    random: around.random ?? (() => 0),
  };
  return {
    ...said,
    pid: Deno.pid,
    code: app(args, world).finally(changed),
    signal: (name = "SIGTERM") => listeners.forEach((listener) => listener(name)),
    tick: () => repeated.forEach((action) => action()),
  };
}
