/** What a CONNACK says: a refusal, a breach of the protocol, or the limits of the server. Pure. */

import type { IConnackPacket } from "mqtt";
import type { Target } from "../core/endpoint.ts";
import type { UserError } from "../core/errors.ts";
import { brokenProtocol } from "./explain_mqtt.ts";
import { explainConnack, wordsOf } from "./reason_codes.ts";
import type { ServerLimits } from "./types.ts";

/** Receive Maximum where the server says none (MQTT 5 section 3.2.2.3.3). */
const NO_RECEIVE_MAXIMUM = 65_535;

/** What was granted. */
export interface Granted {
  /** Unacknowledged QoS 1 messages that the server takes. */
  readonly receiveMaximum: number;
  readonly limits: ServerLimits;
}

/**
 * What the server grants, or why there is no session.
 *
 * @param resumes Whether CONNECT asked for the session before.
 */
export function readConnack(
  packet: IConnackPacket,
  version: "5" | "3.1.1",
  target: Target,
  resumes = false,
): Granted | UserError {
  const code = (version === "5" ? packet.reasonCode : packet.returnCode) ?? 0;
  const { properties = {} } = packet;
  if (code !== 0) return explainConnack(code, version, target, properties);
  // Codes that a broker may give twice are user properties alone; mqtt-packet makes a list of the others.
  const twice = Object.entries(properties).find(([, value]) => Array.isArray(value));
  if (twice) return brokenProtocol(`${nameOf(twice[0])} twice in CONNACK`, target);
  // MQTT 5 section 3.2.2.3.3: nothing could ever be sent.
  if (properties.receiveMaximum === 0) {
    return brokenProtocol("Receive Maximum 0 in CONNACK", target);
  }
  if (properties.maximumPacketSize === 0) {
    return brokenProtocol("Maximum Packet Size 0 in CONNACK", target);
  }
  // MQTT 5 section 3.1.2.4, 3.1.1 section 3.2.2.2: there is none after a clean start.
  if (packet.sessionPresent && !resumes) {
    return brokenProtocol("Session Present in CONNACK after a clean start", target);
  }
  const { maximumQoS, maximumPacketSize, serverKeepAlive, topicAliasMaximum } = properties;
  const { retainAvailable, assignedClientIdentifier } = properties;
  return {
    receiveMaximum: properties.receiveMaximum ?? NO_RECEIVE_MAXIMUM,
    limits: {
      ...(maximumQoS !== undefined && { maximumQos: maximumQoS === 0 ? 0 : 1 }),
      ...(maximumPacketSize !== undefined && { maximumPacketSize }),
      ...(serverKeepAlive !== undefined && { serverKeepAliveS: serverKeepAlive }),
      ...(topicAliasMaximum !== undefined && { topicAliasMaximum }),
      ...(retainAvailable !== undefined && { isRetainAvailable: Boolean(retainAvailable) }),
      ...(assignedClientIdentifier !== undefined && {
        assignedClientId: assignedClientIdentifier,
      }),
      ...wordsOf(properties),
    },
  };
}

/** `receiveMaximum` as MQTT's documents write it: `Receive Maximum`. */
function nameOf(property: string): string {
  const words = property.replace(/[A-Z]+/g, (letters) => ` ${letters}`);
  return words[0]!.toUpperCase() + words.slice(1);
}

/** Whether a server is AWS IoT Core behind a name of its user's: nobody else grants just this. */
export function isAwsLike({ receiveMaximum, limits }: Granted): boolean {
  return receiveMaximum === 100 && limits.maximumPacketSize === AWS_PACKET_BYTES;
}

/** Maximum Packet Size of AWS IoT Core, from its CONNACK. */
const AWS_PACKET_BYTES = 149_504;
