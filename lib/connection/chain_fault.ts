/**
 * The exact fault of a certificate chain that `node:tls` refused.
 *
 * For an expired certificate, one that is not valid yet, and most other faults node:tls says the same sentence. rustls,
 * on which `Deno.startTls` stands, says which. It takes no client certificate, and what it says is used as words alone. It
 * takes no TLS connection either: within that of a proxy with https:// the words of node:tls stay.
 */

import { messageOf } from "../core/errors.ts";
import { firstHop, type Target } from "../core/endpoint.ts";
import { isProxied, openTunnel, type ProxySecrets } from "./proxy/tunnel.ts";
import { wireOfConn } from "./proxy/wire.ts";

/** What node:tls says of any fault of a chain. */
const CHAIN_CODE = /^(UNABLE_|SELF_|DEPTH_|CERT_)/;

/** How rustls begins what it says of one. */
const FAULT = /invalid peer certificate: /;

/**
 * What rustls says on one more connection, where the error is a chain's; else the error itself.
 *
 * Deno's default roots count beside `caPems` here. Where rustls finds the chain good by them, what the first attempt
 * missed was an issuer.
 */
export async function exactFault(
  error: unknown,
  question: Question,
): Promise<unknown> {
  const { target, signal } = question;
  if (!isChainFault(error) || target.proxy?.scheme === "https") return error;
  const fault = await ask(question);
  if (fault === undefined && !signal.aborted) {
    return new Error("invalid peer certificate: UnknownIssuer");
  }
  return FAULT.test(messageOf(fault)) ? fault : error;
}

/** Whether that is what node:tls says of a chain. */
export function isChainFault(error: unknown): boolean {
  return CHAIN_CODE.test((error as { code?: string } | undefined)?.code ?? "");
}

/** Whom to ask, and how to get there. */
interface Question extends Pick<ProxySecrets, "proxyAuth"> {
  readonly target: Target;
  readonly caPems: readonly string[];
  readonly signal: AbortSignal;
}

/** The error of a handshake, or undefined. */
async function ask({ target, caPems, proxyAuth, signal }: Question): Promise<unknown> {
  const { endpoint, alpn } = target;
  let conn: Deno.TcpConn | Deno.TlsConn | undefined;
  const close = () => {
    try {
      conn?.close();
    } catch {
      // Closed already, or taken over by TLS.
    }
  };
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  /** Ended by the signal; what comes later is nobody's. */
  const orAborted = <T>(step: Promise<T>): Promise<T> => {
    step.catch(() => {});
    return Promise.race([step, aborted.promise]);
  };
  try {
    const { endpoint: hostname, port } = firstHop(target);
    conn = await Deno.connect({ hostname, port, signal });
    if (isProxied(target)) await orAborted(openTunnel(wireOfConn(conn), target, { proxyAuth }));
    conn = await Deno.startTls(conn, {
      hostname: endpoint,
      caCerts: [...caPems],
      ...(alpn !== undefined && { alpnProtocols: [alpn] }),
    });
    await orAborted(conn.handshake());
    return undefined;
  } catch (error) {
    return error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    close();
  }
}
