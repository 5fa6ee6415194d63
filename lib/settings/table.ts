/**
 * The settings, each told once: parsing, help, `mqtt443 settings`, the sample file and README's table all come
 * from this table. Adding a setting means adding it here and to {@linkcode Settings}.
 */

import { MAX_SOCKET_PATH_BYTES } from "../core/socket_guard.ts";
import { MAX_PAYLOAD_BYTES, textProblem, topicProblem, utf8Bytes } from "../core/message.ts";
import { checked, choice, duration, integer, orNone, type Parser, size } from "./parsers.ts";
import { formatDuration, formatSize } from "../core/text.ts";

/** One setting as people see it. */
export interface SettingSpec {
  /** Key in the settings file; flag and variable are made from it. */
  readonly key: string;
  /** Stands for the value in help texts. */
  readonly placeholder: string;
  /** The default as people read it, or `required`. */
  readonly default: string;
  /** What is allowed, in a few words. */
  readonly allowed: string;
  /** What it is for: one sentence without a period. */
  readonly sentence: string;
  /** A value for the sample file. */
  readonly example: string;
  /** From text to value. @throws {RangeError} with the rule. */
  readonly parse: Parser<unknown>;
  /** From value back to text, where the value alone says too little (ms, bytes). */
  readonly format?: (value: number) => string;
  /** A wrong value is not shown in errors: it may be what must not be seen. */
  readonly isPrivate?: boolean;
}

/** Largest client id in bytes that AWS IoT Core takes. */
export const MAX_CLIENT_ID_BYTES = 128;

/** What is wrong with a host name or address, as the end of a sentence, or undefined. */
export function endpointProblem(text: string): string | undefined {
  const rule = "must be a host name or IP address alone";
  if (text.includes("://")) return `${rule}, without a scheme such as mqtts://`;
  if (text.includes("@")) return `${rule}, without a user`;
  if (/[/?]/.test(text)) return `${rule}, without a path`;
  if (text.startsWith("[") && text.endsWith("]")) return `${rule}, without brackets`;
  if (text.includes(":") && URL.canParse(`http://[${text}]`)) return undefined;
  if (/:\d+$/.test(text)) return `${rule}: give the port with --port`;
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
  const labels = text.replace(/\.$/, "").split(".");
  if (text.length > 253 || !labels.every((part) => label.test(part))) {
    return `${rule} (letters, digits, "-" and ".", at most 253)`;
  }
  return undefined;
}

