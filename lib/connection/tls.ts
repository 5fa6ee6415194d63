/**
 * The TLS connection that MQTT.js writes to: a TCP socket of `node:net`, a tunnel in it if there is a proxy, and on it
 * `node:tls`.
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

import type { Duplex } from "node:stream";
import { explainTimeout, explainTransport } from "./explain.ts";
import { explainAlpn } from "./explain_tls.ts";
import { firstHop, isAws, type Target } from "../core/endpoint.ts";
import { exactFault } from "./chain_fault.ts";
import { strangerOf } from "./peer.ts";
import { type Hop, openFirstHop } from "./first_hop.ts";
import { secure } from "./handshake.ts";
import type { Identity } from "../identity/mod.ts";
import { isAddress } from "./tcp.ts";

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
  /** The issuer of its certificate, where the name is AWS's and the issuer is not. */
  readonly inspectedBy?: string | undefined;
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
 * @throws {UserError} With step `dns`, `tcp`, `proxy`, `tls` or `alpn`.
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  const { target, identity, signal, timeoutMs, now, avoid } = options;
  let reached: "dns" | "tcp" | "proxy" | "tls" = isAddress(firstHop(target).endpoint)
    ? "tcp"
    : "dns";
  let hop: Hop | undefined;
  /** Bytes that the server, or the proxy, had sent before TLS. */
  let before = 0;
  let address = "";
  try {
    hop = await openFirstHop(target, identity, {
      signal,
      now,
      onResolved: () => reached = "tcp",
      onConnected: () => reached = "proxy",
      ...(avoid && { avoid }),
    });
    reached = "tls";
    before = hop.socket.bytesRead;
    address = hop.tcp.remoteAddress ?? "";
    if (hop.early !== "") throw new Error("corrupt message");
    let failure: unknown;
    const shown = { ...identity, ...target, ...hop, signal };
    const stream = await secure(hop.socket, shown, (error) => failure ??= error);
    const alpn = stream.alpnProtocol || null;
    if (target.alpn !== undefined && alpn !== target.alpn) throw explainAlpn(alpn, target);
    const inspectedBy = isAws(target.endpoint)
      ? strangerOf(stream.getPeerCertificate(true))
      : undefined;
    return {
      stream,
      alpn,
      tls: stream.getProtocol() ?? "unknown",
      peer: `${address}:${hop.tcp.remotePort}`,
      address,
      inspectedBy,
      failure: () => failure,
    };
  } catch (error) {
    // Within TLS with a proxy they are not counted.
    const bytes = hop && hop.socket === hop.tcp ? hop.socket.bytesRead - before : undefined;
    hop?.tcp.destroy();
    if (address !== "") avoid?.add(address);
    if (signal.aborted) throw explainTimeout(reached, timeoutMs, target, bytes);
    const fault = await exactFault(error, { target, ...identity, signal });
    throw explainTransport(fault, target, now(), bytes);
  }
}
