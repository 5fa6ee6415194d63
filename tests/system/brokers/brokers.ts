/**
 * Real brokers in the shape of AWS's front door: HAProxy that asks for a device certificate and for ALPN before a plain
 * mosquitto listener, and beside it a TLS port of mosquitto alone, which knows no ALPN, as port 8883 does.
 *
 * Rules: everything listens on the loopback interface, on free ports; its files are in one temporary directory, which
 * goes with it; what is missing on this machine is said, and is a failure.
 */

import { AWS_ALPN, makeAuthority, makePki, writeCerts } from "../../../tools/endpoint/mod.ts";
import { type Child, spawn } from "./child.ts";

/** Debian keeps servers where the PATH of a user does not reach. */
const PROGRAM_DIRS = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/local/sbin", "/usr/sbin"];
/** An address of the loopback interface that nobody else uses, so that port 8883 itself is free there. */
const OWN_ADDRESS = `127.44.${randomByte()}.${randomByte()}`;

const pki = await makePki({ names: [OWN_ADDRESS] });
const programs = await findPrograms(["haproxy", "mosquitto", "mosquitto_pub", "mosquitto_sub"]);

/** A port at which the device's certificates are asked for. */
export interface Place {
  readonly endpoint: string;
  readonly port: number;
}

/** The brokers of one test. Disposing of them ends them and removes their files. */
export interface Brokers extends AsyncDisposable {
  /** Temporary directory of the test. */
  readonly dir: string;
  /** The device's certificates, for `--certs`. */
  readonly certs: string;
  /** HAProxy, with ALPN. */
  readonly front: Place;
  /** mosquitto alone, without ALPN. */
  readonly plainTls: Place;
  /** mosquitto alone on 8883, at an address of its own. */
  readonly port8883: Place;
  /** The log of mosquitto. */
  readonly mosquittoLog: Child["stderr"];
  /** Ends HAProxy and all connections through it. */
  stopFront(): Promise<void>;
  /** Starts it again at the same port. */
  startFront(): Promise<void>;
  /** Ends mosquitto, which saves what it keeps for its sessions. */
  stopMosquitto(): Promise<void>;
  /** Starts it again at the same ports. */
  startMosquitto(): Promise<void>;
  /** Starts a `mosquitto_sub` that sees every message; settles when it is subscribed. */
  witness(options?: WitnessOptions): Promise<Witness>;
  /** Publishes with `mosquitto_pub`, under a client id of its own or another's. */
  publish(
    topic: string,
    payload: string,
    options?: { readonly retain?: boolean; readonly clientId?: string },
  ): Promise<void>;
  /** A directory with a device certificate of another CA, for `--certs`. */
  foreignCerts(): Promise<string>;
}

/** What {@linkcode Brokers.witness} can be told. */
export interface WitnessOptions {
  /** Keep its session in the broker, so that it misses nothing while the broker restarts. @default {false} */
  readonly persistent?: boolean;
}

/** What the witness saw. */
export interface Seen {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
}

/** A `mosquitto_sub` beside the program under test. Disposing of it ends it. */
export interface Witness extends AsyncDisposable {
  /** All messages so far. */
  seen(): Seen[];
  /** Settles with all messages so far, as soon as they fulfil the condition. */
  until(check: (seen: readonly Seen[]) => boolean, what: string): Promise<Seen[]>;
}

/**
 * Starts the brokers.
 *
 * @param more More lines of mosquitto's configuration, and what an `acl_file` in the directory holds.
 */
