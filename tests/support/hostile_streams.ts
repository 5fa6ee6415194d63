/**
 * What a hostile server may say: valid packets of every type, and what becomes of them when bits flip, lengths lie, and
 * packets are cut, repeated, shuffled and mixed with noise. Pure: the same seed gives the same bytes.
 */

import { Buffer } from "node:buffer";
import mqtt, { type Packet } from "mqtt-packet";
import { seeded } from "../../tools/shared/seeded.ts";

/** One hostile server. */
export interface HostileScript {
  readonly mqttVersion: "5" | "3.1.1";
  /** A good CONNACK goes first, and PUBLISH packets are awaited. */
  readonly inSession: boolean;
  /** Said in session, nothing of it may end the session. */
  readonly isHarmless: boolean;
  /** What is said, piece by piece as it arrives; the client's first packet id is given. */
  readonly pieces: (firstId: number) => readonly Uint8Array[];
  /** What comes after it. */
  readonly after: "fin" | "rst" | "silence";
}

const CONNACK = { cmd: "connack", sessionPresent: false, returnCode: 0, reasonCode: 0 } as const;

/** The script of this number. */
export function hostileScript(seed: number, index: number): HostileScript {
  const random = seeded(seed * 1_000_003 + index);
  const version = random() < 0.7 ? "5" : "3.1.1";
  const isHarmless = random() < 0.2;
  const inSession = isHarmless || random() < 0.6;
  const bytesOf = isHarmless ? harmlessBytes : hostileBytes;
  return {
    mqttVersion: version,
    inSession,
    isHarmless,
    pieces: (firstId) => cutUp(bytesOf(version, firstId, random), random),
    after: isHarmless ? "silence" : pick(["fin", "rst", "silence"], random),
  };
}

/**
 * Plays a script to one client: hand what is returned whatever the client says.
 *
 * @param messages QoS 1 messages that the client publishes in session.
 * @param say Sends bytes, or ends the connection.
 */
export function playTo(
  { mqttVersion, inSession, isHarmless, pieces, after }: HostileScript,
  messages: number,
  say: (what: Uint8Array | "fin" | "rst") => void,
): (bytes: Uint8Array) => void {
  const parser = mqtt.parser();
  const ids: number[] = [];
  const play = () => {
    pieces(ids[0] ?? 1).forEach(say);
    if (isHarmless) {
      ids.forEach((messageId) =>
        say(generate({ cmd: "puback", messageId, reasonCode: 0 }, mqttVersion))
      );
    }
    if (after !== "silence") say(after);
  };
  parser.on("packet", (packet) => {
    if (packet.cmd === "connect") {
      if (inSession) {
        say(generate(CONNACK, mqttVersion));
      } else play();
    } else if (packet.cmd === "publish" && packet.qos === 1 && ids.length < messages) {
      ids.push(packet.messageId!);
      if (ids.length === messages) play();
    }
  });
  return (bytes) => void parser.parse(Buffer.from(bytes));
}

type Random = () => number;

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random() * list.length)]!;
}

function below(n: number, random: Random): number {
  return Math.floor(random() * n);
}

function noise(length: number, random: Random): Buffer {
  return Buffer.from(Array.from({ length }, () => below(256, random)));
}

function generate(packet: Packet, version: HostileScript["mqttVersion"]): Buffer {
  return mqtt.generate(packet, { protocolVersion: version === "5" ? 5 : 4 });
}

/** A few packets, most of them spoilt. */
function hostileBytes(
  version: HostileScript["mqttVersion"],
  firstId: number,
  random: Random,
): Buffer {
  if (random() < 0.1) return noise(1 + below(3000, random), random);
  const packets = Array.from({ length: 1 + below(6, random) }, () => {
    const valid = generate(validPacket(version, firstId, random), version);
    return random() < 0.3 ? valid : spoil(valid, random);
  });
  if (random() < 0.2) packets.push(...packets);
  if (random() < 0.2) packets.reverse();
  return Buffer.concat(packets);
}

/** Messages of the subscription, in numbers and sizes that nobody expects. */
function harmlessBytes(
  version: HostileScript["mqttVersion"],
  _firstId: number,
  random: Random,
): Buffer {
  const payload = noise(below(2000, random), random);
  const publish = { cmd: "publish", topic: "a/b", payload, dup: false, retain: true } as const;
  const packets: readonly Packet[] = [
    { ...publish, qos: 0 },
    { ...publish, qos: 1, messageId: 1 + below(65_535, random) },
  ];
  const said = Array.from({ length: 1 + below(20, random) }, () => pick(packets, random));
  return Buffer.concat(said.map((packet) => generate(packet, version)));
}

