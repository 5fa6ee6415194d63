/**
 * Wills: what is sent for a client whose session ends without DISCONNECT, at once or, on MQTT 5, after the delay that
 * it asked for, but no longer than its session is kept; and not at all if it comes back to it before (MQTT 5 section 3.1.3.2.2).
 */

import { Buffer } from "node:buffer";
import type { IConnectPacket } from "mqtt-packet";
import type { Delivery } from "./hub.ts";

/** A will, and for how long its session is kept. */
export interface Will extends Delivery {
  readonly retain: boolean;
  readonly delayMs: number;
}

/** The will in a CONNECT, if there is one. */
export function willOf({ will, protocolVersion, properties }: IConnectPacket): Will | undefined {
  if (will === undefined) return undefined;
  const { topic, payload, qos = 0, retain = false } = will;
  const expiryS = properties?.sessionExpiryInterval ?? 0;
  const delayS = will.properties?.willDelayInterval ?? 0;
  return {
    ...{ topic, qos, retain, payload: Buffer.from(payload as unknown as string) },
    delayMs: protocolVersion === 5 ? 1000 * Math.min(expiryS, delayS) : 0,
  };
}

/** Wills that wait, by client id. */
export class Wills {
  readonly #send: (will: Will) => void;
  readonly #waiting = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #wills = new Map<string, Will>();

  constructor(send: (will: Will) => void) {
    this.#send = send;
  }

  /** A session has ended without DISCONNECT. */
  lost(clientId: string, will: Will): void {
    if (will.delayMs === 0) return this.#send(will);
    this.#wills.set(clientId, will);
    this.#waiting.set(clientId, setTimeout(() => this.back(clientId, false), will.delayMs));
  }

  /** The client is back, or the delay is over. Returns whether its session was kept. */
  back(clientId: string, resumes: boolean): boolean {
    const will = this.#wills.get(clientId);
    if (will === undefined) return false;
    clearTimeout(this.#waiting.get(clientId));
    this.#wills.delete(clientId);
    this.#waiting.delete(clientId);
    if (!resumes) this.#send(will);
    return resumes;
  }

  /** Forgets all. */
  close(): void {
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    this.#wills.clear();
  }
}
