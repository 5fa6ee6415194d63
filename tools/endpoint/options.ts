/**
 * What an endpoint can be told at its start, with AWS IoT Core's own numbers as the defaults.
 */

import type { Faults } from "./faults.ts";
import type { ReceivedMessage } from "./observe.ts";
import type { Certificates, Pair } from "./pki.ts";

/** The protocol AWS IoT Core wants on port 443 from devices with certificates. */
export const AWS_ALPN = "x-amzn-mqtt-ca";

/** Names that are allowed (for topics: filters with + and #), or a function that decides. */
export type Rule =
  | readonly string[]
  | ((clientId: string, name: string) => boolean);

/** Who may do what. What is absent is allowed. */
export interface Policy {
  /** Client ids that may connect; a function gets the id twice. */
  readonly connect?: Rule;
  /** Topics that may be published to. */
  readonly publish?: Rule;
  /** Topics on which a message may be kept, of those that may be published to. */
  readonly retain?: Rule;
  /** Topic filters that may be subscribed to. */
  readonly subscribe?: Rule;
}

/** Bounds. The defaults are AWS's (its developer guide, page "mqtt", and quotas page "iot-core"). */
export interface Limits {
  /** @default 131072 */
  payloadBytes: number;
  /** @default 256 */
  topicBytes: number;
  /** Slashes in a topic, not counting `$aws/rules/<name>/`. @default 7 */
  topicSlashes: number;
  /** @default 128 */
  clientIdBytes: number;
  /** A shorter keep-alive is treated as this. @default 30 */
  keepAliveMinS: number;
  /** A longer keep-alive, and 0, is treated as this. @default 1200 */
  keepAliveMaxS: number;
  /** QoS 1 messages a client may have unacknowledged; said in CONNACK on MQTT 5. @default 100 */
  receiveMaximum: number;
  /** Said in CONNACK on MQTT 5. AWS says 149504, by which it is known and its rates are kept. @default 150000 */
  maximumPacketSize: number;
  /** Topic aliases of a client; said in CONNACK on MQTT 5. @default 8 */
  topicAliasMaximum: number;
}

/** What {@linkcode startEndpoint} can be told. */
export interface EndpointOptions {
  /** 0 picks a free one. @default 0 */
  readonly port?: number;
  /** Address of this machine to listen on. @default "127.0.0.1" */
  readonly address?: string;
  /** Who it is and whom it trusts. @default a new throw-away PKI */
  readonly certificates?: Certificates;
  /** Present this instead of `certificates.server`. */
  readonly server?: Pair;
  /** PEM: trust only clients signed by this instead of `certificates.ca`. */
  readonly clientCa?: string;
  /**
   * `required` is {@linkcode AWS_ALPN} or nothing; another text is that protocol or nothing;
   * `ignore` never negotiates, as port 8883.
   *
   * @default "required"
   */
  readonly alpn?: string;
  /**
   * `closes-after-finished` completes the handshake and hangs up, as AWS does with a certificate it
   * does not know; `not-asked` is a server without client authentication.
   *
   * @default "required"
   */
  readonly clientCert?: "required" | "closes-after-finished" | "not-asked";
  /** @default "TLSv1.2" */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
  /** @default "TLSv1.3" */
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  /** Who may do what. @default everybody everything */
  readonly policy?: Policy;
  /**
   * A PUBLISH against policy or limits: hang up (MQTT 5: DISCONNECT with the reason first), or, on
   * MQTT 5 with QoS 1, answer it with a PUBACK that says so.
   *
   * @default "close"
   */
  readonly refusedPublish?: "close" | "puback";
  /** Bounds other than AWS's. */
  readonly limits?: Partial<Limits>;
  /**
   * What `received` holds: whole messages, messages without payload, or nothing, which keeps memory
   * flat however many arrive.
   *
   * @default "messages"
   */
  readonly keep?: "messages" | "headers" | "counts";
  /** Called with each message taken, whole, whatever `keep` says. */
  readonly onMessage?: (message: ReceivedMessage) => void;
  /** Faults to begin with. */
  readonly faults?: Partial<Faults>;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

/** AWS's bounds, except those given. */
export function makeLimits(given: Partial<Limits> = {}): Limits {
  return {
    payloadBytes: 131_072,
    topicBytes: 256,
    topicSlashes: 7,
    clientIdBytes: 128,
    keepAliveMinS: 30,
    keepAliveMaxS: 1200,
    receiveMaximum: 100,
    maximumPacketSize: 150_000,
    topicAliasMaximum: 8,
    ...given,
  };
}
