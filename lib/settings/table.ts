/**
 * The settings, each said once: the type {@linkcode Settings}, parsing, defaults, help, `mqtt443 settings`, the sample
 * file, the JSON Schema and the table in lib/settings/README.md come from {@linkcode TABLE}. To add a setting, add a row.
 */

import { isAws } from "../core/endpoint.ts";
import type { Qos } from "../core/message.ts";
import { choice, duration, integer, type Kind, optional, orNone, size } from "./parsers.ts";
import {
  CLIENT_ID,
  HOST,
  MESSAGE,
  path,
  PATTERNS,
  PROTOCOL,
  PROXY,
  secretFile,
  SOCKET,
  SOURCES,
  STATUS_TOPIC,
  TAGS,
  TOPIC,
  USERNAME,
} from "./texts.ts";

/** Facts of the machine for defaults. */
export interface Machine {
  /** Default of `clientId`. */
  readonly hostName: string;
  /** Default of `certs`. */
  readonly certs: string;
  /** Default of `statusFile`. */
  readonly statusFile?: string | undefined;
}

/** One row of the table. */
interface Row<T> {
  readonly kind: Kind<T>;
  /** The default as people read it, or `required`. */
  readonly default: string;
  /** The default, where {@linkcode default} is not its text: from the values given, by key, and the machine. */
  readonly compute?: (given: Readonly<Record<string, unknown>>, machine: Machine) => T;
  /** What it is for: one sentence without a period. */
  readonly sentence: string;
  /** A value for the sample file. @default the default */
  readonly example?: string;
  /** A wrong value is not shown in errors: it may be a secret. */
  readonly isPrivate?: boolean;
  /** Largest value on AWS IoT Core, if the kind allows more. */
  readonly awsMax?: number;
}

/** One setting as people see it. */
export interface SettingSpec extends Row<unknown>, Omit<Kind<unknown>, "allowed"> {
  /** Key in the settings file; flag and variable are made from it. */
  readonly key: string;
  readonly allowed: string;
  readonly example: string;
}

/** Publishes a second that AWS IoT Core takes per connection, and unacknowledged ones: quotas page "iot-core". */
const AWS_LIMIT = 100;

const DIRECTORY = path("DIR", "directory");

