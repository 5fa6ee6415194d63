/**
 * Who publishes the samples of a gateway, each as its users would use it: ours from its stdin, mosquitto_pub, the peers'
 * scripts with a line a sample, mosquitto's bridge behind a local broker. All send the same payload to the same topic.
 */

import { type Form, ourFlags } from "./ours.ts";
import type { Peer } from "./peers.ts";
import { OURS } from "./report.ts";
import { type CommandLine, programPath } from "./run.ts";
import type { Paths, Server } from "./servers.ts";
import { PEERS } from "./targets.ts";

/** Where all of them publish to. */
const TOPIC = "bench/peer";

/** One gateway. */
export interface Site {
  /** As its samples name it. */
  readonly device: string;
  /** An empty folder. */
  readonly dir: string;
  readonly server: Server;
  readonly paths: Paths;
  /** A port of this machine that is free. */
  readonly localPort: number;
}

/** A way to publish samples. */
export interface Publisher {
  readonly name: string;
  /** It is given the metrics alone, and makes the payload of them. */
  readonly wraps?: true;
  /** Runs all the time; an outage kills it. */
  readonly sender: (site: Site) => CommandLine;
  /** Takes the lines in its place, and hands them to it. */
  readonly local?: (site: Site) => CommandLine;
}

/** A sample in numbers. */
export interface Sample {
  readonly device: string;
  readonly number: number;
}

/** The line that a publisher gets for a sample. */
export function lineOf({ device, number }: Sample, { wraps }: Publisher): string {
  const metrics = { temperature_celsius: 21.5, cpu_load_1m: 0.12, sample: number };
  const time = new Date().toISOString();
  return JSON.stringify(wraps ? metrics : { device, seq: number, time, metrics });
}

/** The samples in a payload: one, or a pack of them. */
export function samplesIn(payload: string): Sample[] {
  const { device, metrics, samples = [{ metrics }], names, rows } = JSON.parse(payload);
  const column = names?.indexOf("sample");
  const numbers: number[] = rows?.map((row: number[]) => row[column]) ??
    samples.map((one: { metrics: { sample: number } }) => one.metrics.sample);
  return numbers.map((number) => ({ device, number }));
}

/** What {@linkcode findPublishers} is told. */
export interface PublishersOptions {
  readonly form: Form;
  readonly peers: readonly Peer[];
  /** How long a sample may wait for others in a pack, ms. */
  readonly packWaitMs: number;
}

/** Those that are here; ours first. */
export function findPublishers({ form, peers, packWaitMs }: PublishersOptions): Publisher[] {
  const pack = ["--pack", "5KiB", "--pack-wait", `${packWaitMs / 1000}s`];
  const broker = programPath("mosquitto");
  const pub = programPath("mosquitto_pub");
  return [
    ours(OURS, form, []),
    ours(`${OURS}, packed`, form, pack),
    ours(`${OURS}, columns`, form, [...pack, "--pack-as", "columns"]),
    ...peers.flatMap(({ name, lines, eachLine }) => [
      by(PEERS.pubEach, eachLine),
      by(name === PEERS.mosquittoPub ? PEERS.pubLines : name, lines),
    ]).filter((publisher) => publisher !== undefined),
    ...(broker && pub
      ? [
        bridge(PEERS.bridge, { broker, pub, saving: "" }),
        bridge(PEERS.bridgeSaved, {
          broker,
          pub,
          saving: "autosave_on_changes true\nautosave_interval 1\n",
        }),
      ]
      : []),
  ];
}

function by(name: string, command: Peer["lines"]): Publisher | undefined {
  return command && { name, sender: ({ server }) => command(server) };
}

function ours(name: string, form: Form, flags: readonly string[]): Publisher {
  return {
    name,
    wraps: true,
    sender: ({ device, dir, server, paths }) =>
      form.command([
        ...["publish", "--source", "stdin", "--topic", TOPIC, ...flags],
        ...ourFlags(server, paths, { state: `${dir}/state`, id: device }),
      ]),
  };
}

/** A broker that keeps what it cannot send yet; by default it writes that to disk twice an hour and at its end. */
function bridge(
  name: string,
  { broker, pub, saving }: { broker: string; pub: string; saving: string },
): Publisher {
  return {
    name,
    sender: ({ device, dir, server: { port, alpn }, paths, localPort }) => {
      Deno.writeTextFileSync(
        `${dir}/bridge.conf`,
        `user root
log_dest none
listener ${localPort} 127.0.0.1
allow_anonymous true
persistence true
persistence_location ${dir}/
${saving}
connection cloud
address localhost:${port}
topic ${TOPIC} out 1
cleansession false
notifications false
remote_clientid ${device}
bridge_protocol_version mqttv50
bridge_cafile ${paths.ca}
bridge_certfile ${paths.cert}
bridge_keyfile ${paths.key}
${alpn === "none" ? "" : `bridge_alpn ${alpn}\n`}`,
      );
      return { program: broker, args: ["-c", `${dir}/bridge.conf`] };
    },
    local: ({ localPort }) => ({
      program: pub,
      args: ["-h", "127.0.0.1", "-p", `${localPort}`, "-q", "1", "-t", TOPIC, "-l"],
    }),
  };
}
