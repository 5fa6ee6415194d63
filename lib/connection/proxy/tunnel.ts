/** The tunnel through a proxy of either kind. */

import type { Target } from "../../core/endpoint.ts";
import type { Identity } from "../../identity/mod.ts";
import { explainTransport } from "../explain.ts";
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

/** Has the proxy open the tunnel. @throws {UserError} If it does not. */
export async function openTunnel(
  wire: Wire,
  target: ProxyTarget,
  { proxyAuth }: Pick<ProxySecrets, "proxyAuth">,
): Promise<void> {
  const open = target.proxy.scheme === "socks5" ? openSocksTunnel : openHttpTunnel;
  const early = await open(wire, target, proxyAuth);
  // In TLS the client speaks first.
  if (early !== "") throw explainTransport(new Error("corrupt message"), target, new Date());
}
