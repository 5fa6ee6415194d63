/**
 * MQTT's reason codes: one table of every code of MQTT 5 and 3.1.1 with its name, what to do about it, and whether it
 * may pass by itself. Pure.
 *
 * From MQTT 5 section 2.4 and MQTT 3.1.1 section 3.2.2.3; which ones AWS IoT Core sends, and what it means by them, is
 * in its developer guide, page "mqtt".
 */

import type { Code } from "../core/codes.ts";
import { EXIT, reasonText, UserError } from "../core/errors.ts";
import { place, type Target } from "../core/endpoint.ts";
import { quote, shellWord } from "../core/text.ts";

/** The packets that carry a reason. */
export type Carrier = "CONNACK" | "PUBACK" | "SUBACK" | "DISCONNECT";

/** What a code calls for. */
interface Reason {
  readonly name: string;
  /** Whether it may go away by itself: it is tried again with the usual back-off, else at its slow end. */
  readonly isPassing?: boolean;
  /** What to do; where it depends on the packet, by packet. */
  readonly hint: string | (Partial<Record<Carrier, string>> & { readonly other: string });
}

/** What a server says besides the code, in words. */
export interface Said {
  readonly reasonString?: string | undefined;
  readonly serverReference?: string | undefined;
}

/** Longest text of a server that is shown, in characters. */
const MOST_SAID = 160;

const WAIT = "it is tried again; if it stays so for some minutes, ask who runs the broker";
const LOG = "see what the broker's log says of it";
const VERSION = "try the other version: --mqtt-version {otherVersion}";
const BUG = "the broker finds fault with what was sent, or something on the way changes it: try " +
  "--mqtt-version {otherVersion}, and please report it with the broker's name and version";
const CLIENT_ID =
  "ask who runs the broker which client id this device must have (topic and policy may hold it too), " +
  "and pass it with --client-id";
const PASSWORD =
  "AWS: see that the certificate is registered and active; another broker wants a user name and " +
  "password: --username and --password-file";
const METHOD =
  "the broker wants an authentication that is not spoken here (MQTT 5 AUTH); ask who " +
  "runs it for certificates, or a user name and password";
const RATE = "lower --max-rate, or raise --interval";
const POLICY = {
  CONNACK:
    "AWS: the policy must allow iot:Connect for client/{clientId} (`mqtt443 doctor --policy " +
    "--client-id {clientIdWord}` prints it); another broker: its access rules",
  PUBACK:
    "AWS: the policy must allow iot:Publish on topic/{topic}; another broker: its access rules",
  SUBACK:
    "AWS: the policy must allow iot:Subscribe on topicfilter/{topic} and iot:Receive on its topics; " +
    "another broker: its access rules",
  DISCONNECT:
    "AWS: the policy lacks iot:Publish on this topic, or iot:Subscribe (`mqtt443 doctor " +
    "--policy` prints what is needed); another broker: its access rules",
};
const NOT_ASKED = "this was not asked for here: something on the way changes what is sent; " + LOG;
const MOVED = "ask who runs the broker for its new name, and pass it with --endpoint";

