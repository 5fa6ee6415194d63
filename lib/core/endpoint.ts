/** The endpoint as the program names it. Pure. */

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

/** `host:port`, with brackets around an IPv6 address. */
export function place({ endpoint, port }: Pick<Target, "endpoint" | "port">): string {
  return endpoint.includes(":") ? `[${endpoint}]:${port}` : `${endpoint}:${port}`;
}
