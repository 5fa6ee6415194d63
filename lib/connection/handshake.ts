/** The TLS handshake on a socket, with the endpoint or with a proxy. */

import type { Socket } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import { isAddress } from "./tcp.ts";

/** What a handshake needs to know. */
export interface Handshake {
  /** The name that the server must show. */
  readonly endpoint: string;
  /** PEM; empty: the public roots. */
  readonly caPems: readonly string[];
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
  readonly alpn?: string | undefined;
  readonly tlsMin: "1.2" | "1.3";
  /** The TCP socket beneath: the handle that is stopped while nothing is read. @default the socket */
  readonly tcp?: Socket;
  /** Gives it up. */
  readonly signal: AbortSignal;
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
export function secure(
  socket: Socket,
  { endpoint, caPems, certPem, keyPem, alpn, tlsMin, tcp = socket, signal }: Handshake,
  failed: (error: unknown) => void,
): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const stream = tls.connect({
    socket,
    ...serverNameOf(endpoint),
    ca: caPems.length > 0 ? [...caPems] : [...tls.rootCertificates],
    ...(certPem !== undefined && keyPem !== undefined && { cert: certPem, key: keyPem }),
    minVersion: tlsMin === "1.3" ? "TLSv1.3" : "TLSv1.2",
    // Said in the call: else a variable of the environment decides.
    rejectUnauthorized: true,
    ...(alpn !== undefined && { ALPNProtocols: [alpn] }),
  });
  // At once: an alert can come in one piece with the end of the handshake.
  onFailure(stream, failed);
  // Kept: a handle that is closed is taken from the socket.
  const { _handle: handle } = tcp as unknown as { _handle?: Handle };
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