/** Every reason code of MQTT 5 that tells of a failure. */
const V5: Readonly<Record<number, Reason>> = {
  // A broker that knows MQTT 3.1.1 alone answers MQTT 5 with its own code.
  0x01: { name: "unacceptable protocol version", hint: VERSION },
  0x04: { name: "disconnect with will message", isPassing: true, hint: WAIT },
  0x80: { name: "unspecified error", isPassing: true, hint: { PUBACK: LOG, other: WAIT } },
  0x81: { name: "malformed packet", hint: BUG },
  0x82: { name: "protocol error", hint: BUG },
  0x83: {
    name: "implementation specific error",
    isPassing: true,
    hint: { PUBACK: LOG, other: WAIT },
  },
  0x84: { name: "unsupported protocol version", hint: VERSION },
  0x85: { name: "client identifier not valid", hint: CLIENT_ID },
  0x86: { name: "bad user name or password", hint: PASSWORD },
  0x87: { name: "not authorized", hint: { ...POLICY, other: LOG } },
  0x88: { name: "server unavailable", isPassing: true, hint: WAIT },
  0x89: { name: "server busy", isPassing: true, hint: WAIT },
  0x8a: { name: "banned", hint: "ask who runs the broker why this client id or address is banned" },
  0x8b: { name: "server shutting down", isPassing: true, hint: WAIT },
  0x8c: { name: "bad authentication method", hint: METHOD },
  0x8d: {
    name: "keep alive timeout",
    isPassing: true,
    hint: "the link lost packets; if this comes again, ask who runs the network",
  },
  0x8e: {
    name: "session taken over",
    hint: "another device, or a second program on this one, uses the same client id: give each " +
      "its own --client-id",
  },
  0x8f: { name: "topic filter invalid", hint: "watch another topic filter" },
  0x90: {
    name: "topic name invalid",
    hint: { PUBACK: "pass another --topic", DISCONNECT: "pass another --topic", other: LOG },
  },
  0x91: { name: "packet identifier in use", isPassing: true, hint: WAIT },
  0x92: { name: "packet identifier not found", isPassing: true, hint: WAIT },
  0x93: {
    name: "receive maximum exceeded",
    isPassing: true,
    hint: { PUBACK: "lower --inflight", DISCONNECT: "lower --inflight", other: WAIT },
  },
  0x94: { name: "topic alias invalid", hint: NOT_ASKED },
  0x95: {
    name: "packet too large",
    hint:
      "send smaller messages: fewer sources; or raise the broker's limit (mosquitto: message_size_limit)",
  },
  0x96: {
    name: "message rate too high",
    isPassing: true,
    hint: { PUBACK: "lower --max-rate", DISCONNECT: "lower --max-rate", other: WAIT },
  },
  0x97: {
    name: "quota exceeded",
    isPassing: true,
    hint: { PUBACK: RATE, DISCONNECT: RATE, other: WAIT },
  },
  0x98: { name: "administrative action", isPassing: true, hint: WAIT },
  0x99: {
    name: "payload format invalid",
    hint: "send what the broker takes there: another --format, or another --topic",
  },
  0x9a: { name: "retain not supported", hint: NOT_ASKED },
  0x9b: { name: "QoS not supported", hint: "pass --qos 0; then messages can be lost" },
  0x9c: { name: "use another server", hint: MOVED },
  0x9d: { name: "server moved", hint: MOVED },
  0x9e: { name: "shared subscriptions not supported", hint: "watch a filter without $share/" },
  0x9f: { name: "connection rate exceeded", isPassing: true, hint: WAIT },
  0xa0: {
    name: "maximum connect time",
    isPassing: true,
    hint: "the broker ends each session after a time: it is opened again, and nothing is lost",
  },
  0xa1: { name: "subscription identifiers not supported", hint: NOT_ASKED },
  0xa2: { name: "wildcard subscriptions not supported", hint: "watch a topic without + and #" },
};

/** Every return code of MQTT 3.1.1; a refused SUBACK is 0x80 there, as in MQTT 5. */
const V3: Readonly<Record<number, Reason>> = {
  1: { name: "unacceptable protocol version", hint: VERSION },
  2: { name: "identifier rejected", hint: CLIENT_ID },
  3: { name: "server unavailable", isPassing: true, hint: WAIT },
  4: { name: "bad user name or password", hint: PASSWORD },
  5: { name: "not authorized", hint: { ...POLICY, other: LOG } },
};

/** What is refused by a code that is in neither version. */
const UNKNOWN: Reason = {
  name: "unknown reason",
  hint: {
    CONNACK: `ask who runs the broker what that means; ${POLICY.CONNACK}`,
    DISCONNECT: WAIT,
    other: LOG,
  },
};

/** Codes with a name, for those who walk them. */
export const KNOWN_REASONS: Readonly<Record<"5" | "3.1.1", readonly number[]>> = {
  "5": Object.keys(V5).map(Number),
  "3.1.1": Object.keys(V3).map(Number),
};

/** A code with its name: `0x87 not authorized`. Never without one. */
export function reasonName(code: number, version: "5" | "3.1.1" = "5"): string {
  const name = reasonOf(code, version).name;
  return version === "5" ? `${reasonText(code)} ${name}` : `${code} ${name}`;
}

function reasonOf(code: number, version: "5" | "3.1.1"): Reason {
  return (version === "5" ? V5 : V3)[code] ?? UNKNOWN;
}

/** What the hints of the table may name. */
interface Names {
  readonly clientId?: string;
  readonly topic?: string;
  readonly version?: "5" | "3.1.1";
}

