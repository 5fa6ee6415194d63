/**
 * A connection: TLS, and the MQTT session on it.
 *
 * Rules: one deadline covers the attempt from its start to CONNACK; any error ends the session, and the reason told is
 * the first and deepest one known. When to try again is the publisher's business, what is said to the server
 * session.ts's.
 */

import { explainTimeout } from "./causes.ts";
import type { Target } from "./core/endpoint.ts";
import type { UserError } from "./core/errors.ts";
import type { Identity } from "./identity/mod.ts";
import type { Qos } from "./core/message.ts";
import type { PublishRefusedError } from "./reason_codes.ts";
import type { Settings } from "./settings/mod.ts";
import { openTransport } from "./transport.ts";

/** The settings a connection needs. Durations in ms. */
export type ConnectionSettings = Pick<
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
>;

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

/** Options of {@linkcode openConnection}. */
export interface ConnectionOptions {
  /** Ends the attempt, or the session. */
  readonly signal?: AbortSignal;
  /** @default () => new Date() */
  readonly now?: () => Date;
  /** @default openTransport */
  readonly open?: typeof openTransport;
  /** Addresses that failed in TLS or MQTT, which are tried last; kept by who makes one attempt after the other. */
  readonly avoid?: Set<string>;
}

/** What the words about a failure need to know. */
export function targetOf(
  settings: ConnectionSettings,
  identity: Pick<Identity, "caFiles">,
): Target {
  const { endpoint, port, alpn, clientId, tlsMin } = settings;
  return { endpoint, port, alpn, clientId, tlsMin, caFiles: identity.caFiles };
}

/**
 * Opens a session; settles at CONNACK.
 *
 * @throws {UserError} With the step reached. Exit code 77 means that trying again soon is pointless.
 */
export async function openConnection(
  settings: ConnectionSettings,
  identity: Identity,
  { signal, now = () => new Date(), open = openTransport, avoid = new Set() }: ConnectionOptions =
    {},
): Promise<Connection> {
  const startMs = performance.now();
  const target = targetOf(settings, identity);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), settings.connectTimeout);
  const attempt = signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal;
  try {
    const opening = open({
      target,
      identity,
      signal: attempt,
      timeoutMs: settings.connectTimeout,
      now,
      avoid,
    });
    opening.catch(() => {});
    // MQTT.js is loaded while the server answers.
    const { openSession } = await import("./session.ts");
    const transport = await opening;
    const session = openSession(settings, transport, target, now);
    const onAbort = () => session.abort(explainTimeout("mqtt", settings.connectTimeout, target));
    attempt.addEventListener("abort", onAbort, { once: true });
    if (attempt.aborted) onAbort();
    const granted = await session.opened
      .catch((error) => {
        avoid.add(transport.address);
        throw error;
      })
      .finally(() => attempt.removeEventListener("abort", onAbort));
    avoid.clear();
    const ms = Math.round(performance.now() - startMs);
    return {
      ...session,
      facts: { alpn: transport.alpn, tls: transport.tls, peer: transport.peer, ...granted, ms },
    };
  } finally {
    clearTimeout(timer);
  }
}
