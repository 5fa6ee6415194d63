/** The endpoint, and the proxy on the way to it, as the program names them. Pure. */

/** The proxy that opens a tunnel to the endpoint. */
export interface Proxy {
  readonly scheme: "http" | "https" | "socks5";
  readonly endpoint: string;
  readonly port: number;
  /** File with the user and password, for errors. */
  readonly authFile?: string | undefined;
  /** File of the CA that may vouch for it. */
  readonly caFile?: string | undefined;
}

/** What errors and hints need to know of a connection attempt. */
export interface Target {
  readonly endpoint: string;
  readonly port: number;
  readonly alpn: string | undefined;
  readonly clientId: string;
  /** Least version of TLS. */
  readonly tlsMin: "1.2" | "1.3";
  /** Files of the CA; empty: the public roots. */
  readonly caFiles: readonly string[];
  /** Whatever connects goes through it. */
  readonly proxy?: Proxy | undefined;
  /** The issuer of the certificate that was shown, where the name is AWS's and the issuer is not. */
  readonly inspectedBy?: string | undefined;
  /** This is the proxy itself, as the first hop. */
  readonly isProxy?: boolean;
}

/**
 * The proxy that a setting names; undefined if there is none.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { proxyOf } from "./endpoint.ts";
 *
 * assertEquals(proxyOf("http://[fd00::1]:3128"), { scheme: "http", endpoint: "fd00::1", port: 3128 });
 * assertEquals(proxyOf("proxy.example"), undefined);
 * ```
 */
export function proxyOf(text: string | undefined): Proxy | undefined {
  const [, scheme, host, port] =
    /^(http|https|socks5):\/\/(\[[^\]]*:[^\]]*\]|[^:/?#[\]]+):(\d{1,5})\/?$/.exec(text ?? "") ?? [];
  if (scheme === undefined) return undefined;
  const endpoint = host!.replace(/^\[|\]$/g, "");
  return { scheme: scheme as Proxy["scheme"], endpoint, port: Number(port) };
}

/** What is connected to: the proxy if there is one, else the endpoint. */
export function firstHop(target: Target): Target {
  const { proxy } = target;
  if (proxy === undefined) return target;
  const { endpoint, port, caFile } = proxy;
  return {
    ...target,
    ...{ endpoint, port, alpn: undefined, tlsMin: "1.2", isProxy: true, proxy: undefined },
    caFiles: caFile === undefined ? [] : [caFile],
  };
}

/** Whether this endpoint is AWS IoT Core. */
export function isAws(endpoint: string): boolean {
  return /\.amazonaws\.com(\.cn)?\.?$/i.test(endpoint);
}

/** The topic on which AWS IoT Core says why a client did not come in, or had to go. */
export function presenceTopic(
  event: "connect_failed" | "disconnected",
  { clientId }: Pick<Target, "clientId">,
): string {
  return `$aws/events/presence/${event}/${clientId}`;
}

/** What an endpoint or a proxy is called in a sentence. */
export function nameOf(target: Pick<Target, "endpoint" | "port" | "isProxy">): string {
  return `${target.isProxy ? "the proxy " : ""}${place(target)}`;
}

/** `host:port`, with brackets around an IPv6 address. */
export function place({ endpoint, port }: Pick<Target, "endpoint" | "port">): string {
  return endpoint.includes(":") ? `[${endpoint}]:${port}` : `${endpoint}:${port}`;
}
