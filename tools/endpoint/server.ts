/**
 * The endpoint itself: a TCP port of this machine, TLS behind it, sessions behind that. It opens what
 * it is told to and `close()` leaves nothing open.
 */

import type { Socket } from "node:net";
import tls from "node:tls";
import { Buffer } from "node:buffer";
import { type Faults, fires, makeFaults } from "./faults.ts";
import { refusalOf, tlsOptions } from "./handshake.ts";
import { makeHub } from "./hub.ts";
import {
  makeObserver,
  type Observations,
  type ReceivedMessage,
  type WaitOptions,
} from "./observe.ts";
import { type EndpointOptions, makeLimits } from "./options.ts";
import { type Certificates, makePki } from "./pki.ts";
import { cutAll, openFront } from "./ports.ts";
import { relay } from "./relay.ts";
import { serveSession } from "./session.ts";

/** A running endpoint. */
export interface Endpoint extends Observations, AsyncDisposable {
  /** The port it listens on. */
  readonly port: number;
  /** What its clients need to meet it. */
  readonly certificates: Certificates;
  /** Set these at any time. */
  readonly faults: Faults;
  /** TCP connections open now. */
  readonly open: number;
  /**
   * Settles as soon as the predicate holds; it is asked whenever something happened.
   *
   * @throws {Error} When the deadline has passed, with what was seen until then.
   */
  until(predicate: () => boolean, options?: WaitOptions): Promise<void>;
  /** Settles when so many messages have been received since the start. */
  waitFor(messages: number, options?: WaitOptions): Promise<readonly ReceivedMessage[]>;
  /** Send a message to everybody who subscribed to its topic. */
  publish(topic: string, payload: string | Uint8Array, qos?: 0 | 1): void;
  /** Send bytes as they are on every connection. */
  send(bytes: Uint8Array): void;
  /** Send DISCONNECT with a reason code on every MQTT 5 connection, and leave the sockets open. */
  disconnect(reasonCode: number): void;
  /** Go silent on every connection without closing it, as a dead link does. */
  freeze(): void;
  /** Drop all connections of this moment. */
  cut(how?: "rst" | "fin"): void;
  /** Close the port; connections stay. */
  pause(): void;
  /** Open the same port again. */
  resume(): Promise<void>;
  /** End everything. */
  close(): Promise<void>;
}

/**
 * Start a stand-in for AWS IoT Core on this machine.
 *
 * @throws {Deno.errors.AddrInUse | Error} If the port is taken; `code` is then `EADDRINUSE`.
 */
export async function startEndpoint(options: EndpointOptions = {}): Promise<Endpoint> {
  const certificates = options.certificates ?? await makePki();
  const faults = makeFaults(options.faults);
  const observer = makeObserver(options.now ?? (() => performance.now()));
  const hub = makeHub({ options, faults, limits: makeLimits(options.limits), observer });
  const sockets = new Set<Socket>();
  const relayed = new Set<Socket>();
  // TLS sockets do not say whose they are, but they have the port of the socket beneath.
  const connectionByPort = new Map<number | undefined, number>();

  const tlsServer = tls.createServer(tlsOptions(options, certificates));
  tlsServer.on("secureConnection", (socket) => {
    observer.counts.handshakes++;
    socket.on("error", () => {});
    const connection = connectionByPort.get(socket.remotePort) ?? 0;
    const reason = refusalOf(socket, options);
    if (reason === undefined) {
      serveSession(socket, connection, hub);
    } else {
      const atMs = observer.now();
      observer.closes.push({ clientId: "", connection, by: "endpoint", reason, atMs });
      // In good order: with TLS 1.2 our Finished is still to leave.
      socket.resume().end();
    }
    observer.changed();
  });
  tlsServer.on("tlsClientError", (error: Error & { code?: string }, socket) => {
    const { code = "", message } = error;
    observer.tlsErrors.push({ code, message, atMs: observer.now() });
    socket.destroy();
    observer.changed();
  });

  function track(set: Set<Socket>, socket: Socket) {
    set.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => {
      set.delete(socket);
      observer.changed();
    });
  }

  function startTls(socket: Socket, connection: number) {
    const { remotePort } = socket;
    connectionByPort.set(remotePort, connection);
    socket.on("close", () => connectionByPort.delete(remotePort));
    tlsServer.emit("connection", socket);
  }

  function accept(socket: Socket) {
    const connection = ++observer.counts.connections;
    const about = () => connection;
    track(sockets, socket);
    observer.changed();
    if (fires(faults, "resetAtAccept", about)) return socket.resetAndDestroy();
    if (fires(faults, "silentAtAccept", about)) return socket.resume();
    const cut = fires(faults, "cutHandshake", about);
    const trickle = fires(faults, "trickle", about);
    if (!cut && !trickle) return startTls(socket, connection);
    relay(socket, {
      end: faults.handshakeEnd,
      ...(cut ? { cutAfterBytes: faults.handshakeBytes } : {}),
      ...(trickle ? { pieceBytes: 1 } : {}),
    }, (made) => track(relayed, made)).then(
      (inner) => startTls(inner, connection),
      () => socket.destroy(),
    );
  }

  const { port = 0, address = "127.0.0.1" } = options;
  const front = await openFront({ port, address }, accept);

  const endpoint: Endpoint = {
    received: observer.received,
    connects: observer.connects,
    closes: observer.closes,
    tlsErrors: observer.tlsErrors,
    counts: observer.counts,
    until: observer.until,
    ...front,
    certificates,
    faults,
    get open() {
      return sockets.size;
    },
    async waitFor(messages, wait = {}) {
      const what = `${messages} messages`;
      await observer.until(() => observer.counts.received >= messages, { what, ...wait });
      return observer.received;
    },
    publish(topic, payload, qos = 1) {
      hub.deliver({ topic, payload: Buffer.from(payload as Uint8Array), qos });
    },
    send(bytes) {
      for (const link of hub.links) link.sendBytes(bytes);
    },
    disconnect(reasonCode) {
      for (const { link } of hub.sessions.values()) {
        if (link.protocolVersion === 5) {
          link.send({ cmd: "disconnect", reasonCode });
        }
      }
    },
    freeze() {
      for (const link of hub.links) link.freeze();
    },
    cut(how = "rst") {
      cutAll(sockets, how);
    },
    async close() {
      front.close();
      for (const socket of sockets) socket.destroy();
      const isEmpty = () => sockets.size + relayed.size + hub.links.size === 0;
      await observer.until(isEmpty, { what: "its sockets to close" });
      hub.close();
      observer.close();
    },
    [Symbol.asyncDispose]: () => endpoint.close(),
  };
  return endpoint;
}