/** The table, in the order that people read it. */
const TABLE = {
  /** Empty if not given, which only commands that do not connect allow. */
  endpoint: setting(
    HOST,
    "required",
    "where to publish: the AWS IoT data endpoint, or any MQTT broker behind TLS",
    { compute: () => "", example: "abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com" },
  ),
  port: setting(integer(1, 65535, "PORT"), "443", "TCP port of the endpoint"),
  alpn: setting(
    orNone(PROTOCOL),
    "x-amzn-mqtt-ca; none on port 8883; mqtt with username on AWS",
    "protocol asked for in the TLS handshake",
    {
      compute: alpnOf,
      example: "x-amzn-mqtt-ca",
    },
  ),
  mqttVersion: setting(choice("VERSION", ["5", "3.1.1"]), "5", "MQTT version spoken"),
  clientId: setting(
    CLIENT_ID,
    "the host name",
    "MQTT client id, unique to this device",
    { compute: (_given, { hostName }) => hostName, example: "gw-7" },
  ),
  certs: setting(
    DIRECTORY,
    "./certs, else /etc/mqtt443/certs",
    "searched for the CA, certificate and key",
    { compute: (_given, { certs }) => certs, example: "/etc/mqtt443/certs" },
  ),
  ca: setting(
    optional(path("FILE", "PEM, one or more")),
    "found in certs; else public roots",
    "only these CA certificates may vouch for the endpoint",
    { example: "/etc/mqtt443/certs/AmazonRootCA1.pem" },
  ),
  cert: setting(
    optional(path("FILE", "PEM, leaf first, chain allowed")),
    "found in certs",
    "device certificate",
    {
      example: "/etc/mqtt443/certs/device.pem.crt",
    },
  ),
  key: setting(
    optional(path("FILE", "PKCS#8, PKCS#1 or SEC1 PEM")),
    "found in certs",
    "private key of the certificate; may be encrypted",
    { example: "/etc/mqtt443/certs/private.pem.key" },
  ),
  keyPassphraseFile: setting(
    orNone(secretFile("passphrase")),
    "none",
    "its first line is the passphrase of the key",
    { isPrivate: true },
  ),
  username: setting(
    orNone(USERNAME),
    "none",
    "MQTT user name; with it certificate and key may be absent",
    { isPrivate: true },
  ),
  passwordFile: setting(
    orNone(secretFile("password")),
    "none",
    "its first line is the MQTT password",
    { isPrivate: true },
  ),
  proxy: setting(
    orNone(PROXY),
    "none",
    "proxy to go through; nothing else is connected to then",
    { isPrivate: true },
  ),
  proxyAuthFile: setting(
    orNone(secretFile("user and password")),
    "none",
    "its first line is user:password for the proxy",
    { isPrivate: true },
  ),
  proxyCa: setting(
    optional(path("FILE", "PEM, one or more")),
    "public roots",
    "only these CA certificates may vouch for a proxy with https://",
    { example: "/etc/mqtt443/certs/proxy-ca.pem" },
  ),
  /** `{clientId}` already replaced. */
  topic: setting(
    TOPIC,
    "dt/mqtt443/{clientId}/telemetry",
    "where messages go; {clientId} is replaced",
  ),
  qos: setting(integer<Qos>(0, 1, "QOS"), "1", "1: kept until acknowledged; 0: sent once"),
  interval: setting(
    duration("100ms", "24h"),
    "10s",
    "time from message to message; a missed tick is skipped",
  ),
  count: setting(orNone(integer(1, 1_000_000_000)), "none", "stop after so many messages"),
  source: setting(
    SOURCES,
    "system",
    "what is measured, separated by commas; each may have @INTERVAL",
  ),
  /** Patterns of names of readings. */
  only: setting(
    orNone(PATTERNS),
    "none",
    "names of the readings that are sent, separated by commas",
  ),
  except: setting(orNone(PATTERNS), "none", "names of readings that are not sent"),
  /** `NAME=VALUE` each. */
  tags: setting(
    orNone(TAGS),
    "none",
    "fixed texts that each json payload has beside device, separated by commas",
  ),
  listen: setting(orNone(SOCKET), "none", "where other processes hand in messages", {
    example: "/run/mqtt443/in.sock",
  }),
  /** Not with `systemd`. */
  listenMode: setting(
    choice("MODE", ["0660", "0600"]),
    "0660",
    "who may connect there: the group too, or the owner alone",
  ),
  /** `{clientId}` already replaced. */
  topicPrefix: setting(
    orNone(TOPIC),
    "none",
    "messages handed in may name a topic below it; {clientId} is replaced",
    { example: "dt/mqtt443/{clientId}" },
  ),
  /** `{clientId}` already replaced. */
  statusTopic: setting(
    orNone(STATUS_TOPIC),
    "none",
    "where the broker keeps whether this device is online",
    { example: "dt/mqtt443/{clientId}/status" },
  ),
  statusFile: setting(
    orNone(path("FILE", "path of a file")),
    "/run/mqtt443/status.json, if /run/mqtt443 is this user's",
    "where `mqtt443 status` reads how the publisher fares",
    { compute: (_given, { statusFile }) => statusFile, example: "/run/mqtt443/status.json" },
  ),
  format: setting(
    choice("FORMAT", ["json", "text", "shadow"]),
    "json",
    "how readings become a payload",
  ),
  pack: setting(
    orNone(size("1KiB", "128KiB")),
    "none",
    "messages share a PUBLISH of at most so many bytes; AWS bills each 5KiB",
    { example: "5KiB" },
  ),
  packAs: setting(
    choice("FORM", ["samples", "columns"]),
    "samples",
    "form of a pack: whole messages, or names once and rows of values",
  ),
  packWait: setting(duration("0s", "1h"), "0s", "how long a message may wait for others"),
  message: setting(
    optional(MESSAGE),
    "none",
    "publish this text once and exit",
    { isPrivate: true },
  ),
  giveUpAfter: setting(
    duration("1s", "24h"),
    "30s",
    "how long a run that ends by itself tries to deliver",
  ),
  keepAlive: setting(duration("30s", "1200s"), "60s", "a dead link is known within 1.5 times this"),
  tlsMin: setting(
    choice("VERSION", ["1.2", "1.3"]),
    "1.2",
    "1.3 hides the device certificate from who answers with a wrong name",
  ),
  connectTimeout: setting(duration("1s", "2m"), "15s", "for DNS, TCP, TLS and CONNACK together"),
  ackTimeout: setting(
    duration("1s", "5m"),
    "20s",
    "no PUBACK or PINGRESP in that time: reconnect and send again",
  ),
  backoffMax: setting(duration("1s", "1h"), "2m", "longest wait between two attempts to connect"),
  state: setting(DIRECTORY, "./state", "where the queue is kept", { example: "/var/lib/mqtt443" }),
  queueMaxMessages: setting(integer(1, 100_000_000), "100000", "most messages kept"),
  queueMaxBytes: setting(size("128KiB", "64GiB"), "64MiB", "most bytes of messages kept"),
  queueMaxAge: setting(orNone(duration("1s", "8760h")), "none", "older messages are dropped"),
  queueFull: setting(
    choice("POLICY", ["drop-oldest", "drop-newest"]),
    "drop-oldest",
    "what is dropped when a limit is reached",
  ),
  durability: setting(
    choice("LEVEL", ["power", "crash", "none"]),
    "power",
    "what queued messages survive: a power cut, a crash, nothing",
  ),
  drainRate: setting(
    orNone(integer(1, 100_000)),
    "none",
    "PUBLISH packets per second while a backlog is sent",
  ),
  maxRate: setting(
    orNone(integer(1, 100_000)),
    `${AWS_LIMIT} on *.amazonaws.com, else none`,
    "PUBLISH packets per second at most; AWS discards above 100",
    {
      compute: ({ endpoint }) => isAws(String(endpoint)) ? AWS_LIMIT : undefined,
      example: "100",
      awsMax: AWS_LIMIT,
    },
  ),
  inflight: setting(integer(1, 1000), "20", "unacknowledged PUBLISH packets of QoS 1 at most", {
    awsMax: AWS_LIMIT,
  }),
  logFormat: setting(choice("FORMAT", ["text", "json"]), "text", "form of a log line"),
  logLevel: setting(
    choice("LEVEL", ["debug", "info", "warn", "error"]),
    "info",
    "least severe lines to log",
  ),
};

