/**
 * A device, its endpoint and what the two said: the program as a process of its own, as users start it, with certificates
 * and a state directory of its own. Only a test that brings a clock or chance of its own runs the program in this process.
 * Tests wait for what happens, never for a time.
 */

import { app } from "../lib/app.ts";
import type { Fields } from "../lib/log.ts";
import type { World } from "../lib/world.ts";
import { type Endpoint, type EndpointOptions, makePki, startEndpoint } from "../tools/endpoint.ts";
import { makeEnv } from "./command_line.ts";
import { atRest } from "./connecting.ts";
import { assertGranted, type ProgramOptions, spawnProgram } from "./program.ts";

/** Throw-away certificates for all tests of one file. */
export const pki = await makePki();

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

/** A device and its endpoint. */
export interface Rig extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** Holds `certs` and `state`. */
  readonly folder: string;
  /** Flags by which a command meets this endpoint. */
  readonly flags: readonly string[];
  /** Runs `publish`. */
  publish(flags: readonly string[], options?: RunOptions): Run;
  /** Runs any command with these flags alone. */
  run(args: readonly string[], options?: RunOptions): Run;
  /** Runs `publish` in this process, with all its permissions: on a clock or chance of the test's own. */
  publishHere(flags: readonly string[], options?: HereOptions): RunHere;
  /** Runs any command so. */
  runHere(args: readonly string[], options?: HereOptions): RunHere;
}

/** Makes both; what was started is stopped at the end. */
export async function makeRig(options: EndpointOptions = {}): Promise<Rig> {
  const endpoint = await startEndpoint({ certificates: pki, ...options });
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  await writeIdentity(`${folder}/certs`, endpoint.certificates);
  // What the machine has in the usual places is not for tests.
  await Deno.writeTextFile(`${folder}/mqtt443.json`, "{}");
  const processes: RunProcess[] = [];
  const here: Run[] = [];
  const flags = flagsFor(folder, endpoint.port);
  const rig: Rig = {
    endpoint,
    folder,
    flags,
    publish: (more, around) => rig.run(["publish", ...flags, ...more], around),
    run(args, around) {
      const started = startRun(args, { cwd: folder, ...around });
      processes.push(started);
      return started;
    },
    publishHere: (more, around) => rig.runHere(["publish", ...flags, ...more], around),
    runHere(args, around) {
      const started = startHere(args, { MQTT443_CONFIG: `${folder}/mqtt443.json` }, around);
      here.push(started);
      return started;
    },
    async [Symbol.asyncDispose]() {
      for (const run of here) {
        run.signal();
        run.signal();
      }
      await Promise.all([...here.map(({ code }) => code), ...processes.map((run) => run.end())]);
      await endpoint.close();
      await atRest();
      await Deno.remove(folder, { recursive: true });
    },
  };
  return rig;
}

/** Writes the device's files under plain names. */
export async function writeIdentity(
  folder: string,
  { ca, device }: { ca: string; device: { cert: string; key: string } },
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  await Deno.writeTextFile(`${folder}/ca.pem`, ca);
  await Deno.writeTextFile(`${folder}/cert.pem`, device.cert);
  await Deno.writeTextFile(`${folder}/key.pem`, device.key, { mode: 0o600 });
}

/** The flags of a device whose files are in that folder; waits between attempts are the shortest allowed. */
export function flagsFor(
  folder: string,
  port: number,
  logLevel: "debug" | "info" = "debug",
): string[] {
  return [
    ...["--endpoint", "localhost", "--port", String(port), "--client-id", "gw-7"],
    ...["--certs", `${folder}/certs`, "--state", `${folder}/state`],
    ...["--backoff-max", "1s", "--log-format", "json", "--log-level", logLevel],
  ];
}

/** Flags with other values for some of them. */
export function replaced(
  flags: readonly string[],
  values: Readonly<Record<string, string>>,
): string[] {
  return flags.map((flag, at) => values[flags[at - 1] ?? ""] ?? flag);
}

/** What the command `queue` counts. */
export async function countsOf(rig: Rig): Promise<{ waiting: number; quarantined: number }> {
  const run = rig.run(["queue", "--json", "--state", `${rig.folder}/state`]);
  if (await run.code !== 0) throw new Error(run.errors.join("\n"));
  const { waiting, quarantined } = JSON.parse(run.out.join(""));
  return { waiting, quarantined };
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
interface RunProcess extends Run {
  /** Kills it if it has not ended. @throws {Error} If it lacked a permission. */
  end(): Promise<void>;
}

function startRun(args: readonly string[], { input, lacks, ...options }: RunOptions): RunProcess {
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

function startHere(
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

/** `seq` of each message received, in order. */
export function seqsOf(received: readonly { readonly payload: string }[]): number[] {
  return received.map(({ payload }) => JSON.parse(payload).seq);
}

/** The numbers from `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** The list without its repeats: first deliveries. */
export function firsts<T>(list: readonly T[]): T[] {
  return [...new Set(list)];
}

/** Lines of input as a stream in chunks of some size, which are made only as they are asked for. */
export function inputOf(lines: Iterable<string>, chunkLines = 100): ReadableStream<Uint8Array> {
  const iterator = lines[Symbol.iterator]();
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull(controller) {
      let chunk = "";
      for (let i = 0; i < chunkLines; i++) {
        const next = iterator.next();
        if (next.done) {
          if (chunk !== "") controller.enqueue(encoder.encode(chunk));
          return controller.close();
        }
        chunk += `${next.value}\n`;
      }
      controller.enqueue(encoder.encode(chunk));
    },
  }, { highWaterMark: 0 });
}

/** Input that stays open: lines are written to it as the test goes on. */
export function openInput(): {
  stream: ReadableStream<Uint8Array>;
  write: (line: string) => void;
  end: () => void;
} {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  const encoder = new TextEncoder();
  return {
    stream,
    write: (line) => controller.enqueue(encoder.encode(`${line}\n`)),
    end: () => controller.close(),
  };
}

/** Lines of input, as many messages: a JSON object with each number. */
export function* numbered(first: number, last: number): Generator<string> {
  for (let n = first; n <= last; n++) yield JSON.stringify({ n });
}

/** Queues messages while there is no link: a run that is offline, and then stopped. */
export async function queueOffline(
  rig: Rig,
  messages: number,
  flags: readonly string[] = [],
): Promise<void> {
  rig.endpoint.pause();
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin", ...flags], { input: stream });
  for (const line of numbered(1, messages)) write(line);
  let queued = 0;
  await run.until(() => {
    queued = run.log.filter(({ event }) => event === "queued")
      .reduce((sum, { messages }) => sum + Number(messages), 0);
    return queued === messages;
  }, `${messages} messages in the queue`);
  run.signal();
  if (await run.code !== 0) throw new Error("the offline run did not end well");
  await rig.endpoint.resume();
}
