/** What a connection is to those who use it. */

import type { UserError } from "../core/errors.ts";
import type { Qos } from "../core/message.ts";
import type { Identity } from "../identity/mod.ts";
import type { Settings } from "../settings/mod.ts";
import { proxyOf, type Target } from "../core/endpoint.ts";
import type { PublishRefusedError } from "./reason_codes.ts";

/** The settings a connection needs. Durations in ms. */
export type ConnectionSettings =
  & Pick<
    Settings,
    | "endpoint"
    | "port"
    | "alpn"
    | "tlsMin"
    | "mqttVersion"
    | "clientId"
    | "keepAlive"
    | "connectTimeout"
    | "ackTimeout"
  >
  & Partial<Pick<Settings, "username" | "proxy" | "proxyAuthFile" | "proxyCa">>;

/** What is known of an open session. */
export interface ConnectionFacts {
  /** Protocol agreed on in the handshake. */
  readonly alpn: string | null;
  /** Version of TLS, as `TLSv1.3`. */
  readonly tls: string;
  /** Address and port of the server. */
  readonly peer: string;
  /** Unacknowledged QoS 1 messages the server takes. */
  readonly receiveMaximum: number;
  /** Keep-alive in seconds that the server wants instead of ours. */
  readonly serverKeepAliveS: number | undefined;
  /** From the start of the attempt to CONNACK. */
  readonly ms: number;
}

/** An open session. */
export interface Connection {
  readonly facts: ConnectionFacts;
  /**
   * Sends one message. `done` is called once: without an argument when the message is delivered (QoS 1: PUBACK; QoS 0:
   * written), with {@linkcode PublishRefusedError} when the server refuses it. When the session ends first, it is
   * never called.
   */
  publish(message: OutgoingMessage, done: (refused?: PublishRefusedError) => void): void;
  /** Settles at SUBACK. @throws {UserError} If the server refuses. */
  subscribe(filter: string, onMessage: (topic: string, payload: Uint8Array) => void): Promise<void>;
  /** Sends DISCONNECT and closes; for a session in which nothing is in flight. Settles in 1 s at most. */
  end(): Promise<void>;
  /** Ends it at once. */
  abort(reason?: UserError): void;
  /** Settles when the session has ended: with the reason, or undefined if we ended it. */
  readonly closed: Promise<UserError | undefined>;
}

/** What is sent. */
export interface OutgoingMessage {
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
}

/** What the words about a failure need to know. */
export function targetOf(
  settings: ConnectionSettings,
  identity: Pick<Identity, "caFiles">,
): Target {
  const { endpoint, port, alpn, clientId, tlsMin, proxy: url } = settings;
  const proxy = proxyOf(url);
  return {
    ...{ endpoint, port, alpn, clientId, caFiles: identity.caFiles },
    // In a tunnel TLS 1.3 alone: whoever runs the proxy sees what TLS 1.2 sends in clear.
    tlsMin: proxy === undefined ? tlsMin : "1.3",
    ...(proxy && {
      proxy: { ...proxy, authFile: settings.proxyAuthFile, caFile: settings.proxyCa },
    }),
  };
}
