/**
 * The clients of others that are compared with ours, as far as they are installed here: nothing is installed for them.
 * Each does the same over mutual TLS on MQTT 5 at QoS 1.
 *
 * Packages for Node are looked for in the folder that BENCH_NODE_MODULES names.
 */

import * as esbuild from "esbuild";
import { BUNDLE_FLAGS } from "../build/fresh.ts";
import { denoDir } from "./ours.ts";
import { type CommandLine, commandOf, isFile, programPath } from "./run.ts";
import type { Paths, Server } from "./servers.ts";
import { PEERS } from "./targets.ts";

/** A client of somebody else; what it cannot do is absent. */
export interface Peer {
  readonly name: string;
  /** Sends one message and ends. */
  readonly once?: CommandLine;
  /** What it says, when it has seen the PUBACK; without it, its end is the sign. */
  readonly acked?: RegExp;
  /** Sends a message a second, until it is ended. */
  readonly steady?: CommandLine;
  /** A line a second on its stdin makes it send. */
  readonly byLine?: true;
  /** Publishes each line of its stdin at any server, as one does who wants no sample lost. */
  readonly lines?: (server: Server) => CommandLine;
  /** The same with a process for each line. */
  readonly eachLine?: (server: Server) => CommandLine;
  /** Sends so many messages within a window; then prints `ms` and `cpuMs` as JSON. */
  readonly bulk?: (count: number, window: number) => CommandLine;
  /** Percent of our messages: fewer, where it is slow, or needs no time to get warm. */
  readonly share?: number;
}

/** What is found on this machine. */
export interface Found {
  readonly peers: readonly Peer[];
  /** Names of those that are not here, and what they need. */
  readonly missing: readonly string[];
}

/** What {@linkcode findPeers} is told. */
export interface FindOptions {
  readonly dir: string;
  readonly server: Server;
  readonly paths: Paths;
  /** Deno's cache, with the packages of this project. */
  readonly cache: string;
  readonly signal: AbortSignal;
}

/** A payload of about the size of ours. */
export const PAYLOAD = JSON.stringify({
  device: "gw-7",
  seq: 1042,
  time: "2026-11-23T03:24:45.123Z",
  metrics: { temperature_celsius: 21.5, cpu_load_1m: 0.12, pump: "on" },
});

/** How long it may take to find out whether a peer is here. */
const MOST_MS = 30_000;

const HERE = import.meta.dirname!;

/** Looks which are here. */
export async function findPeers(options: FindOptions): Promise<Found> {
  const found = await Promise.all([
    findMosquittoPub(options),
    findPaho(options),
    findNpm(options),
    findEmpty(options),
    findC(options),
    ...["mqtt", "aws-crt"].map((name) => findNode(name, options)),
  ]);
  options.signal.throwIfAborted();
  return {
    peers: found.filter((peer) => typeof peer !== "string"),
    missing: found.filter((peer) => typeof peer === "string"),
  };
}

/** A peer, or what is missing. */
type Finding = Peer | string;

function findMosquittoPub({ server, paths }: FindOptions): Finding {
  const program = programPath("mosquitto_pub");
  if (program === undefined) return `${PEERS.mosquittoPub} (apt-get install mosquitto-clients)`;
  const command = ({ port, alpn }: Server, ...more: string[]): CommandLine => ({
    program,
    args: [
      ...["-h", "localhost", "-p", `${port}`, "-V", "5", "-q", "1", "-t", "bench/peer"],
      ...["--cafile", paths.ca, "--cert", paths.cert, "--key", paths.key],
      ...(alpn === "none" ? [] : ["--tls-alpn", alpn]),
      ...more,
    ],
  });
  return {
    name: PEERS.mosquittoPub,
    once: command(server, "-m", PAYLOAD),
    steady: command(server, "-l"),
    byLine: true,
    lines: (server) => command(server, "-l"),
    eachLine: (server) => {
      const { args, ...rest } = command(server);
      const loop = 'while read -r line; do "$@" -m "$line"; done';
      return { ...rest, program: "sh", args: ["-c", loop, "sh", program, ...args] };
    },
  };
}

async function findPaho({ server, paths }: FindOptions): Promise<Finding> {
  const program = "/usr/bin/python3";
  if (!await works({ program, args: ["-c", "import paho.mqtt.client"] })) {
    return `${PEERS.paho} (apt-get install python3-paho-mqtt)`;
  }
  const script = { program, args: [`${HERE}/peer_paho.py`] };
  return { ...scripted(PEERS.paho, script, server, paths), share: 8 };
}

