/**
 * The sending half of one connection: packets of one turn go out in one write, PUBACKs above all,
 * because a TLS record per PUBACK would make the endpoint the bottleneck of every bench.
 *
 * It knows bytes and sockets. What to send is decided in session.ts and publishing.ts.
 */

import { Buffer } from "node:buffer";
import type { TLSSocket } from "node:tls";
import mqtt, { type Packet } from "mqtt-packet";

/** How long a client may take to notice that we hung up before its socket is destroyed. */
const LINGER_MS = 250;

/** One connection, as those who answer on it see it. */
export interface Link {
  /** 4 is MQTT 3.1.1, 5 is MQTT 5; decided by CONNECT. */
  protocolVersion: number;
  /** Hung up, or about to; nothing that arrives counts any more. */
  readonly closing: boolean;
  /** Send a packet at the end of this turn. */
  send(packet: Packet): void;
  /** Send bytes as they are at the end of this turn. */
  sendBytes(bytes: Uint8Array): void;
  /** Send a PUBACK without a reason at the end of this turn. */
  ack(messageId: number): void;
  /** Send what is queued, then FIN; the socket goes after the client's FIN or a quarter of a second. */
  hangUp(): void;
  /** Stop reading and writing without a word, as if the network were gone. */
  freeze(): void;
}

/** Make the link for a socket. `sent` hears of each PUBACK that went out. */
export function makeLink(socket: TLSSocket, sent: (acks: number) => void): Link {
  let queued: Uint8Array[] = [];
  let acks = 0;
  let scheduled = false;
  let closing = false;
  let frozen = false;

  function push(item: Uint8Array) {
    if (closing || frozen) return;
    queued.push(item);
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(flush);
  }

  function flush() {
    scheduled = false;
    if (queued.length === 0) return;
    const items = queued;
    queued = [];
    if (frozen || !socket.writable) return;
    sent(acks);
    acks = 0;
    // A client that does not read its answers is not read either: memory stays bounded.
    if (!socket.write(Buffer.concat(items)) && !closing) {
      socket.pause();
      socket.once("drain", () => frozen || socket.resume());
    }
  }

  return {
    protocolVersion: 4,
    get closing() {
      return closing;
    },
    send(packet) {
      push(mqtt.generate(packet, { protocolVersion: this.protocolVersion }));
    },
    sendBytes: push,
    ack(messageId) {
      if (closing || frozen) return;
      acks++;
      push(Uint8Array.of(0x40, 2, messageId >> 8, messageId & 0xff));
    },
    hangUp() {
      if (closing) return;
      closing = true;
      flush();
      socket.resume();
      const timer = setTimeout(() => socket.destroy(), LINGER_MS);
      socket.once("close", () => clearTimeout(timer));
      socket.end();
    },
    freeze() {
      frozen = true;
      socket.pause();
    },
  };
}
