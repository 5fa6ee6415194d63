/**
 * The clients that are compared: ours, and those of others that are installed here. Each can send one QoS 1 message and
 * end, and send one a second until it is killed, over mutual TLS with ALPN on MQTT 5.
 */

import { AWS_ALPN } from "../endpoint.ts";
import { V8_FLAGS } from "../v8_flags.ts";
import type { BenchEndpoint } from "./endpoint.ts";

/** How to start something. */
export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
}

/** A client under measurement. */
export interface Client {
  readonly name: string;
  /** Sends one message and ends. */
  readonly once: CommandLine;
  /** What it writes, on stdout or stderr, when it has seen the PUBACK; without it, its end is the sign. */
  readonly acked?: RegExp;
  /** Sends a message a second. */
  readonly steady: CommandLine;
  /** A line a second on its stdin makes it send. */
  readonly byLine?: true;
}

/** What is found on this machine. */
export interface Found {
  readonly clients: readonly Client[];
  /** Names of those that are not here, and why. */
  readonly missing: readonly string[];
}

/** A payload of about the size of ours. */
export const PAYLOAD = JSON.stringify({
  device: "gw-7",
  seq: 1042,
  time: "2026-11-23T03:24:45.123Z",
  metrics: { temperature_celsius: 21.5, cpu_load_1m: 0.12, pump: "on" },
});

const HERE = import.meta.dirname!;
const MAIN = `${HERE}/../../main.ts`;

/** Our own command line: the executable if there is one, else from source. */
export function ourCommand(program: string | undefined, args: readonly string[]): CommandLine {
  return program === undefined
    ? { program: Deno.execPath(), args: ["run", "-A", "--frozen", V8_FLAGS, MAIN, ...args] }
    : { program, args };
}

/** The flags with which ours reaches the endpoint. */
export function ourFlags(endpoint: BenchEndpoint, state: string): string[] {
  return [
    ...["--endpoint", "localhost", "--port", `${endpoint.port}`, "--certs", endpoint.certs],
    ...["--state", state, "--client-id", "bench-mqtt443", "--log-format", "json"],
  ];
}

/** Looks which clients are here. */
export async function findClients(
  endpoint: BenchEndpoint,
  dir: string,
  program: string | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const missing: string[] = [];
  const clients: Client[] = [];
  const add = async (check: CommandLine, client: Client, install: string) => {
    if (await succeeds(check, signal)) clients.push(client);
    else missing.push(`${client.name} (${install})`);
  };
  clients.push({
    name: "mqtt443",
    once: ourCommand(program, [
      ...["publish", "--topic", "bench/one", "--message", PAYLOAD],
      ...ourFlags(endpoint, `${dir}/state-once`),
    ]),
    acked: /"event":"published"/,
    steady: ourCommand(program, [
      ...["publish", "--interval", "1s", "--topic", "bench/steady"],
      ...ourFlags(endpoint, `${dir}/state-steady`),
    ]),
  });
  const peer = [`${endpoint.port}`, endpoint.ca, endpoint.cert, endpoint.key, AWS_ALPN];
  const [port, ca, cert, key] = peer as [string, string, string, string];
  const mosquitto = [
    ...["-h", "localhost", "-p", port, "--cafile", ca, "--cert", cert, "--key", key],
    ...["--tls-alpn", AWS_ALPN, "-V", "5", "-q", "1", "-t", "bench/peer"],
  ];
  await add({ program: "sh", args: ["-c", "command -v mosquitto_pub"] }, {
    name: "mosquitto_pub",
    once: { program: "mosquitto_pub", args: [...mosquitto, "-m", PAYLOAD] },
    steady: { program: "mosquitto_pub", args: [...mosquitto, "-l"] },
    byLine: true,
  }, "apt-get install mosquitto-clients");
  const python = "/usr/bin/python3";
  const paho = (mode: string) => ({
    program: python,
    args: [`${HERE}/peer_paho.py`, mode, ...peer, PAYLOAD],
  });
  await add({ program: python, args: ["-c", "import paho.mqtt.client"] }, {
    name: "paho",
    once: paho("once"),
    acked: /acked/,
    steady: paho("steady"),
  }, "apt-get install python3-paho-mqtt");
  const npm = (mode: string) => ({
    program: Deno.execPath(),
    args: ["run", "-A", "--frozen", `${HERE}/peer_mqtt.ts`, mode, ...peer, PAYLOAD],
  });
  clients.push({ name: "npm:mqtt", once: npm("once"), acked: /acked/, steady: npm("steady") });
  return { clients, missing };
}

async function succeeds(
  { program, args }: CommandLine,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const silent = { stdout: "null", stderr: "null" } as const;
    const command = new Deno.Command(program, { args: [...args], signal, ...silent });
    return (await command.output()).success;
  } catch {
    return false;
  }
}