function findNpm({ dir, server, paths, cache }: FindOptions): Finding {
  const script = {
    program: Deno.execPath(),
    args: ["run", "-A", "--frozen", `${HERE}/peer_mqtt.ts`],
    env: { DENO_DIR: denoDir(`${dir}/deno-npm`, cache) },
  };
  return { ...scripted(PEERS.npm, script, server, paths), share: 35 };
}

async function findEmpty({ dir }: FindOptions): Promise<Finding> {
  await Deno.writeTextFile(`${dir}/empty.js`, "");
  const env = { DENO_DIR: `${dir}/deno-empty` };
  const once = { program: Deno.execPath(), args: ["run", ...BUNDLE_FLAGS, `${dir}/empty.js`], env };
  return { name: PEERS.empty, once };
}

async function findC({ dir, server, paths }: FindOptions): Promise<Finding> {
  const program = `${dir}/peer_mosquitto`;
  const source = `${HERE}/peer_mosquitto.c`;
  if (!await works({ program: "gcc", args: ["-O2", "-o", program, source, "-lmosquitto"] })) {
    return `${PEERS.c} (apt-get install gcc libmosquitto-dev)`;
  }
  const args = [`${server.port}`, paths.ca, paths.cert, paths.key, server.alpn, PAYLOAD];
  return {
    name: PEERS.c,
    bulk: (count, window) => ({ program, args: [...args, `${count}`, `${window}`] }),
    share: 60,
  };
}

/** MQTT.js or aws-crt on Node: the program lies beside a link to the packages, as Node looks for them there. */
async function findNode(name: string, { dir, server, paths }: FindOptions): Promise<Finding> {
  const [peer, file, share] = name === "mqtt"
    ? [PEERS.node, "peer_mqtt.ts", 35]
    : [PEERS.aws, "peer_aws_crt.mjs", 50];
  const modules = Deno.env.get("BENCH_NODE_MODULES");
  const program = programPath("node");
  if (
    program === undefined || modules === undefined || !isFile(`${modules}/${name}/package.json`)
  ) {
    return `${peer} (npm install --prefix DIR ${name}, BENCH_NODE_MODULES=DIR/node_modules)`;
  }
  // Of its own for each server: they are looked for once a server.
  const folder = `${dir}/node-${name}-${server.port}`;
  await Deno.mkdir(folder);
  await Deno.symlink(modules, `${folder}/node_modules`);
  const script = `${folder}/peer.mjs`;
  await Deno.writeTextFile(script, await asJavaScript(`${HERE}/${file}`));
  if (!await works({ program, args: ["--check", script] })) return `${peer} (a newer Node)`;
  return { ...scripted(peer, { program, args: ["--no-warnings", script] }, server, paths), share };
}

/** A program without its types, which Node does not take. */
async function asJavaScript(path: string): Promise<string> {
  const text = await Deno.readTextFile(path);
  if (!path.endsWith(".ts")) return text;
  const { code } = await esbuild.transform(text, { loader: "ts" });
  await esbuild.stop();
  return code;
}

/** A program of this folder: they all take the same arguments. */
function scripted(
  name: string,
  { program, args, env = {} }: CommandLine,
  server: Server,
  { ca, cert, key }: Paths,
): Peer {
  const at = ({ port, alpn }: Server, mode: string, ...more: string[]): CommandLine => ({
    program,
    args: [...args, mode, `${port}`, ca, cert, key, alpn, PAYLOAD, ...more],
    env,
  });
  const command = (mode: string, ...more: string[]) => at(server, mode, ...more);
  return {
    name,
    once: command("once"),
    acked: /acked/,
    steady: command("steady"),
    lines: (server) => at(server, "lines"),
    bulk: (count, window) => command("bulk", `${count}`, `${window}`),
  };
}

/** Whether it ends well. It is not stopped in the middle, where a compiler would leave files. */
async function works(command: CommandLine): Promise<boolean> {
  try {
    const silent = { stdin: "null", stdout: "null", stderr: "null" } as const;
    const signal = AbortSignal.timeout(MOST_MS);
    return (await commandOf(command, { signal, ...silent }).output()).success;
  } catch {
    return false;
  }
}