/** Any packet, of either direction. */
function validPacket(
  version: HostileScript["mqttVersion"],
  firstId: number,
  random: Random,
): Packet {
  const isV5 = version === "5";
  // Most often of what was published: its ids follow each other.
  const id = random() < 0.7 ? firstId - 1 + below(5, random) : below(65_535, random);
  const messageId = id % 65_535 + 1;
  const code = random() < 0.5 ? 0 : pick(CODES, random);
  const granted = [below(3, random), 128].slice(0, 1 + below(2, random));
  const properties = isV5 && random() < 0.5 ? { properties: propertiesOf(random) } : {};
  const reason = isV5 ? { reasonCode: code, ...properties } : {};
  const topic = pick(["a/b", "", "$aws/x", "#", "ü".repeat(40), "\u0000\ufffd"], random);
  const payload = noise(pick([0, 1, 30, 4000], random), random);
  const [dup, retain] = [random() < 0.2, random() < 0.2];
  const unsubscribed = pick(["a", "#", ""], random);
  const packets: readonly Packet[] = [
    { cmd: "connack", sessionPresent: random() < 0.3, returnCode: code, ...reason },
    { cmd: "connack", sessionPresent: false, returnCode: 0, reasonCode: 0, ...properties },
    { cmd: "puback", messageId, ...reason },
    { cmd: "pubrec", messageId, ...reason },
    { cmd: "pubrel", messageId, ...reason },
    { cmd: "pubcomp", messageId, ...reason },
    { cmd: "publish", topic: topic || "t", payload, qos: 0, dup: false, retain, ...properties },
    { cmd: "publish", topic: topic || "t", payload, qos: 1, dup, retain, messageId, ...properties },
    { cmd: "publish", topic: topic || "t", payload, qos: 2, dup, retain, messageId, ...properties },
    {
      cmd: "publish",
      topic: isV5 ? "" : "t",
      payload,
      qos: 1,
      dup,
      retain,
      messageId,
      ...(isV5 && { properties: { topicAlias: 1 + below(65_535, random) } }),
    },
    { cmd: "suback", messageId, granted, ...reason },
    { cmd: "unsuback", messageId, granted, ...reason },
    { cmd: "subscribe", messageId, subscriptions: [{ topic: topic || "t", qos: 1 }] },
    { cmd: "unsubscribe", messageId, unsubscriptions: [unsubscribed] },
    { cmd: "pingresp" },
    { cmd: "pingreq" },
    { cmd: "connect", clientId: "x", keepalive: 1, clean: true, protocolId: "MQTT" },
    { cmd: "disconnect", ...reason },
    { cmd: "auth", reasonCode: pick([0, 0x18, 0x19], random), ...properties },
  ];
  // MQTT 3.1.1 knows no AUTH.
  return packets[below(isV5 ? packets.length : packets.length - 1, random)]!;
}

/** Reason codes and return codes, known and not. */
const CODES = [1, 2, 3, 4, 5, 7, 0x80, 0x81, 0x87, 0x8b, 0x8d, 0x8e, 0x90, 0x91, 0x97, 0x98, 0xff];

/** MQTT 5 properties, more of them than a server should send and out of their range. */
function propertiesOf(random: Random): Record<string, unknown> {
  const text = pick(["", "why", "\u001b[2J", "x".repeat(2000)], random);
  const all: Record<string, unknown> = {
    receiveMaximum: pick([1, 2, 65_535], random),
    maximumPacketSize: pick([1, 20, 1_000_000, 4_294_967_295], random),
    topicAliasMaximum: pick([0, 1, 65_535], random),
    topicAlias: pick([1, 2, 65_535], random),
    serverKeepAlive: pick([0, 1, 30, 65_535], random),
    maximumQoS: pick([0, 1], random),
    retainAvailable: random() < 0.5,
    assignedClientIdentifier: text,
    reasonString: text,
    responseInformation: text,
    serverReference: text,
    contentType: text,
    authenticationMethod: text,
    authenticationData: noise(20, random),
    sessionExpiryInterval: below(2 ** 32, random),
    messageExpiryInterval: below(2 ** 32, random),
    wildcardSubscriptionAvailable: random() < 0.5,
    sharedSubscriptionAvailable: random() < 0.5,
    subscriptionIdentifiersAvailable: random() < 0.5,
    payloadFormatIndicator: random() < 0.5,
    userProperties: { __proto__x: text, constructor: [text, "again"] },
  };
  return Object.fromEntries(Object.entries(all).filter(() => random() < 0.25));
}

/** A packet that is no longer what it was. */
function spoil(packet: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(packet);
  const body = bytes.subarray(lengthOfHead(bytes));
  switch (below(7, random)) {
    case 0: {
      for (let n = 1 + below(8, random); n > 0; n--) {
        const at = below(bytes.length, random);
        bytes[at] = bytes[at]! ^ (1 << below(8, random));
      }
      return bytes;
    }
    case 1: {
      bytes[below(bytes.length, random)] = below(256, random);
      return bytes;
    }
    case 2:
      return Buffer.concat([bytes.subarray(0, 1), lie(body.length, random), body]);
    case 3:
      return bytes.subarray(0, 1 + below(bytes.length, random));
    case 4: {
      const at = below(bytes.length, random);
      const more = noise(1 + below(20, random), random);
      return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
    }
    case 5: {
      // The head is right, the rest is anything.
      const rest = noise(body.length, random);
      return Buffer.concat([bytes.subarray(0, bytes.length - body.length), rest]);
    }
    default:
      // Another type, with all its flags.
      bytes[0] = below(256, random);
      return bytes;
  }
}

/** A remaining length that is not the real one. */
function lie(length: number, random: Random): Buffer {
  switch (below(4, random)) {
    case 0:
      return Buffer.of(0);
    case 1:
      // The most that MQTT can say: 256 MB.
      return Buffer.of(0xff, 0xff, 0xff, 0x7f);
    case 2:
      // One digit more than it may have.
      return Buffer.of(0x80 | below(128, random), 0xff, 0xff, 0xff, 0xff, 0x01);
    default: {
      const off = Math.max(0, length + below(41, random) - 20);
      return off < 128 ? Buffer.of(off) : Buffer.of(0x80 | (off & 0x7f), off >> 7);
    }
  }
}

function lengthOfHead(bytes: Buffer): number {
  let at = 1;
  while (at < 5 && bytes[at]! >= 0x80) at++;
  return at + 1;
}

/** The bytes as they arrive: at once, one by one, or in pieces of any length. */
function cutUp(bytes: Buffer, random: Random): Uint8Array[] {
  const most = pick([Infinity, Infinity, 1, 7, 500], random);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const step = most === Infinity ? bytes.length : 1 + below(most, random);
    pieces.push(bytes.subarray(at, at + step));
    at += step;
  }
  return pieces;
}
