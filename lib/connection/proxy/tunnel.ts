/** The tunnel through a proxy of either kind. */

import type { Target } from "../../core/endpoint.ts";
import type { Identity } from "../../identity/mod.ts";
import type { ProxyTarget } from "./explain.ts";
import { openHttpTunnel } from "./http.ts";
import { openSocksTunnel } from "./socks5.ts";
import type { Wire } from "./wire.ts";

/** What of the identity a proxy is told, or held against. */
export type ProxySecrets = Pick<Identity, "proxyAuth" | "proxyCaPems">;

/** Whether there is a proxy. */
export function isProxied(target: Target): target is ProxyTarget {
  return target.proxy !== undefined;
}

/**
 * Has the proxy open the tunnel.
 *
 * @returns What the endpoint has said already, in one piece with the proxy's answer.
 * @throws {UserError} If it does not open it.
 */
export function openTunnel(
  wire: Wire,
  target: ProxyTarget,
  { proxyAuth }: Pick<ProxySecrets, "proxyAuth">,
): Promise<string> {
  const open = target.proxy.scheme === "socks5" ? openSocksTunnel : openHttpTunnel;
  return open(wire, target, proxyAuth);
}