export async function startBrokers(
  { more = "", acl }: { readonly more?: string; readonly acl?: string } = {},
): Promise<Brokers> {
  await using cleanup = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "mqtt443-brokers-" });
  cleanup.defer(() => Deno.remove(dir, { recursive: true }));
  const certs = `${dir}/certs`;
  const { ca } = await writeCerts(certs, pki);
  const server = `${certs}/endpoint/server`;
  await Deno.writeTextFile(`${dir}/haproxy.pem`, pki.server.cert + pki.server.key, { mode: 0o600 });
  const [front, plain, plainTls] = freePorts(3) as [number, number, number];

  await Deno.writeTextFile(`${dir}/haproxy.cfg`, haproxyConfig({ dir, ca, front, plain }));
  await Deno.writeTextFile(
    `${dir}/mosquitto.conf`,
    mosquittoConfig({ dir, ca, server, plain, tls: plainTls }) +
      `${more}\n${acl === undefined ? "" : `acl_file ${dir}/acl\n`}`,
  );
  if (acl !== undefined) await Deno.writeTextFile(`${dir}/acl`, acl, { mode: 0o600 });
  const startMosquitto = () =>
    started(
      spawn(programs.mosquitto, ["-c", `${dir}/mosquitto.conf`]),
      /mosquitto version \S+ running/,
    );
  const startFront = () =>
    // With a master process (-W) it says when its ports are open.
    started(spawn(programs.haproxy, ["-W", "-db", "-f", `${dir}/haproxy.cfg`]), /Loading success/);

  let mosquitto = await startMosquitto();
  cleanup.defer(async () => void await mosquitto.stop());
  let haproxy = await startFront();
  cleanup.defer(async () => void await haproxy.stop());

  const witness = async ({ persistent = false }: WitnessOptions = {}): Promise<Witness> => {
    const id = `witness-${crypto.randomUUID().slice(0, 8)}`;
    // `!` begins a line that is a message; mosquitto_sub has others to say.
    const child = spawn(programs.mosquitto_sub, [
      ...["-h", "127.0.0.1", "-p", `${plain}`, "-V", "5", "-i", id, "-q", "1", "-t", "#"],
      ...["-F", "!%q %t %p"],
      ...(persistent ? ["-c", "-x", "3600"] : []),
    ]);
    await orStop(
      child,
      mosquitto.stderr.until(
        (lines) => lines.some((line) => line.endsWith(`Sending SUBACK to ${id}`)),
        `the subscription of ${id} in the log`,
      ),
    );
    const seen = () => child.stdout.all.flatMap(parseSeen);
    return {
      seen,
      until: (check, what) =>
        child.stdout.until((lines) => {
          const messages = lines.flatMap(parseSeen);
          return check(messages) && messages;
        }, what),
      [Symbol.asyncDispose]: async () => void await child.stop(),
    };
  };

  const owned = cleanup.move();
  return {
    dir,
    certs,
    front: { endpoint: "localhost", port: front },
    plainTls: { endpoint: "localhost", port: plainTls },
    port8883: { endpoint: OWN_ADDRESS, port: 8883 },
    get mosquittoLog() {
      return mosquitto.stderr;
    },
    stopFront: async () => void await haproxy.stop(),
    startFront: async () => void (haproxy = await startFront()),
    stopMosquitto: async () => void await mosquitto.stop(),
    startMosquitto: async () => void (mosquitto = await startMosquitto()),
    witness,
    async publish(topic, payload, { retain = false, clientId } = {}) {
      // From a file: an argument has 128 KiB at most.
      const file = `${dir}/payload-${crypto.randomUUID()}`;
      await Deno.writeTextFile(file, payload);
      await using child = spawn(programs.mosquitto_pub, [
        ...["-h", "127.0.0.1", "-p", `${plain}`, "-q", "1", "-t", topic, "-f", file],
        ...(retain ? ["-r"] : []),
        ...(clientId === undefined ? [] : ["-i", clientId]),
      ]);
      const code = await child.ended;
      if (code !== 0) throw new Error(`mosquitto_pub ended with ${code}: ${child.stderr.all}`);
    },
    async foreignCerts() {
      const foreign = await (await makeAuthority({ commonName: "another CA" })).issue("gw-7");
      await writeCerts(`${dir}/foreign`, { ...pki, device: foreign });
      return `${dir}/foreign`;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function haproxyConfig(
  { dir, ca, front, plain }: { dir: string; ca: string; front: number; plain: number },
): string {
  // The server is tried once at once: a test that stops it means it.
  return `
global
  log stderr format raw daemon
  maxconn 100
defaults
  mode tcp
  log global
  retries 0
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen mqtt
  bind 127.0.0.1:${front} ssl crt ${dir}/haproxy.pem ca-file ${ca} verify required alpn ${AWS_ALPN}
  tcp-request inspect-delay 2s
  tcp-request content reject if !{ ssl_fc_alpn ${AWS_ALPN} }
  server mosquitto 127.0.0.1:${plain}
`;
}

function mosquittoConfig(
  { dir, ca, server, plain, tls }: {
    dir: string;
    ca: string;
    server: string;
    plain: number;
    tls: number;
  },
): string {
  const tlsListener = (port: number, address: string) => `
listener ${port} ${address}
allow_anonymous true
cafile ${ca}
certfile ${server}.pem
keyfile ${server}.key
require_certificate true
`;
  // As root it would become the user mosquitto, who may not read our files.
  return `
per_listener_settings false
user root
log_dest stderr
log_type all
persistence true
persistence_location ${dir}/
listener ${plain} 127.0.0.1
allow_anonymous true
${tlsListener(tls, "127.0.0.1")}
${tlsListener(8883, OWN_ADDRESS)}
`;
}

/** Settles when the child has said that it is ready; ends it if it does not. */
export async function started(child: Child, line: RegExp): Promise<Child> {
  await orStop(
    child,
    child.stderr.until((lines) => lines.some((text) => line.test(text)), `${line}`),
  );
  return child;
}

/** Waits for what shows that a child works; ends the child if it does not come. */
async function orStop(child: Child, sign: Promise<unknown>): Promise<void> {
  try {
    await sign;
  } catch (error) {
    await child.stop();
    throw error;
  }
}

function parseSeen(line: string): Seen[] {
  const [, qos, topic, payload] = /^!(\d) (\S+) (.*)$/.exec(line) ?? [];
  return topic === undefined ? [] : [{ topic, payload: payload ?? "", qos: Number(qos) }];
}

/** Ports below those that the kernel gives to outgoing connections, so that nobody takes one during a restart. */
export function freePorts(count: number): number[] {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      ports.add(port);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  return [...ports];
}

/** The paths of programs. @throws {Error} If one is missing. */
export async function findPrograms<Name extends string>(
  names: readonly Name[],
): Promise<Record<Name, string>> {
  const found: Record<string, string> = {};
  for (const name of names) {
    for (const dir of PROGRAM_DIRS) {
      const info = await Deno.stat(`${dir}/${name}`).catch(() => undefined);
      if (info?.isFile) found[name] ??= `${dir}/${name}`;
    }
  }
  const missing = names.filter((name) => found[name] === undefined);
  if (missing.length === 0) return found as Record<Name, string>;
  throw new Error(
    `Cannot test against real brokers: ${missing.join(", ")} not found\n` +
      "hint: apt-get install mosquitto mosquitto-clients haproxy",
  );
}

function randomByte(): number {
  return 1 + Math.floor(Math.random() * 254);
}
