/** CONNECT as a record and CONNACK as AWS IoT Core words it. */

import type { TLSSocket } from "node:tls";
import type { IConnackPacket, IConnectPacket } from "mqtt-packet";
import type { ConnectRecord } from "./observe.ts";
import type { Limits } from "./options.ts";

/** What CONNECT and the handshake before it tell about a client. */
export function recordOf(
  packet: IConnectPacket,
  clientId: string,
  socket: TLSSocket,
  connection: number,
  atMs: number,
): ConnectRecord {
  const { servername } = socket as { servername?: string | false | null };
  return {
    clientId,
    connection,
    protocolVersion: packet.protocolVersion ?? 4,
    keepAliveS: packet.keepalive ?? 0,
    clean: packet.clean ?? true,
    willTopic: packet.will?.topic,
    alpn: socket.alpnProtocol || undefined,
    serverName: servername || undefined,
    tls: socket.getProtocol() ?? "",
    certName: commonNameOf(socket),
    atMs,
    publishes: 0,
    maxInFlight: 0,
  };
}

/**
 * The welcoming CONNACK; the properties count on MQTT 5 only.
 *
 * @param serverKeepAliveS Said if it is not what the client asked for.
 * @param assignedId Said if the client left its id to us.
 * @param isPresent Whether the session that it asked for was kept.
 */
export function connackOf(
  limits: Limits,
  serverKeepAliveS: number | undefined,
  assignedId: string | undefined,
  isPresent: boolean,
): IConnackPacket {
  return {
    cmd: "connack",
    sessionPresent: isPresent,
    returnCode: 0,
    reasonCode: 0,
    properties: {
      receiveMaximum: limits.receiveMaximum,
      maximumQoS: 1,
      retainAvailable: true,
      maximumPacketSize: limits.maximumPacketSize,
      topicAliasMaximum: limits.topicAliasMaximum,
      wildcardSubscriptionAvailable: true,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      ...(serverKeepAliveS === undefined ? {} : { serverKeepAlive: serverKeepAliveS }),
      ...(assignedId === undefined ? {} : { assignedClientIdentifier: assignedId }),
    },
  };
}

/** The keep-alive that holds: AWS treats 0 and what is too long as its maximum. */
export function effectiveKeepAliveS(askedS: number, limits: Limits): number {
  if (askedS === 0 || askedS > limits.keepAliveMaxS) {
    return limits.keepAliveMaxS;
  }
  return Math.max(askedS, limits.keepAliveMinS);
}

function commonNameOf(socket: TLSSocket): string | undefined {
  const name: unknown = socket.getPeerCertificate()?.subject?.CN;
  return typeof name === "string" ? name : undefined;
}
