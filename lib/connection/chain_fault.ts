/**
 * The exact fault of a certificate chain that `node:tls` refused.
 *
 * For an expired certificate, one that is not valid yet, and most other faults node:tls says the same sentence. rustls,
 * on which `Deno.startTls` stands, says which. It takes no client certificate, and what it says is used as words alone.
 */

import { messageOf } from "../core/errors.ts";
import type { Target } from "../core/endpoint.ts";

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
  { target, caPems, signal }: {
    target: Pick<Target, "endpoint" | "port" | "alpn">;
    caPems: readonly string[];
    signal: AbortSignal;
  },
): Promise<unknown> {
  if (!CHAIN_CODE.test((error as { code?: string } | undefined)?.code ?? "")) return error;
  const fault = await ask(target, caPems, signal);
  if (fault === undefined && !signal.aborted) {
    return new Error("invalid peer certificate: UnknownIssuer");
  }
  return FAULT.test(messageOf(fault)) ? fault : error;
}

/** The error of a handshake, or undefined. */
async function ask(
  { endpoint, port, alpn }: Pick<Target, "endpoint" | "port" | "alpn">,
  caPems: readonly string[],
  signal: AbortSignal,
): Promise<unknown> {
  let conn: Deno.TcpConn | Deno.TlsConn | undefined;
  const close = () => {
    try {
      conn?.close();
    } catch {
      // Closed already, or taken over by TLS.
    }
  };
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    conn = await Deno.connect({ hostname: endpoint, port, signal });
    conn = await Deno.startTls(conn, {
      hostname: endpoint,
      caCerts: [...caPems],
      ...(alpn !== undefined && { alpnProtocols: [alpn] }),
    });
    const handshake = conn.handshake();
    handshake.catch(() => {});
    await Promise.race([handshake, aborted.promise]);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    close();
  }
}
