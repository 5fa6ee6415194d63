/**
 * MQTT's reason codes in words. Pure.
 *
 * From MQTT 5 section 2.4 and MQTT 3.1.1 section 3.2.2.3; which ones AWS IoT Core sends, and what it means by them, is
 * in its developer guide, page "mqtt".
 */

import { EXIT, UserError } from "../core/errors.ts";
import { place, type Target } from "../core/endpoint.ts";
import { quote, shellWord } from "../core/text.ts";

/** What a code calls for. */
interface Reason {
  readonly name: string;
  /** Whether it may go away by itself. */
  readonly transient?: boolean;
  readonly hint?: string;
  /** The same, where the code answers a PUBLISH. */
  readonly publishHint?: string;
}

/** What to do about a client id that the server does not take. */
const CLIENT_ID =
  "ask who runs the broker which client id this device must have (topic and policy may hold it too), " +
  "and pass it with --client-id";
/** AWS says so of a certificate; another server means what it says. */
const PASSWORD =
  "AWS: see that the certificate is registered and active; a broker that wants a user name and " +
  "password: check --username NAME and --password-file FILE";
/** What passes by itself, or does not. */
const WAIT = "it is tried again; if it stays so for some minutes, ask who runs the broker";

const V5: Readonly<Record<number, Reason>> = {
  // A broker that knows MQTT 3.1.1 alone answers MQTT 5 with its own code.
  0x01: {
    name: "unacceptable protocol version",
    hint: "it was asked for MQTT 5: try --mqtt-version 3.1.1",
  },
  0x80: { name: "unspecified error", transient: true },
  0x81: { name: "malformed packet" },
  0x82: { name: "protocol error" },
  0x83: { name: "implementation specific error", transient: true },
  0x84: {
    name: "unsupported protocol version",
    hint: "it was asked for MQTT 5: try --mqtt-version 3.1.1",
  },
  0x85: { name: "client identifier not valid", hint: CLIENT_ID },
  0x86: { name: "bad user name or password", hint: PASSWORD },
  0x87: { name: "not authorized" },
  0x88: { name: "server unavailable", transient: true },
  0x89: { name: "server busy", transient: true },
  0x8a: { name: "banned", hint: "ask who runs the broker" },
  0x8b: { name: "server shutting down", transient: true },
  0x8c: { name: "bad authentication method" },
  0x8d: {
    name: "keep alive timeout",
    transient: true,
    hint: "the link lost packets; if this comes again, ask who runs the network",
  },
  0x8e: {
    name: "session taken over",
    hint: "another device, or a second program on this one, uses the same client id: give each " +
      "its own --client-id",
  },
  0x90: { name: "topic name invalid", publishHint: "pass another --topic" },
  0x91: { name: "packet identifier in use", transient: true },
  0x93: { name: "receive maximum exceeded", transient: true, publishHint: "lower --inflight" },
  0x94: { name: "topic alias invalid" },
  0x95: { name: "packet too large" },
  0x96: { name: "message rate too high", transient: true, publishHint: "lower --max-rate" },
  0x97: {
    name: "quota exceeded",
    transient: true,
    publishHint: "lower --max-rate, or raise --interval",
  },
  0x98: { name: "administrative action", transient: true },
  0x99: { name: "payload format invalid" },
  0x9a: { name: "retain not supported" },
  0x9b: { name: "QoS not supported", hint: "pass --qos 0; then messages can be lost" },
  0x9c: { name: "use another server", hint: "pass another --endpoint" },
  0x9d: { name: "server moved", hint: "pass another --endpoint" },
  0x9f: { name: "connection rate exceeded", transient: true },
};

const V3: Readonly<Record<number, Reason>> = {
  1: {
    name: "unacceptable protocol version",
    hint: "it was asked for MQTT 3.1.1: try --mqtt-version 5",
  },
  2: { name: "identifier rejected", hint: CLIENT_ID },
  3: { name: "server unavailable", transient: true },
  4: { name: "bad user name or password", hint: PASSWORD },
  5: { name: "not authorized" },
};

/** A code with its name: `0x87 not authorized`. Never without one. */
export function reasonName(code: number, version: "5" | "3.1.1" = "5"): string {
  const name = (version === "5" ? V5 : V3)[code]?.name ?? "unknown reason";
  return version === "5" ? `0x${code.toString(16).padStart(2, "0")} ${name}` : `${code} ${name}`;
}

/** The failure that a CONNACK other than success means. */
export function explainConnack(code: number, version: "5" | "3.1.1", target: Target): UserError {
  const reason = (version === "5" ? V5 : V3)[code];
  const policy = `AWS: the policy must allow iot:Connect for client/${target.clientId} ` +
    `(\`mqtt443 doctor --policy --client-id ${shellWord(target.clientId)}\` prints it)`;
  const unlisted = `ask who runs the broker what that means; ${policy}`;
  const hint = reason === undefined ? unlisted : reason.hint ?? (reason.transient ? WAIT : policy);
  return new UserError(
    `${place(target)} refused the session: CONNACK ${reasonName(code, version)}`,
    {
      code: "connack-refused",
      reason: code,
      hint,
      step: "mqtt",
      exitCode: reason?.transient ? EXIT.unavailable : EXIT.refused,
    },
  );
}

/** The failure that the server's DISCONNECT means. */
export function explainDisconnect(code: number, target: Target): UserError {
  const reason = V5[code] ?? { name: "unknown reason", transient: true };
  const policy = "AWS: the policy lacks iot:Publish on this topic, or iot:Subscribe " +
    "(`mqtt443 doctor --policy` prints what is needed)";
  const said = code === 0 ? "0x00 normal disconnection" : reasonName(code);
  return new UserError(`${place(target)} ended the session: DISCONNECT ${said}`, {
    code: "disconnected",
    reason: code,
    hint: reason.hint ?? (code === 0x87 ? policy : WAIT),
    step: "mqtt",
    exitCode: reason.transient ? EXIT.unavailable : EXIT.refused,
  });
}

/** Why a message was not taken. */
export class PublishRefusedError extends UserError {
  override readonly name = "PublishRefusedError";
  /** Whether the same message may be taken later. */
  readonly transient: boolean;

  constructor(code: number, topic: string) {
    const reason = V5[code];
    const policy = `the policy must allow iot:Publish on topic/${topic}`;
    super(`The endpoint refused a message to ${quote(topic)}: PUBACK ${reasonName(code)}`, {
      code: "puback-refused",
      reason: code,
      hint: reason?.publishHint ?? reason?.hint ??
        (code === 0x87 ? policy : "see what the broker's log says of it"),
      step: "publish",
      exitCode: reason?.transient ? EXIT.unavailable : EXIT.refused,
    });
    this.transient = reason?.transient ?? false;
  }
}
