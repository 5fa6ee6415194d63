/**
 * Probes: what a handshake with other words, or plain text, brings out of what answers on a port. They are run where
 * they decide something, each bounded.
 *
 * They send no MQTT but for one CONNECT in plain text without a name, and neither our certificate nor anything signed
 * with our key; they believe nothing they see.
 */

import { connect as connectTls } from "node:tls";
import type { Target } from "../core/endpoint.ts";
import { messageOf } from "../core/errors.ts";
import { isAddress, issuersOf, nameText } from "../connection/mod.ts";
import type { Evidence } from "./finding.ts";
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
  /** Those of the chain above it that were shown. */
  readonly above: readonly { readonly subject: string; readonly validTo: Date }[];
}

/** What a TLS handshake without verification shows. */
export interface TlsLook {
  readonly version: string;
  readonly alpn: string | undefined;
  readonly certificate: ShownCertificate;
}

/** What a probe of TLS says in its first words. */
export interface ProbeWords {
  /** The name that the server is asked for; undefined: none. */
  readonly name: string | undefined;
  readonly alpn: string | undefined;
}

/** What became of a probe of TLS. */
export interface TlsProbe extends ProbeWords {
  readonly outcome: "secured" | "alert" | "hung-up" | "silent" | "failed" | "unreachable";
  /** Bytes that came. */
  readonly bytes: number;
  /** The name of the alert, or what else was wrong. */
  readonly said?: string;
  readonly look?: TlsLook;
}

/** An alert is a record of seven bytes, and a ServerHello longer than that. */
const ALERT_BYTES = 7;

/** Whether the server's first flight came, or began to. */
export function isAnswered({ bytes, outcome }: TlsProbe): boolean {
  return outcome === "secured" || (bytes > ALERT_BYTES && outcome !== "failed");
}

/** A TLS handshake without verification and without our certificate. Never rejects. */
export async function probeTls(
  open: OpenHop,
  words: ProbeWords,
  { caPems, timeoutMs, avoid }: {
    /** Not believed either, but `node:tls` makes no handshake with an empty store. */
    readonly caPems: readonly string[];
    readonly timeoutMs: number;
    readonly avoid?: ReadonlySet<string> | undefined;
  },
): Promise<TlsProbe> {
  const signal = AbortSignal.timeout(timeoutMs);
  const hop = await open(signal, avoid).catch(() => undefined);
  if (hop === undefined) return { ...words, outcome: "unreachable", bytes: 0 };
  const { name, alpn } = words;
  const before = hop.socket.bytesRead;
  const { promise, resolve } = Promise.withResolvers<Pick<TlsProbe, "outcome" | "said" | "look">>();
  const socket = connectTls({
    socket: hop.socket,
    ...(name === undefined
      ? {}
      : isAddress(name)
      ? { host: name }
      : { host: name, servername: name }),
    rejectUnauthorized: false,
    ...(caPems.length > 0 && { ca: [...caPems] }),
    ...(alpn !== undefined && { ALPNProtocols: [alpn] }),
  });
  const onLate = () => resolve({ outcome: "silent" });
  signal.addEventListener("abort", onLate, { once: true });
  socket.once("secureConnect", () => {
    const shown = socket.getPeerCertificate(true);
    resolve({
      outcome: "secured",
      look: {
        version: socket.getProtocol() ?? "unknown",
        alpn: socket.alpnProtocol || undefined,
        certificate: certificateOf(shown as unknown as Peer),
      },
    });
  });
  socket.on("error", (error) => {
    const said = messageOf(error);
    const alert = /received fatal alert: (\w+)/.exec(said)?.[1];
    const { code } = error as { code?: string };
    if (alert !== undefined) resolve({ outcome: "alert", said: alert });
    else if (code === "ECONNRESET" || code === "EPIPE") resolve({ outcome: "hung-up" });
    else resolve({ outcome: "failed", said });
  });
  socket.once("close", () => resolve({ outcome: "hung-up" }));
  try {
    const found = await promise;
    return { ...words, bytes: hop.socket.bytesRead - before, ...found };
  } finally {
    signal.removeEventListener("abort", onLate);
    socket.destroy();
    hop.tcp.destroy();
  }
}

/** What a probe found, for the report. */
export function evidenceOf(probe: TlsProbe, address?: string): Evidence {
  const { name, alpn, outcome, bytes, said } = probe;
  return {
    probe: "tls",
    name: name ?? null,
    alpn: alpn ?? null,
    certificate: "none",
    ...(address !== undefined && { address }),
    outcome,
    bytes,
    ...(said !== undefined && { said }),
  };
}

/** A certificate as node:tls shows it. */
interface Peer {
  readonly subject?: unknown;
  readonly issuer?: unknown;
  readonly subjectaltname?: string;
  readonly valid_from: string;
  readonly valid_to: string;
  readonly fingerprint256: string;
  readonly issuerCertificate?: Peer;
}

function certificateOf(shown: Peer): ShownCertificate {
  const above: { subject: string; validTo: Date }[] = [];
  for (let at = shown.issuerCertificate; at && above.length < 10; at = at.issuerCertificate) {
    const subject = nameText(at.subject);
    if (subject === "" || above.at(-1)?.subject === subject) break;
    above.push({ subject, validTo: new Date(at.valid_to) });
  }
  return {
    subject: nameText(shown.subject),
    issuer: nameText(shown.issuer),
    names: shown.subjectaltname ?? "",
    validFrom: new Date(shown.valid_from),
    validTo: new Date(shown.valid_to),
    fingerprint: shown.fingerprint256,
    chain: issuersOf(shown),
    above,
  };
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
  const greeting = await exchange(open, new Uint8Array(), Math.min(timeoutMs, GREETING_MS));
  if (greeting !== "silent") return greeting;
  const request = `HEAD / HTTP/1.0\r\nHost: ${target.endpoint}\r\n\r\n`;
  return await exchange(open, new TextEncoder().encode(request), timeoutMs);
}

/** CONNECT of MQTT 3.1.1, clean, without a client id: the least that a broker answers (section 3.1). */
const PLAIN_CONNECT = Uint8Array.of(0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 30, 0, 0);

/** Whether a broker answers CONNECT in plain text. */
export async function speaksPlainMqtt(open: OpenHop, timeoutMs: number): Promise<boolean> {
  const speech = await exchange(open, PLAIN_CONNECT, timeoutMs);
  // CONNACK is four bytes: its type, its length, no session, a return code.
  return typeof speech === "object" && speech.said.startsWith("\x20\x02");
}

async function exchange(open: OpenHop, send: Uint8Array, timeoutMs: number): Promise<Speech> {
  const signal = AbortSignal.timeout(timeoutMs);
  const hop = await open(signal).catch(() => undefined);
  if (hop === undefined) return "closed";
  const { socket, early } = hop;
  const { promise, resolve } = Promise.withResolvers<Speech>();
  const onLate = () => resolve("silent");
  signal.addEventListener("abort", onLate, { once: true });
  socket.on("close", () => resolve("closed"));
  socket.on("error", () => resolve("closed"));
  socket.once(
    "data",
    (bytes: Uint8Array) => resolve({ said: new TextDecoder("latin1").decode(bytes) }),
  );
  if (early !== "") resolve({ said: early });
  // A tunnel is paused when it is open.
  socket.resume();
  if (send.length > 0) socket.write(send);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onLate);
    hop.tcp.destroy();
  }
}
