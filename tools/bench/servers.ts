/**
 * What everybody is measured against: mosquitto as it is installed, behind TLS that asks for a client certificate. Where
 * there is none, the local endpoint takes its place, in a process of its own, so that it takes no time from what is
 * measured. Of mosquitto's settings only the window is raised, which on MQTT 5 is 20 otherwise.
 */

import { AWS_ALPN, makePki, writeCerts } from "../endpoint/mod.ts";
import { delay, follow, kill } from "./process.ts";
import { commandOf, programPath } from "./run.ts";

/** Longest window that is measured. */
export const MOST_INFLIGHT = 1000;

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

/** The server and what its clients need. Disposing of it ends it. */
export interface Servers extends AsyncDisposable {
  readonly paths: Paths;
  readonly main: Server;
}

/** What each phase is told. */
export interface PhaseOptions {
  readonly servers: Servers;
  /** A folder of the bench's own. */
  readonly dir: string;
  /** Stops it. */
  readonly signal: AbortSignal;
}

/** Starts mosquitto, or the local endpoint. */
export async function startServers(
  dir: string,
  cache: string,
  signal: AbortSignal,
): Promise<Servers> {
  const paths = await writeCerts(`${dir}/certs`, await makePki());
  const main = await startMosquitto(dir, paths, signal) ?? await startLocal(paths, cache);
  return { paths, main, [Symbol.asyncDispose]: () => main[Symbol.asyncDispose]() };
}

/** A running server. Disposing of it ends it. */
interface Running extends Server, AsyncDisposable {}

async function startLocal({ dir }: Paths, cache: string): Promise<Running> {
  const child = commandOf({
    program: Deno.execPath(),
    args: ["run", "-A", "--frozen", `${import.meta.dirname}/server_process.ts`, dir],
    env: { DENO_DIR: cache },
  }, { stdin: "piped", stdout: "piped" }).spawn();
  const [stdin, stdout] = [child.stdin.getWriter(), child.stdout.getReader()];
  const { value } = await stdout.read();
  return {
    name: "local endpoint",
    port: Number(new TextDecoder().decode(value)),
    alpn: AWS_ALPN,
    async [Symbol.asyncDispose]() {
      kill(child, "SIGKILL");
      await Promise.all([stdin.abort().catch(() => {}), stdout.cancel(), child.status]);
    },
  };
}

/** Starts mosquitto; undefined where it is not installed. */
async function startMosquitto(
  dir: string,
  { ca, dir: certs }: Paths,
  signal: AbortSignal,
): Promise<Running | undefined> {
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
log_type error
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
  const reading = follow(child.stderr, (text) => void (said += text));
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

/** A port that nobody uses. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Whether something listens at that port. */
export async function isListening(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}
