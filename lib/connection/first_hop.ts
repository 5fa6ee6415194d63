/**
 * The first hop: a TCP socket to the endpoint, or to the proxy and a tunnel in it. TLS with the endpoint follows on it.
 *
 * With a proxy nothing else is looked up or connected to: the endpoint's name goes to the proxy as it is.
 */

import type { Socket } from "node:net";
import { firstHop, type Target } from "../core/endpoint.ts";
import { UserError } from "../core/errors.ts";
import { exactFault } from "./chain_fault.ts";
import { explainTransport } from "./explain.ts";
import { secure } from "./handshake.ts";
import { explainProxyHungUp } from "./proxy/explain.ts";
import { isProxied, openTunnel, type ProxySecrets } from "./proxy/tunnel.ts";
import { wireOf } from "./proxy/wire.ts";
import { openTcp, type TcpOptions } from "./tcp.ts";

/** Options of {@linkcode openFirstHop}. */
export interface HopOptions extends TcpOptions {
  readonly now: () => Date;
  /** Called when TCP stands and the proxy is asked. */
  readonly onConnected?: () => void;
}

/** An open way to the endpoint. */
export interface Hop {
  /** What TLS with the endpoint goes on. */
  readonly socket: Socket;
  /** The TCP socket beneath it. */
  readonly tcp: Socket;
  /** What a server in a tunnel has said already; one that speaks TLS waits for the client. */
  readonly early: string;
}

/**
 * Opens the way to the endpoint.
 *
 * @throws {UserError} With step `dns`, `tcp` or `proxy`; the signal's reason when it came first.
 */
export async function openFirstHop(
  target: Target,
  secrets: ProxySecrets,
  options: HopOptions,
): Promise<Hop> {
  const { signal, now } = options;
  const at = firstHop(target);
  const explained = (error: unknown) =>
    signal.aborted ? signal.reason : explainTransport(error, at, now());
  const tcp = await openTcp(at, options).catch((error) => {
    throw explained(error);
  });
  if (!isProxied(target)) return { socket: tcp, tcp, early: "" };
  options.onConnected?.();
  const onAbort = () => void tcp.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const socket = target.proxy.scheme === "https"
      ? await securedProxy(tcp, at, secrets, signal)
      : tcp;
    return { socket, tcp, early: await openTunnel(wireOf(socket), target, secrets) };
  } catch (error) {
    tcp.destroy();
    if (signal.aborted || error instanceof UserError) throw explained(error);
    const { code } = error as { code?: string };
    throw code === "ECONNRESET" || code === "EPIPE"
      ? explainProxyHungUp(target, error)
      : explained(error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** TLS with the proxy itself: it is shown no certificate. */
async function securedProxy(
  tcp: Socket,
  at: Target,
  { proxyCaPems: caPems }: ProxySecrets,
  signal: AbortSignal,
): Promise<Socket> {
  try {
    return await secure(tcp, { ...at, caPems, signal }, () => {});
  } catch (error) {
    throw await exactFault(error, { target: at, caPems, proxyAuth: undefined, signal });
  }
}
