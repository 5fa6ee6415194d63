/**
 * The link between a client and a server, as a port of its own: it can be slow, fall silent without a word, and be
 * cut. Any server on this machine may be behind it. What goes wrong inside one handshake is in relay.ts.
 */

import type { Buffer } from "node:buffer";
import { once } from "node:events";
import net, { type Socket } from "node:net";
import { cutAll, openFront } from "./ports.ts";

/** What a link does to the bytes that go over it, each way. What is absent costs no time. */
export interface Shape {
  readonly bytesPerS?: number;
  /** From one end to the other, in ms. */
  readonly delayMs?: number;
  /** Largest piece, in bytes, written at once. */
  readonly pieceBytes?: number;
}

/** A running forwarder. Disposing of it ends it. */
export interface Forwarder extends AsyncDisposable {
  /** The port clients connect to, at 127.0.0.1. */
  readonly port: number;
  /** Connections taken since the start. */
  readonly connections: number;
  /** Makes every connection of this moment silent both ways, and tells neither end; later ones are well. */
  freeze(): void;
  /** Ends every connection of this moment. */
  cut(how: "rst" | "fin"): void;
  /** Takes no more connections; those there are stay. */
  pause(): void;
  /** Takes connections again, at the same port. */
  resume(): Promise<void>;
}

/** Bytes on their way at most; then the sender has to wait. */
const MOST_ON_THE_WAY = 16 * 1024;

/** Starts a link to a port of this machine. */
export async function startForwarder(to: number, shape: Shape = {}): Promise<Forwarder> {
  const sockets = new Set<Socket>();
  const lanes = new Map<Socket, Lane>();
  let connections = 0;

  const accept = (client: Socket) => {
    connections++;
    const server = net.connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
    for (const [from, other] of [[client, server], [server, client]] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => {});
      lanes.set(from, openLane(from, other, shape));
      from.on("close", () => {
        // What is on its way after an orderly end still arrives; a frozen link tells nobody.
        if (!from.readableEnded && !lanes.get(from)?.isFrozen()) other.destroy();
        lanes.get(other)?.stop();
        sockets.delete(from);
        lanes.delete(from);
      });
    }
  };
  const front = await openFront({ port: 0, allowHalfOpen: true }, accept);
  const forwarder: Forwarder = {
    ...front,
    get connections() {
      return connections;
    },
    freeze() {
      for (const lane of lanes.values()) lane.freeze();
    },
    cut(how) {
      cutAll(sockets, how);
    },
    async [Symbol.asyncDispose]() {
      front.close();
      for (const lane of lanes.values()) lane.stop();
      const closing = [...sockets].map((socket) => once(socket, "close"));
      for (const socket of sockets) socket.destroy();
      await Promise.all(closing);
    },
  };
  return forwarder;
}

/** One direction of one connection. */
interface Lane {
  isFrozen(): boolean;
  freeze(): void;
  stop(): void;
}

function openLane(from: Socket, to: Socket, shape: Shape): Lane {
  const { bytesPerS = Infinity, delayMs = 0, pieceBytes = Infinity } = shape;
  /** What is on its way, and when it arrives; without bytes it is the end. */
  const onTheWay: { readonly bytes: Buffer | undefined; readonly dueMs: number }[] = [];
  let queuedBytes = 0;
  /** When the last byte taken has left. */
  let leftMs = 0;
  let frozen = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const send = (bytes: Buffer | undefined) => {
    const length = bytes?.length ?? 0;
    queuedBytes += length;
    leftMs = Math.max(leftMs, performance.now()) + length * 1000 / bytesPerS;
    onTheWay.push({ bytes, dueMs: leftMs + delayMs });
  };
  const deliver = () => {
    timer = undefined;
    const nowMs = performance.now();
    while (onTheWay[0] !== undefined && onTheWay[0].dueMs <= nowMs) {
      const { bytes } = onTheWay.shift()!;
      queuedBytes -= bytes?.length ?? 0;
      if (bytes === undefined) to.end();
      else to.write(bytes);
    }
    if (queuedBytes < MOST_ON_THE_WAY) from.resume();
    if (onTheWay[0] !== undefined) timer = setTimeout(deliver, onTheWay[0].dueMs - nowMs);
  };
  from.on("data", (chunk: Buffer) => {
    if (frozen) return;
    const step = Math.min(pieceBytes, chunk.length);
    for (let at = 0; at < chunk.length; at += step) send(chunk.subarray(at, at + step));
    if (queuedBytes >= MOST_ON_THE_WAY) from.pause();
    if (timer === undefined) deliver();
  });
  from.on("end", () => {
    if (frozen) return;
    send(undefined);
    if (timer === undefined) deliver();
  });
  const stop = () => {
    clearTimeout(timer);
    timer = undefined;
    onTheWay.length = 0;
  };
  return {
    isFrozen: () => frozen,
    freeze() {
      frozen = true;
      stop();
    },
    stop,
  };
}
