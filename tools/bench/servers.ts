/**
 * What everybody is measured against: mosquitto as it is installed, behind TLS that asks for a client certificate; and,
 * in a process of its own, the local endpoint, and slow links to both. Where there is no mosquitto, the local
 * endpoint takes its place.
 *
 * Of mosquitto's settings only the window is raised, which on MQTT 5 is 20 otherwise; above all it does not set
 * TCP_NODELAY.
 */

import { AWS_ALPN, makePki, writeCerts } from "../endpoint/mod.ts";
import { readLines } from "../../lib/sources/mod.ts";
import { delay, follow, kill } from "./process.ts";
import { commandOf, programPath } from "./run.ts";

/** Longest window that is measured. */
export const MOST_INFLIGHT = 1000;
/** Round trip of the slow link, in ms. */
export const LINK_MS = 50;

/** Certificates of the device. */
export interface Paths {
  /** For `--certs`. */
  readonly dir: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Where a client connects to. */
export interface Server {
  readonly name: string;
  readonly port: number;
  /** As `--alpn` wants it. */
  readonly alpn: string;
}

/** All of them. Disposing of them ends them. */
export interface Servers extends AsyncDisposable {
  readonly paths: Paths;
  /** mosquitto, if it is here. */
  readonly main: Server;
  readonly endpoint: Server;
  /** The endpoint and `main`, far away. */
  readonly links: readonly [Server, Server];
  /** Sends bytes to the other end of the slow link and waits for them; returns the ms it took. */
  ping(): Promise<number>;
  /** When each message came to the endpoint since this was asked last, in ms of some clock. */
  arrivals(): Promise<number[]>;
}

/** What each phase is told. */
export interface PhaseOptions {
  readonly servers: Servers;
  /** A folder of the bench's own. */
  readonly dir: string;
  /** Stops it. */
  readonly signal: AbortSignal;
}

/** Starts them. */
export async function startServers(
  dir: string,
  cache: string,
  signal: AbortSignal,
): Promise<Servers> {
  await using cleanup = new AsyncDisposableStack();
  const paths = await writeCerts(`${dir}/certs`, await makePki());
  const mosquitto = await startMosquitto(dir, paths, signal);
  if (mosquitto) cleanup.use(mosquitto);
  const child = commandOf({
    program: Deno.execPath(),
    args: [
      ...["run", "-A", "--frozen", `${import.meta.dirname}/server_process.ts`],
      ...[paths.dir, `${mosquitto?.port ?? 0}`],
    ],
    env: { DENO_DIR: cache },
  }, { stdin: "piped", stdout: "piped" }).spawn();
  const input = child.stdin.getWriter();
  const answers = answersOf(child.stdout);
  cleanup.defer(async () => {
    kill(child, "SIGKILL");
    await input.abort().catch(() => {});
    await child.status;
    await answers.return("");
  });
  const { port, links, echo } = JSON.parse((await answers.next()).value);
  const endpoint = { name: "local endpoint", port, alpn: AWS_ALPN };
  const main = mosquitto ?? endpoint;
  const owned = cleanup.move();
  return {
    paths,
    main,
    endpoint,
    links: [{ ...endpoint, port: links[0] }, { ...main, port: links[1] }],
    ping: () => ping(echo),
    async arrivals() {
      await input.write(new TextEncoder().encode("arrivals\n"));
      return JSON.parse((await answers.next()).value);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function* answersOf(stdout: ReadableStream<Uint8Array>): AsyncGenerator<string, string> {
  for await (const lines of readLines(stdout, { maxBytes: 1e9 })) yield* lines.map(String);
  return "null";
}

async function ping(port: number): Promise<number> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  connection.setNoDelay(true);
  const bytes = new Uint8Array(1);
  const startMs = performance.now();
  await connection.write(bytes);
  await connection.read(bytes);
  return performance.now() - startMs;
}

/** A mosquitto. Disposing of it ends it. */
export interface Mosquitto extends Server, AsyncDisposable {}

/**
 * Starts mosquitto; undefined where it is not installed.
 *
 * @param onLog Hears its log, each packet a line.
 */
export async function startMosquitto(
  dir: string,
  { ca, dir: certs }: Paths,
  signal: AbortSignal,
  onLog?: (text: string) => void,
): Promise<Mosquitto | undefined> {
  const program = programPath("mosquitto");
  if (program === undefined) return undefined;
  const port = freePort();
  const server = `${certs}/endpoint/server`;
  const config = `${dir}/mosquitto-${port}.conf`;
  // As root it would become the user mosquitto, who may not read our files.
  await Deno.writeTextFile(
    config,
    `user root
log_dest stderr
log_type ${onLog ? "all" : "error"}
max_inflight_messages ${MOST_INFLIGHT}
listener ${port} 127.0.0.1
allow_anonymous true
cafile ${ca}
certfile ${server}.pem
keyfile ${server}.key
require_certificate true
`,
  );
  const child = commandOf({ program, args: ["-c", config] }, {
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let said = "";
  const reading = follow(child.stderr, onLog ?? ((text) => void (said += text)));
  let hasEnded = false;
  const ended = child.status.then(() => void (hasEnded = true));
  const stop = async () => {
    kill(child, "SIGKILL");
    await ended;
    await reading;
  };
  try {
    while (!await isListening(port)) {
      if (hasEnded) throw new Error(`mosquitto did not start: ${said}`);
      await delay(20, signal);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { name: "mosquitto", port, alpn: "none", [Symbol.asyncDispose]: stop };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function isListening(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}
