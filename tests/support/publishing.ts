/**
 * A device, its endpoint and what the two said: the program as a process of its own, as users start it, with certificates
 * and a state directory of its own. Only a test that brings a clock or chance of its own runs the program in this process.
 * Tests wait for what happens, never for a time.
 */

import {
  type Endpoint,
  type EndpointOptions,
  makePki,
  startEndpoint,
} from "../../tools/endpoint/mod.ts";
import type { Target } from "../../lib/core/endpoint.ts";
import { atRest } from "./connecting.ts";
import { TEST_PROXY } from "./program.ts";
import {
  type HereOptions,
  type Run,
  type RunHere,
  type RunOptions,
  type RunProcess,
  startHere,
  startRun,
} from "./runs.ts";

export type { Line, Run, RunOptions } from "./runs.ts";

/** Where deliveries go whose connection is a stand-in. */
export const TARGET: Target = {
  endpoint: "localhost",
  port: 1,
  alpn: undefined,
  clientId: "gw-7",
  tlsMin: "1.2",
  caFiles: [],
};

/** Throw-away certificates for all tests of one file. */
export const pki = await makePki();

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
    ...(TEST_PROXY === undefined ? [] : ["--proxy", TEST_PROXY]),
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
