/** The endpoint's side of the TLS handshake: what it presents, what it demands, whom it sends away. */

import type { TlsOptions, TLSSocket } from "node:tls";
import { AWS_ALPN, type EndpointOptions } from "./options.ts";
import type { Certificates } from "./pki.ts";

/** Options of the TLS server. */
export function tlsOptions(options: EndpointOptions, certificates: Certificates): TlsOptions {
  const { cert, key } = options.server ?? certificates.server;
  const asked = options.clientCert !== "not-asked";
  const protocol = protocolOf(options);
  return {
    cert,
    key,
    ca: options.clientCa ?? certificates.ca,
    requestCert: asked,
    rejectUnauthorized: asked,
    minVersion: options.minVersion ?? "TLSv1.2",
    maxVersion: options.maxVersion ?? "TLSv1.3",
    ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
  };
}

function protocolOf({ alpn = "required" }: EndpointOptions): string | undefined {
  return alpn === "ignore" ? undefined : alpn === "required" ? AWS_ALPN : alpn;
}

/** Why a client is sent away although its handshake went well. */
export function refusalOf(socket: TLSSocket, options: EndpointOptions): string | undefined {
  if (options.clientCert === "closes-after-finished") {
    return "certificate not known";
  }
  const protocol = protocolOf(options);
  // node:tls lets a client pass that offers no ALPN at all.
  if (protocol !== undefined && socket.alpnProtocol !== protocol) {
    return "no ALPN";
  }
  return undefined;
}