/** What is wrong with a client id, as the end of a sentence, or undefined. */
export function clientIdProblem(text: string): string | undefined {
  if (text === "" || utf8Bytes(text) > MAX_CLIENT_ID_BYTES) {
    return `must be from 1 to ${MAX_CLIENT_ID_BYTES} bytes of UTF-8, and is ${utf8Bytes(text)}`;
  }
  if (text.startsWith("$")) return "must not start with $";
  if (/[#+\0]/.test(text)) return "must not hold #, + or NUL";
  return textProblem(text);
}

function messageProblem(text: string): string | undefined {
  const bytes = utf8Bytes(text);
  return bytes > MAX_PAYLOAD_BYTES
    ? `must be at most ${MAX_PAYLOAD_BYTES} bytes of UTF-8, and is ${bytes}`
    : undefined;
}

function pathProblem(text: string): string | undefined {
  if (text === "") return "must be a path, not empty";
  if (text.includes("-----BEGIN ")) return "must be the path of a file, not what is in it";
  return text.includes("\0") ? "must not hold NUL" : undefined;
}

/** As {@linkcode pathProblem}; in a form that a passphrase given by mistake has not. */
function passphrasePathProblem(text: string): string | undefined {
  return pathProblem(text) ??
    (/^\.{0,2}\//.test(text)
      ? undefined
      : "must be the path of a file that holds the passphrase, beginning with /, ./ or ../");
}

function listenProblem(text: string): string | undefined {
  if (text === "systemd") return undefined;
  if (!text.startsWith("/")) return "must be an absolute path, or systemd";
  const bytes = utf8Bytes(text);
  return bytes > MAX_SOCKET_PATH_BYTES
    ? `must be at most ${MAX_SOCKET_PATH_BYTES} bytes, as Linux has it, and is ${bytes}`
    : pathProblem(text);
}

function alpnProblem(text: string): string | undefined {
  // RFC 7301: 1 to 255 bytes; printable ASCII is what any broker uses.
  return /^[\x21-\x7e]{1,255}$/.test(text) ? undefined : "must be a protocol name";
}

/** A list with commas; a JSON array in the file arrives here joined. */
function list(text: string): readonly string[] {
  return text.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "");
}

const path = checked(pathProblem);

/** The table, in the order that people read it. */
export const SETTINGS: readonly SettingSpec[] = [
  setting("endpoint", "HOST", "required", "host name or IP, no scheme", {
    sentence: "where to publish: the AWS IoT data endpoint, or any MQTT broker behind TLS",
    example: "abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com",
    parse: checked(endpointProblem),
  }),
  setting("port", "PORT", "443", "1-65535", {
    sentence: "TCP port of the endpoint",
    parse: integer(1, 65535),
  }),
  setting("alpn", "NAME", "x-amzn-mqtt-ca; none on port 8883", "protocol name, or none", {
    sentence: "protocol asked for in the TLS handshake",
    example: "x-amzn-mqtt-ca",
    parse: orNone(checked(alpnProblem)),
  }),
  setting("mqttVersion", "VERSION", "5", "5 or 3.1.1", {
    sentence: "MQTT version spoken",
    parse: choice(["5", "3.1.1"]),
  }),
  setting("clientId", "ID", "the host name", "1-128 bytes; not $ first; no # + NUL", {
    sentence: "MQTT client id, unique to this device",
    example: "gw-7",
    parse: checked(clientIdProblem),
  }),
  setting("certs", "DIR", "./certs, else /etc/mqtt443/certs", "directory", {
    sentence: "searched for the CA, certificate and key",
    example: "/etc/mqtt443/certs",
    parse: path,
  }),
  setting("ca", "FILE", "found in certs; else public roots", "PEM, one or more", {
    sentence: "only these CA certificates may vouch for the endpoint",
    example: "/etc/mqtt443/certs/AmazonRootCA1.pem",
    parse: path,
  }),
  setting("cert", "FILE", "found in certs", "PEM, leaf first, chain allowed", {
    sentence: "device certificate",
    example: "/etc/mqtt443/certs/device.pem.crt",
    parse: path,
  }),
  setting("key", "FILE", "found in certs", "PKCS#8, PKCS#1 or SEC1 PEM", {
    sentence: "private key of the certificate; may be encrypted",
    example: "/etc/mqtt443/certs/private.pem.key",
    parse: path,
  }),
  setting("keyPassphraseFile", "FILE", "none", "/FILE or ./FILE, or none", {
    sentence: "its first line is the passphrase of the key",
    example: "none",
    parse: orNone(checked(passphrasePathProblem)),
    isPrivate: true,
  }),
  setting(
    "topic",
    "TOPIC",
    "dt/mqtt443/{clientId}/telemetry",
    "no wildcards; 256 bytes, 7 slashes",
    {
      sentence: "where messages go; {clientId} is replaced",
      parse: checked(topicProblem),
    },
  ),
  setting("qos", "QOS", "1", "0 or 1", {
    sentence: "1: kept until acknowledged; 0: sent once",
    parse: integer(0, 1),
  }),
  setting("interval", "DURATION", "10s", "100ms-24h", {
    sentence: "time from message to message; a missed tick is skipped",
    parse: duration("100ms", "24h"),
  }),
  setting("count", "N", "none", "1-1000000000, or none", {
    sentence: "stop after so many messages",
    parse: orNone(integer(1, 1_000_000_000)),
  }),
  setting("source", "LIST", "system", "system, clock, file:NAME=PATH[*SCALE], stdin, none", {
    sentence: "what is measured, separated by commas",
    parse: list,
  }),
  setting("listen", "PATH", "none", "absolute path of a Unix socket, systemd, or none", {
    sentence: "where other processes hand in messages",
    example: "/run/mqtt443/in.sock",
    parse: orNone(checked(listenProblem)),
  }),
  setting("listenMode", "MODE", "0660", "0600 or 0660; not with systemd", {
    sentence: "who may connect there: the owner, or the group too",
    parse: choice(["0600", "0660"]),
  }),
  setting("topicPrefix", "TOPIC", "none", "a topic, or none", {
    sentence: "messages handed in may name a topic below it; {clientId} is replaced",
    example: "dt/mqtt443/{clientId}",
    parse: orNone(checked(topicProblem)),
  }),
  setting("format", "FORMAT", "json", "json, text or shadow", {
    sentence: "how readings become a payload",
    parse: choice(["json", "text", "shadow"]),
  }),
  setting("message", "TEXT", "none", "text of at most 128 KiB", {
    sentence: "publish this text once and exit",
    example: "none",
    parse: checked(messageProblem),
    isPrivate: true,
  }),
  setting("giveUpAfter", "DURATION", "30s", "1s-24h", {
    sentence: "how long a run that ends by itself tries to deliver",
    parse: duration("1s", "24h"),
  }),
  setting("keepAlive", "DURATION", "60s", "30s-1200s", {
    sentence: "a dead link is known within 1.5 times this",
    parse: duration("30s", "1200s"),
  }),
  setting("tlsMin", "VERSION", "1.2", "1.2 or 1.3", {
    sentence: "1.3 hides the device certificate from who answers with a wrong name",
    parse: choice(["1.2", "1.3"]),
  }),
  setting("connectTimeout", "DURATION", "15s", "1s-2m", {
    sentence: "for DNS, TCP, TLS and CONNACK together",
    parse: duration("1s", "2m"),
  }),
  setting("ackTimeout", "DURATION", "20s", "1s-5m", {
    sentence: "no PUBACK or PINGRESP in that time: reconnect and send again",
    parse: duration("1s", "5m"),
  }),
  setting("backoffMax", "DURATION", "2m", "1s-1h", {
    sentence: "longest wait between two attempts to connect",
    parse: duration("1s", "1h"),
  }),
  setting("state", "DIR", "./state", "directory", {
    sentence: "where the queue is kept",
    example: "/var/lib/mqtt443",
    parse: path,
  }),
  setting("queueMaxMessages", "N", "100000", "1-100000000", {
    sentence: "most messages kept",
    parse: integer(1, 100_000_000),
  }),
  setting("queueMaxBytes", "SIZE", "64MiB", "128KiB-64GiB", {
    sentence: "most bytes of messages kept",
    parse: size("128KiB", "64GiB"),
  }),
  setting("queueMaxAge", "DURATION", "none", "1s-8760h, or none", {
    sentence: "older messages are dropped",
    parse: orNone(duration("1s", "8760h")),
  }),
  setting("queueFull", "POLICY", "drop-oldest", "drop-oldest or drop-newest", {
    sentence: "what is dropped when a limit is reached",
    parse: choice(["drop-oldest", "drop-newest"]),
  }),
  setting("durability", "LEVEL", "power", "power, crash or none", {
    sentence: "what queued messages survive: a power cut, a crash, nothing",
    parse: choice(["power", "crash", "none"]),
  }),
  setting("drainRate", "N", "none", "1-100000, or none", {
    sentence: "messages per second while a backlog is sent",
    parse: orNone(integer(1, 100_000)),
  }),
  setting("maxRate", "N", "100 on *.amazonaws.com, else none", "1-100000, or none", {
    sentence: "messages per second at most; AWS discards above 100",
    example: "100",
    parse: orNone(integer(1, 100_000)),
  }),
  setting("inflight", "N", "20", "1-1000; 100 on *.amazonaws.com", {
    sentence: "unacknowledged QoS 1 messages at most",
    parse: integer(1, 1000),
  }),
  setting("logFormat", "FORMAT", "text", "text or json", {
    sentence: "form of a log line",
    parse: choice(["text", "json"]),
  }),
  setting("logLevel", "LEVEL", "info", "debug, info, warn or error", {
    sentence: "least severe lines to log",
    parse: choice(["debug", "info", "warn", "error"]),
  }),
];

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

function setting(
  key: string,
  placeholder: string,
  fallback: string,
  allowed: string,
  rest: Pick<SettingSpec, "sentence" | "parse" | "isPrivate"> & { example?: string },
): SettingSpec {
  const format = placeholder === "DURATION"
    ? formatDuration
    : placeholder === "SIZE"
    ? formatSize
    : undefined;
  return {
    key,
    placeholder,
    default: fallback,
    allowed,
    example: fallback,
    ...rest,
    ...(format && { format }),
  };
}
