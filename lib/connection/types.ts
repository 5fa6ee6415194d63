/** What a connection is to those who use it. */

import type { UserError } from "../core/errors.ts";
import type { Qos } from "../core/message.ts";
import type { Identity } from "../identity/mod.ts";
import type { Settings } from "../settings/mod.ts";
import { proxyOf, type Target } from "../core/endpoint.ts";
import type { Doings } from "./explain_mqtt.ts";
import type { LongMessage } from "./long_messages.ts";
import type { PacketTooLargeError, PublishRefusedError } from "./reason_codes.ts";

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
  & Partial<Pick<Settings, "qos" | "username" | "proxy" | "proxyAuthFile" | "proxyCa">>;

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
  /** It grants just what AWS IoT Core grants, whatever its name. */
  readonly isAws: boolean;
  /** What else the server said in CONNACK. */
  readonly limits: ServerLimits;
  /** From the start of the attempt to CONNACK. */
  readonly ms: number;
}

/** What a server says in the CONNACK of MQTT 5, where it says it. */
export interface ServerLimits {
  /** Highest QoS that it takes. */
  readonly maximumQos?: Qos;
  /** Longest packet that it takes, in bytes. */
  readonly maximumPacketSize?: number;
  /** Keep-alive in seconds that it wants instead of ours. */
  readonly serverKeepAliveS?: number;
  readonly topicAliasMaximum?: number;
  readonly isRetainAvailable?: boolean;
  /** The client id that it gave this session. */
  readonly assignedClientId?: string;
  /** In words: Reason String, Server Reference. */
  readonly said?: string;
}

/** An open session. */
export interface Connection {
  readonly facts: ConnectionFacts;
  /**
   * Sends one message. `done` is called once: without an argument when the message is delivered (QoS 1: PUBACK; QoS 0:
   * written), with {@linkcode PublishRefusedError} when the server refuses it. When the session ends first, it is
   * never called.
   */
  publish(
    message: OutgoingMessage,
    done: (refused?: PublishRefusedError | PacketTooLargeError) => void,
  ): void;
  /** What was done in it so far. */
  doings(): Doings;
  /**
   * Settles at SUBACK.
   *
   * @param onLong Called for a message that is too long to be taken, over MQTT 3.1.1: with MQTT 5 the server sends none.
   * @throws {UserError} If the server refuses.
   */
  subscribe(
    filter: string,
    onMessage: (topic: string, payload: Uint8Array) => void,
    onLong?: (message: LongMessage) => void,
  ): Promise<void>;
  /**
   * Sends DISCONNECT and closes, whatever is in flight. Settles in 1 s at most.
   *
   * @param keepsWill Whether the server sends the will all the same, if no other session takes this one's place. @default {false}
   */
  end(options?: { readonly keepsWill?: boolean }): Promise<void>;
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
  /** The server keeps it for later subscribers. @default {false} */
  readonly retain?: boolean;
}

/** What CONNECT says besides the settings. */
export interface Opening {
  /** Sent by the server with QoS 1, and kept, when the session ends without DISCONNECT. */
  readonly will?: Pick<OutgoingMessage, "topic" | "payload">;
  /** With MQTT 5 the will of the last session, which is delayed, is not sent: this one takes its place. @default {false} */
  readonly resumes?: boolean;
}

/** How long a server that speaks MQTT 5 waits with the will for another session to take the place of this one, in s. */
export const WILL_DELAY_S = 5;

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
