/**
 * The packets that this client never asks for. Each ends the session: MQTT calls it a protocol error, and a flood of
 * them would starve everything else. Pure.
 */

/** What the rules look at in a packet. */
export interface ReceivedPacket {
  readonly cmd: string;
  readonly messageId?: number;
  readonly qos?: number;
}

/** What the session has done so far. */
export interface SessionState {
  /** CONNACK has come. */
  readonly isOpen: boolean;
  readonly isSubscribed: boolean;
  /** Whether a packet with this id still waits for its answer. */
  readonly isAwaited: (messageId: number) => boolean;
  /** Whether a PINGREQ still waits for its PINGRESP; asking takes one off. */
  readonly isPingAwaited: () => boolean;
}

/** QoS 2 is not used here. MQTT.js would take PUBCOMP for PUBACK and keep what it receives. */
const QOS_2: readonly string[] = ["pubrec", "pubrel", "pubcomp"];

/** Answers to a packet of ours. */
const ANSWERS: readonly string[] = ["puback", "suback", "unsuback"];

/** Packets that a server never sends to a client of this kind. */
const NEVER: readonly string[] = ["auth", "connect", "subscribe", "unsubscribe", "pingreq"];

/** What is wrong with a packet, as the end of a sentence, or undefined. */
export function packetProblem(
  { cmd, messageId = 0, qos }: ReceivedPacket,
  { isOpen, isSubscribed, isAwaited, isPingAwaited }: SessionState,
): string | undefined {
  const name = cmd.toUpperCase();
  if (QOS_2.includes(cmd) || (cmd === "publish" && qos === 2)) {
    return `it sent ${name} of QoS 2, unasked`;
  }
  if (ANSWERS.includes(cmd) && !isAwaited(messageId)) {
    return cmd === "puback"
      ? "it acknowledged a message that was not sent"
      : `it sent ${name}, unasked`;
  }
  if (NEVER.includes(cmd) || (cmd === "pingresp" && !isPingAwaited())) {
    return `it sent ${name}, unasked`;
  }
  if (cmd === "connack" && isOpen) return "it sent a second CONNACK";
  if (cmd === "publish" && !isOpen) return "it sent a message before CONNACK";
  if (cmd === "publish" && !isSubscribed) return "it sent a message, and nothing is subscribed to";
  return undefined;
}
