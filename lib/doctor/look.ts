/**
 * A second look at what answers on a port, after our own verified connection failed: which certificate it shows, or
 * which protocol it speaks.
 *
 * It sends no MQTT, and neither our certificate nor anything signed with our key; it believes nothing it sees.
 */

import { connect as connectTls } from "node:tls";
import type { Target } from "../core/endpoint.ts";
import { serverNameOf } from "../connection/mod.ts";
import type { OpenHop } from "./facts.ts";

/** A certificate as a server shows it. */
export interface ShownCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly names: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  readonly fingerprint: string;
  /** Issuers up the chain, as far as it was shown. */
  readonly chain: readonly string[];
}

/** What a TLS handshake without verification shows. */
export interface TlsLook {
  readonly version: string;
  readonly alpn: string | undefined;
  readonly certificate: ShownCertificate;
}

/**
 * Looks at the TLS server; undefined if there is no handshake with it within the time.
 *
 * @param caPems Not believed either, but `node:tls` makes no handshake with an empty store.
 */
export async function lookAtTls(
  open: OpenHop,
  target: Target,
  caPems: readonly string[],
  timeoutMs: number,
): Promise<TlsLook | undefined> {
  const { promise, resolve } = Promise.withResolvers<TlsLook | undefined>();
  const hop = await open(AbortSignal.timeout(timeoutMs)).catch(() => undefined);
  if (hop === undefined) return undefined;
  const socket = connectTls({
    socket: hop.socket,
    ...serverNameOf(target.endpoint),
    rejectUnauthorized: false,
    ...(caPems.length > 0 && { ca: [...caPems] }),
    ...(target.alpn !== undefined && { ALPNProtocols: [target.alpn] }),
  });
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  socket.once("secureConnect", () => {
    const shown = socket.getPeerCertificate(true);
    resolve({
      version: socket.getProtocol() ?? "unknown",
      alpn: socket.alpnProtocol || undefined,
      certificate: {
        subject: nameOf(shown.subject),
        issuer: nameOf(shown.issuer),
        names: shown.subjectaltname ?? "",
        validFrom: new Date(shown.valid_from),
        validTo: new Date(shown.valid_to),
        fingerprint: shown.fingerprint256,
        chain: chainOf(shown),
      },
    });
    socket.destroy();
  });
  socket.on("error", () => {});
  socket.once("close", () => {
    clearTimeout(timer);
    hop.tcp.destroy();
    resolve(undefined);
  });
  return await promise;
}

/** What a server says on a plain connection; or that it hung up without a word, or kept it open in silence. */
export type Speech = { readonly said: string } | "closed" | "silent";

/** How long a server that speaks first may take for it, in ms. */
const GREETING_MS = 1500;

/** What a server says on a plain connection: by itself, or to an HTTP request. */
export async function firstBytes(
  open: OpenHop,
  target: Target,
  timeoutMs: number,
): Promise<Speech> {
  const greeting = await exchange(open, "", Math.min(timeoutMs, GREETING_MS));
  if (greeting !== "silent") return greeting;
  return await exchange(
    open,
    `HEAD / HTTP/1.0\r\nHost: ${target.endpoint}\r\n\r\n`,
    timeoutMs,
  );
}

async function exchange(open: OpenHop, send: string, timeoutMs: number): Promise<Speech> {
  const signal = AbortSignal.timeout(timeoutMs);
  const hop = await open(signal).catch(() => undefined);
  if (hop === undefined) return "closed";
  const { socket } = hop;
  const { promise, resolve } = Promise.withResolvers<Speech>();
  const onLate = () => resolve("silent");
  signal.addEventListener("abort", onLate, { once: true });
  socket.on("close", () => resolve("closed"));
  socket.once(
    "data",
    (bytes: Uint8Array) => resolve({ said: new TextDecoder("latin1").decode(bytes) }),
  );
  socket.write(send);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onLate);
    hop.tcp.destroy();
  }
}

type Shown = { subject?: unknown; issuer?: unknown; issuerCertificate?: Shown };

function nameOf(name: unknown): string {
  return Object.entries((name ?? {}) as Record<string, string>).map(([key, value]) =>
    `${key}=${value}`
  )
    .join(", ");
}

function chainOf(shown: Shown): string[] {
  const chain: string[] = [];
  // A root is its own issuer; ten is more than any chain has.
  for (let at: Shown | undefined = shown; at && chain.length < 10;) {
    const issuer = nameOf(at.issuer);
    if (issuer === "" || chain.at(-1) === issuer) break;
    chain.push(issuer);
    // What comes next need not be the issuer: Deno goes on with what it was told to trust.
    const next: Shown | undefined = at.issuerCertificate;
    at = nameOf(next?.subject) === issuer ? next : undefined;
  }
  return chain;
}
