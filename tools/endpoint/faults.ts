/**
 * The faults the endpoint plays on demand. Each trigger is a plain property that can be set before
 * the start or while it runs:
 *
 *     endpoint.faults.noConnack = 5;                                     // the next five
 *     endpoint.faults.forgetPuback = true;                               // until further notice
 *     endpoint.faults.closeAtPublish = (m) => m.topic.startsWith("deny/");
 *
 * A count goes down by itself and can be read to see how many are left. The numbers beside the
 * triggers say how. What a fault does is done in accept.ts, session.ts and publishing.ts.
 */

import type { ConnectRecord, ReceivedMessage } from "./observe.ts";

/** When a fault fires: never or always, the next N times, or if the predicate says so. */
export type When<T> = boolean | number | ((about: T) => boolean);

/** Triggers before TLS. The subject is the number of the connection, from 1. */
export interface TcpFaults {
  /** Accept the connection and never say a word. */
  silentAtAccept: When<number>;
  /** Answer the connection with RST. */
  resetAtAccept: When<number>;
  /** Hang up in the TLS handshake, `handshakeBytes` into our answer. */
  cutHandshake: When<number>;
  /** Send everything byte by byte. */
  trickle: When<number>;
}

/** Triggers at CONNECT. */
export interface ConnectFaults {
  /** Hang up instead of answering CONNECT. */
  closeAtConnect: When<ConnectRecord>;
  /** Never answer CONNECT, keep the socket open. */
  noConnack: When<ConnectRecord>;
  /** Answer CONNECT with `connackCode`. */
  refuseConnect: When<ConnectRecord>;
  /** Answer CONNECT with `rawBytes`. */
  rawAtConnect: When<ConnectRecord>;
  /** Send a PUBLISH before CONNACK. */
  publishBeforeConnack: When<ConnectRecord>;
  /** Send CONNACK twice. */
  secondConnack: When<ConnectRecord>;
  /** Send a PUBACK for a message never sent, right after CONNACK. */
  strayPuback: When<ConnectRecord>;
  /** Hang up `closeAfterConnackMs` after CONNACK. */
  closeAfterConnack: When<ConnectRecord>;
  /** Do not answer PINGREQ. */
  noPingresp: When<ConnectRecord>;
  /** Do not answer SUBSCRIBE. */
  noSuback: When<ConnectRecord>;
}

/** Triggers at PUBLISH. */
export interface PublishFaults {
  /** Take the message and never send its PUBACK. */
  forgetPuback: When<ReceivedMessage>;
  /** Answer with `pubackCode` and do not take the message (MQTT 5; on 3.1.1 no PUBACK). */
  refusePublish: When<ReceivedMessage>;
  /** Hang up instead of taking the message. */
  closeAtPublish: When<ReceivedMessage>;
}

/** The numbers that say how. */
export interface FaultNumbers {
  /** Bytes of our TLS answer let through before `cutHandshake`. @default 0 */
  handshakeBytes: number;
  /** How `cutHandshake` hangs up. @default "rst" */
  handshakeEnd: "rst" | "fin";
  /** Return code (3.1.1) or reason code (5) of `refuseConnect`. @default 0x88, server unavailable */
  connackCode: number;
  /** Leave the socket open after a refusing CONNACK. @default false */
  keepRefusedOpen: boolean;
  /** What `rawAtConnect` sends. @default GARBAGE */
  rawBytes: Uint8Array;
  /** @default 0 */
  closeAfterConnackMs: number;
  /** Hang up when this PUBLISH of a connection has arrived, before its PUBACK; 0 is never. @default 0 */
  closeAfterPublishes: number;
  /** Reason code of `refusePublish`. @default 0x97, quota exceeded */
  pubackCode: number;
  /** Wait so long before each PUBACK. @default 0 */
  pubackDelayMs: number;
  /** Discard, without PUBACK, what a connection sends beyond this in a second; 0 is no limit. AWS: 100. @default 0 */
  publishesPerS: number;
}

/** Every fault. */
export type Faults = TcpFaults & ConnectFaults & PublishFaults & FaultNumbers;

/** Bytes that are no MQTT packet: what a web server or a proxy would say here. */
export const GARBAGE: Uint8Array = new TextEncoder().encode(
  "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
);

/** The head of a PUBLISH that claims a body of 268,435,455 bytes, the most MQTT can say. */
export const HUGE_LENGTH: Uint8Array = Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f);

/** All faults off, except those given. */
export function makeFaults(given: Partial<Faults> = {}): Faults {
  return {
    silentAtAccept: false,
    resetAtAccept: false,
    cutHandshake: false,
    trickle: false,
    closeAtConnect: false,
    noConnack: false,
    refuseConnect: false,
    rawAtConnect: false,
    publishBeforeConnack: false,
    secondConnack: false,
    strayPuback: false,
    closeAfterConnack: false,
    noPingresp: false,
    noSuback: false,
    forgetPuback: false,
    refusePublish: false,
    closeAtPublish: false,
    handshakeBytes: 0,
    handshakeEnd: "rst",
    connackCode: 0x88,
    keepRefusedOpen: false,
    rawBytes: GARBAGE,
    closeAfterConnackMs: 0,
    closeAfterPublishes: 0,
    pubackCode: 0x97,
    pubackDelayMs: 0,
    publishesPerS: 0,
    ...given,
  };
}

/** The name of a fault that is switched on and off. */
export type Trigger =
  | keyof TcpFaults
  | keyof ConnectFaults
  | keyof PublishFaults;

/** What the predicate of a fault is asked about. */
export type About<K extends Trigger> = K extends keyof TcpFaults ? number
  : K extends keyof ConnectFaults ? ConnectRecord
  : ReceivedMessage;

/** Whether this fault fires now; a count is spent by asking. `about` is called for predicates only. */
export function fires<K extends Trigger>(faults: Faults, name: K, about: () => About<K>): boolean {
  const when = faults[name] as When<About<K>>;
  if (typeof when === "function") return when(about());
  if (typeof when === "boolean") return when;
  if (when <= 0) return false;
  (faults as Record<Trigger, boolean | number>)[name] = when - 1;
  return true;
}
