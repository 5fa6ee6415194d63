/**
 * What the endpoint saw, in order, and waiting for it: tests wait for an event, never for a time.
 *
 * Times are milliseconds on the clock the endpoint was given, by default `performance.now()`, which
 * does not jump. Lists grow only as far as `keep` allows; counters always count.
 */

/** A PUBLISH that was taken. */
export interface ReceivedMessage {
  readonly clientId: string;
  /** Number of the connection it came by, from 1. */
  readonly connection: number;
  readonly topic: string;
  /** As UTF-8 text; empty if payloads are not kept. */
  readonly payload: string;
  /** Size of the payload. */
  readonly bytes: number;
  readonly qos: number;
  readonly dup: boolean;
  readonly retain: boolean;
  /** Packet identifier; absent at QoS 0. */
  readonly messageId: number | undefined;
  /** Its topic was said by an alias. */
  readonly isAlias: boolean;
  readonly atMs: number;
}

/** A CONNECT that arrived, with the facts of its connection so far. */
export interface ConnectRecord {
  readonly clientId: string;
  /** Number of the connection, from 1. */
  readonly connection: number;
  /** 4 is MQTT 3.1.1, 5 is MQTT 5. */
  readonly protocolVersion: number;
  /** As the client asked, in seconds. */
  readonly keepAliveS: number;
  readonly clean: boolean;
  /** Absent without a will. */
  readonly willTopic: string | undefined;
  /** Negotiated protocol; absent if none was. */
  readonly alpn: string | undefined;
  /** SNI; absent if none was sent. */
  readonly serverName: string | undefined;
  /** For example `TLSv1.3`. */
  readonly tls: string;
  /** Common name of the client certificate. */
  readonly certName: string | undefined;
  readonly atMs: number;
  /** PUBLISH packets that arrived by it, taken or not. */
  publishes: number;
  /** Most QoS 1 messages without PUBACK at one time. */
  maxInFlight: number;
}

/** The end of an MQTT connection. */
export interface CloseRecord {
  readonly clientId: string;
  readonly connection: number;
  /** Who ended it: the client by DISCONNECT, the network (no DISCONNECT seen), or we. */
  readonly by: "client" | "network" | "endpoint";
  /** Why, in words. */
  readonly reason: string;
  readonly atMs: number;
}

/** A handshake that failed. */
export interface TlsErrorRecord {
  /** For example `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`. */
  readonly code: string;
  /** For example `received fatal alert: UnknownCA`. */
  readonly message: string;
  readonly atMs: number;
}

/** Counters since the start. */
export interface Counts {
  /** TCP connections accepted. */
  connections: number;
  /** TLS handshakes completed. */
  handshakes: number;
  /** PUBLISH packets taken. */
  received: number;
  /** PUBACK packets sent with success. */
  acked: number;
  /** PUBLISH packets discarded by the throttle. */
  discarded: number;
  /** PUBLISH packets refused by policy, limits or fault. */
  refused: number;
  /** PINGREQ packets. */
  pings: number;
  /** SUBSCRIBE packets. */
  subscribes: number;
  /** PUBACK packets from clients. */
  pubacks: number;
}

/** Lists and counters of what happened. */
export interface Observations {
  readonly received: ReceivedMessage[];
  readonly connects: ConnectRecord[];
  readonly closes: CloseRecord[];
  readonly tlsErrors: TlsErrorRecord[];
  readonly counts: Counts;
}

/** How long to wait, and for what. */
export interface WaitOptions {
  /** @default 10000 */
  readonly deadlineMs?: number;
  /** Ends the sentence "Waited 10000 ms for …". @default "a condition" */
  readonly what?: string;
}

/** The recording side, used by the endpoint itself. */
export interface Observer extends Observations {
  /** The clock, in milliseconds. */
  now(): number;
  /** Something happened: look whether somebody waits for it. */
  changed(): void;
  /** Settles when the predicate holds. */
  until(predicate: () => boolean, options?: WaitOptions): Promise<void>;
  /** Fail everybody who still waits. */
  close(): void;
}

/** Empty lists, counters at zero. */
export function makeObserver(now: () => number): Observer {
  const waiting = new Set<{ check(): void; fail(error: Error): void }>();
  const observer: Observer = {
    received: [],
    connects: [],
    closes: [],
    tlsErrors: [],
    counts: {
      connections: 0,
      handshakes: 0,
      received: 0,
      acked: 0,
      discarded: 0,
      refused: 0,
      pings: 0,
      subscribes: 0,
      pubacks: 0,
    },
    now,
    changed() {
      for (const waiter of waiting) waiter.check();
    },
    until(predicate, options = {}) {
      const deadlineMs = options.deadlineMs ?? 10_000;
      const what = options.what ?? "a condition";
      if (predicate()) return Promise.resolve();
      return new Promise<void>((resolve, reject) => {
        const settle = (act: () => void) => {
          clearTimeout(timer);
          waiting.delete(waiter);
          act();
        };
        const waiter = {
          check() {
            try {
              if (predicate()) settle(resolve);
            } catch (error) {
              settle(() => reject(error));
            }
          },
          fail: (error: Error) => settle(() => reject(error)),
        };
        const timer = setTimeout(() => {
          waiter.fail(
            new Error(
              `Waited ${deadlineMs} ms for ${what} in vain: ${summary(observer)}`,
            ),
          );
        }, deadlineMs);
        waiting.add(waiter);
      });
    },
    close() {
      for (const waiter of waiting) {
        waiter.fail(
          new Error(`Endpoint was closed while awaited: ${summary(observer)}`),
        );
      }
    },
  };
  return observer;
}

function summary(seen: Observations): string {
  const { connections, handshakes, received } = seen.counts;
  return `${connections} connections, ${handshakes} handshakes, ${seen.tlsErrors.length} TLS errors, ` +
    `${seen.connects.length} CONNECTs, ${received} messages, ${seen.closes.length} closed`;
}