/** AWS takes a user name (custom authorizers) under another protocol than a certificate. */
function alpnOf(
  { endpoint, port = 443, username }: Readonly<Record<string, unknown>>,
): string | undefined {
  if (port === 8883) return undefined;
  return username !== undefined && port === 443 && isAws(`${endpoint}`) ? "mqtt" : "x-amzn-mqtt-ca";
}

/** Every effective setting. Durations are in ms, sizes in bytes; undefined means none. */
export type Settings = {
  readonly [K in keyof typeof TABLE]: (typeof TABLE)[K] extends Row<infer T> ? T : never;
};

/** The settings as a list, in the order of the table. */
export const SETTINGS: readonly SettingSpec[] = Object.entries<Row<unknown>>(TABLE).map(
  ([key, row]) => ({
    ...row.kind,
    example: row.default,
    ...(row.kind.isOptional && { compute: () => undefined }),
    ...row,
    key,
    allowed: row.kind.allowed +
      (row.awsMax === undefined ? "" : `; at most ${row.awsMax} on *.amazonaws.com`),
  }),
);

/** `ackTimeout` → `--ack-timeout`. */
export function flagOf(key: string): string {
  return `--${kebab(key)}`;
}

/** `ackTimeout` → `MQTT443_ACK_TIMEOUT`. */
export function variableOf(key: string): string {
  return `MQTT443_${kebab(key).replaceAll("-", "_").toUpperCase()}`;
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function setting<T>(
  kind: Kind<T>,
  text: string,
  sentence: string,
  rest?: Omit<Row<T>, "kind" | "default" | "sentence">,
): Row<T> {
  return { kind, default: text, sentence, ...rest };
}