function hintOf({ hint }: Reason, carrier: Carrier, names: Names): string {
  const text = typeof hint === "string" ? hint : hint[carrier] ?? hint.other;
  const { clientId = "CLIENT_ID", topic = "TOPIC", version = "5" } = names;
  const values: Record<string, string> = {
    clientId,
    clientIdWord: shellWord(clientId),
    topic,
    otherVersion: version === "5" ? "3.1.1" : "5",
  };
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A server's words as they are kept with an error: one text, cut. */
export function wordsOf(said: Said | undefined): { readonly said?: string } {
  const { reasonString, serverReference } = said ?? {};
  const words = [
    ...(reasonString ? [reasonString] : []),
    ...(serverReference ? [`server reference: ${serverReference}`] : []),
  ].join("; ");
  return words === ""
    ? {}
    : { said: words.length > MOST_SAID ? `${words.slice(0, MOST_SAID)}…` : words };
}

function refusal(
  message: string,
  code: Code,
  reason: Reason,
  options: {
    readonly number: number;
    readonly step: "mqtt" | "publish";
    readonly hint: string;
    readonly said?: Said | undefined;
    readonly cause?: unknown;
  },
): UserError {
  const { number, step, hint, said, cause } = options;
  return new UserError(message, {
    ...{ code, reason: number, step, hint, cause, ...wordsOf(said) },
    exitCode: reason.isPassing ? EXIT.unavailable : EXIT.refused,
  });
}

/** The failure that a CONNACK other than success means. */
export function explainConnack(
  number: number,
  version: "5" | "3.1.1",
  target: Target,
  said?: Said,
): UserError {
  const reason = reasonOf(number, version);
  const { clientId } = target;
  const hint = hintOf(reason, "CONNACK", { clientId, version });
  return refusal(
    `${place(target)} refused the session: CONNACK ${reasonName(number, version)}`,
    "connack-refused",
    reason,
    { number, step: "mqtt", hint, said },
  );
}

/** The failure that the server's DISCONNECT means. */
export function explainDisconnect(number: number, target: Target, said?: Said): UserError {
  const isNamed = number in V5;
  // A DISCONNECT without a failure, or with one that nobody defined, is no refusal of this device.
  const reason = isNamed ? V5[number]! : { ...UNKNOWN, isPassing: true };
  const name = number === 0 ? "0x00 normal disconnection" : reasonName(number);
  const { clientId } = target;
  return refusal(`${place(target)} ended the session: DISCONNECT ${name}`, "disconnected", reason, {
    number,
    step: "mqtt",
    hint: hintOf(reason, "DISCONNECT", { clientId }),
    said,
  });
}

/** The failure that a SUBACK with a refusal means. */
export function explainSuback(
  number: number,
  { filter, target, said, cause }: {
    readonly filter: string;
    readonly target: Target;
    readonly said?: Said | undefined;
    readonly cause?: unknown;
  },
): UserError {
  // 3.1.1 has one code for every reason, which most often is the policy.
  const reason = number === 0x80 ? { ...V5[0x87]!, name: V5[0x80]!.name } : reasonOf(number, "5");
  return refusal(
    `${place(target)} refused the subscription to "${filter}": SUBACK ${
      reasonText(number)
    } ${reason.name}`,
    "suback-refused",
    { ...reason, isPassing: false },
    { number, step: "mqtt", hint: hintOf(reason, "SUBACK", { topic: filter }), said, cause },
  );
}

/** Why a message was not taken. */
export class PublishRefusedError extends UserError {
  override readonly name = "PublishRefusedError";
  /** Whether the same message may be taken later. */
  readonly transient: boolean;

  constructor(number: number, topic: string, said?: Said) {
    const reason = reasonOf(number, "5");
    super(`The endpoint refused a message to ${quote(topic)}: PUBACK ${reasonName(number)}`, {
      code: "puback-refused",
      reason: number,
      hint: hintOf(reason, "PUBACK", { topic }),
      step: "publish",
      exitCode: reason.isPassing ? EXIT.unavailable : EXIT.refused,
      ...wordsOf(said),
    });
    this.transient = reason.isPassing ?? false;
  }
}

/** Why a message was not sent: the server said in CONNACK that it takes no packet as large. */
export class PacketTooLargeError extends UserError {
  override readonly name = "PacketTooLargeError";
  readonly transient = false;

  constructor(packetBytes: number, mostBytes: number, topic: string) {
    super(
      `Cannot send a message to ${quote(topic)}: its packet has ${packetBytes} bytes, and the ` +
        `server takes at most ${mostBytes} (Maximum Packet Size in its CONNACK)`,
      {
        code: "packet-too-large",
        hint:
          "send smaller messages (fewer sources), or raise the broker's limit (mosquitto: max_packet_size)",
        step: "publish",
        exitCode: EXIT.refused,
      },
    );
  }
}
