/**
 * The TLS connection that MQTT.js writes to: a TCP socket of `node:net`, and on it `node:tls`.
 *
 * Measured on Deno 2.9.6, each pinned by a test:
 * - `ca` replaces every root, whatever the environment adds to Deno's own store; so it is always given.
 * - With TLS 1.3 a server with a wrong name learns nothing of us: with `socket` the name is checked before our flight is
 *   written. With TLS 1.2, which sends certificates in clear anyway, it sees the device certificate: `tlsMin` forbids it.
 * - What is destroyed is closed at once, also within a handshake.
 * - An alert after the handshake, as TLS 1.3 sends for a refused device certificate, reaches the handle and no event.
 * - A TLS stream that is paused is read on, into memory without bound; stopping the TCP handle beneath stops it.
 * - For most faults of a chain node:tls says "unable to verify the first certificate"; chain_fault.ts asks rustls.
 */

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import tls, { type TLSSocket } from "node:tls";
import { explainAlpn, explainTimeout, explainTransport } from "./explain.ts";
import type { Target } from "../core/endpoint.ts";
import { exactFault } from "./chain_fault.ts";
import type { Identity } from "../identity/mod.ts";
import { isAddress, openTcp } from "./tcp.ts";

/** An open, checked TLS connection. */
export interface Transport {
  readonly stream: Duplex;
  /** Protocol the server agreed to. */
  readonly alpn: string | null;
  /** Version of TLS, as `TLSv1.3`. */
  readonly tls: string;
  /** Address and port of the peer. */
  readonly peer: string;
  /** Its address alone. */
  readonly address: string;
  /** Why reading or writing failed, once it has. */
  readonly failure: () => unknown;
}

/** Options of {@linkcode openTransport}. */
export interface TransportOptions {
  readonly target: Target;
  readonly identity: Identity;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** Milliseconds the attempt may take, for the error's text. */
  readonly timeoutMs: number;
  readonly now: () => Date;
  /** Addresses that are tried last; one that fails in TLS is added. @default none */
  readonly avoid?: Set<string>;
}

/**
 * Opens a TLS connection with the device's certificate and checks what was negotiated.
 *
 * @throws {UserError} With step `dns`, `tcp`, `tls` or `alpn`.
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  const { target, identity, signal, timeoutMs, now, avoid } = options;
  let reached: "dns" | "tcp" | "tls" = isAddress(target.endpoint) ? "tcp" : "dns";
  let socket: Socket | undefined;
  let address = "";
  try {
    socket = await openTcp(target, {
      signal,
      onResolved: () => reached = "tcp",
      ...(avoid && { avoid }),
    });
    reached = "tls";
    address = socket.remoteAddress ?? "";
    let failure: unknown;
    const stream = await secured(socket, options, (error) => failure ??= error);
    const alpn = stream.alpnProtocol || null;
    if (target.alpn !== undefined && alpn !== target.alpn) throw explainAlpn(alpn, target);
    return {
      stream,
      alpn,
      tls: stream.getProtocol() ?? "unknown",
      peer: `${address}:${socket.remotePort}`,
      address,
      failure: () => failure,
    };
  } catch (error) {
    socket?.destroy();
    if (address !== "") avoid?.add(address);
    if (signal.aborted) throw explainTimeout(reached, timeoutMs, target);
    const fault = await exactFault(error, { target, caPems: identity.caPems, signal });
    throw explainTransport(fault, target, now());
  }
}

/** What of the TCP handle of node:net is used. */
interface Handle {
  readStop(): void;
  readStart(): void;
}

/**
 * TLS on a socket; settles when the handshake is done and the server's certificate was found good.
 *
 * @param failed Told of each error, then and later.
 */
function secured(
  socket: Socket,
  { target, identity, signal }: TransportOptions,
  failed: (error: unknown) => void,
): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const stream = tls.connect({
    socket,
    ...serverNameOf(target.endpoint),
    ca: identity.caPems.length > 0 ? [...identity.caPems] : [...tls.rootCertificates],
    cert: identity.certPem,
    key: identity.keyPem,
    minVersion: target.tlsMin === "1.3" ? "TLSv1.3" : "TLSv1.2",
    // Said in the call: else a variable of the environment decides.
    rejectUnauthorized: true,
    ...(target.alpn !== undefined && { ALPNProtocols: [target.alpn] }),
  });
  // At once: an alert can come in one piece with the end of the handshake.
  onFailure(stream, failed);
  // Kept: a handle that is closed is taken from the socket.
  const { _handle: handle } = socket as unknown as { _handle?: Handle };
  stream.on("pause", () => stream.destroyed || handle?.readStop());
  stream.on("resume", () => stream.destroyed || handle?.readStart());
  const onAbort = () => {
    stream.destroy();
    reject(signal.reason);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  stream.on("error", reject);
  stream.once("secureConnect", () => resolve(stream));
  return promise.finally(() => signal.removeEventListener("abort", onAbort));
}

/** Calls back for each error of a stream, alerts included. */
function onFailure(stream: TLSSocket, listener: (error: unknown) => void): void {
  stream.on("error", listener);
  const { _handle: handle } = stream as unknown as {
    _handle?: { onerror?: (...details: unknown[]) => unknown };
  };
  if (handle === undefined) return;
  const { onerror } = handle;
  handle.onerror = (error, ...details) => {
    listener(error);
    return onerror?.call(handle, error, ...details);
  };
}

/** The name that the server must show; an address is not sent as SNI (RFC 6066 section 3). */
export function serverNameOf(endpoint: string): { host: string; servername?: string } {
  return isAddress(endpoint) ? { host: endpoint } : { host: endpoint, servername: endpoint };
}
