/**
 * A connection: TLS, and the MQTT session on it.
 *
 * Rules: one deadline covers the attempt from its start to CONNACK; any error ends the session, and the reason told is
 * the first and deepest one known. When to try again is the publisher's business, what is said to the server
 * session.ts's.
 */

import { explainTimeout } from "./explain.ts";
import type { Identity } from "../identity/mod.ts";
import { openTransport } from "./tls.ts";
import { type Connection, type ConnectionSettings, type Opening, targetOf } from "./types.ts";

/** Options of {@linkcode openConnection}. */
export interface ConnectionOptions extends Opening {
  /** Ends the attempt, or the session. */
  readonly signal?: AbortSignal;
  /** @default () => new Date() */
  readonly now?: () => Date;
  /** @default openTransport */
  readonly open?: typeof openTransport;
  /** Addresses that failed in TLS or MQTT, which are tried last; kept by who makes one attempt after the other. */
  readonly avoid?: Set<string>;
}

/**
 * Opens a session; settles at CONNACK.
 *
 * @throws {UserError} With the step reached. Exit code 77 means that trying again soon is pointless.
 */
export async function openConnection(
  settings: ConnectionSettings,
  identity: Identity,
  { signal, now = () => new Date(), open = openTransport, avoid = new Set(), ...opening }:
    ConnectionOptions = {},
): Promise<Connection> {
  const startMs = performance.now();
  const target = targetOf(settings, identity);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), settings.connectTimeout);
  const attempt = signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal;
  try {
    const transporting = open({
      target,
      identity,
      signal: attempt,
      timeoutMs: settings.connectTimeout,
      now,
      avoid,
    });
    transporting.catch(() => {});
    // MQTT.js is loaded while the server answers.
    const { MqttSession } = await import("./mqtt.ts");
    const transport = await transporting;
    const told = { ...settings, ...opening, password: identity.password };
    const { inspectedBy } = transport;
    const seen = inspectedBy === undefined ? target : { ...target, inspectedBy };
    const session = new MqttSession(told, transport, seen, now);
    const onAbort = () => session.abort(explainTimeout("mqtt", settings.connectTimeout, seen));
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
    const { alpn, tls, peer } = transport;
    return Object.assign(session, { facts: { alpn, tls, peer, ...granted, ms } });
  } finally {
    clearTimeout(timer);
  }
}
