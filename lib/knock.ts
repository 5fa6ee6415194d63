/**
 * Asks how far one gets, step by step, on a connection that can be given up: name, TCP, the first answer of TLS.
 *
 * `Deno.connectTls` cannot: what is closed while its handshake is pending stays open beneath, until the other side says
 * something, and an attempt to connect until the kernel has had enough. A host that takes connections and is silent
 * would cost a socket with each attempt. Nor does it say whether the name server or the host was silent. So after one
 * silence the next attempts knock first.
 *
 * A knock is a ClientHello and nothing more: whatever comes back, or a hang-up, counts as an answer and is not read.
 */

import type { Target } from "./causes.ts";
import { until } from "./until.ts";

/** What an attempt leaves to the one after it. */
export interface AttemptMemory {
  /** Nothing answered in time. */
  wasSilent: boolean;
}

/**
 * Settles when something has answered.
 *
 * @param onStep Called when there is an address, and when there is a connection, with the step that comes next.
 * @throws {Error} If there is no connection, or the signal came first.
 */
export async function knock(
  target: Pick<Target, "endpoint" | "port" | "alpn">,
  signal: AbortSignal,
  onStep: (step: "tcp" | "tls") => void,
): Promise<void> {
  const { endpoint: hostname, port } = target;
  await addressesOf(target);
  onStep("tcp");
  using conn = await Deno.connect({ hostname, port, signal });
  onStep("tls");
  // A reset is an answer, too.
  const answer = conn.write(clientHello(target)).then(() => conn.read(new Uint8Array(1)))
    .catch(() => {});
  await until(answer, signal, () => signal.reason);
}

/** Every address of a host. */
export async function addressesOf(
  { endpoint, port }: Pick<Target, "endpoint" | "port">,
): Promise<string[]> {
  // Loaded here because it is hardly ever needed, and takes 10 ms.
  const { lookup } = await import("node:dns/promises");
  // With the port, the permission to reach that one host and port is enough.
  const options = { all: true, port } as { all: true };
  return (await lookup(endpoint, options)).map(({ address }) => address);
}

/** Whether that is an IP address and no name: TLS asks for names alone. */
export function isAddress(endpoint: string): boolean {
  return /^[\d.]+$|:/.test(endpoint);
}

/** The suites that AWS recommends first: ECDHE with ECDSA or RSA, AES128-GCM-SHA256. */
const SUITES = [0xc0, 0x2b, 0xc0, 0x2f];
/** Supported groups: secp256r1. */
const GROUPS = [0, 10, 0, 4, 0, 2, 0, 23];
/** Signature algorithms: ECDSA on P-256, RSA-PSS and RSA PKCS#1, each with SHA-256. */
const SIGNATURES = [0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1];

/** A ClientHello of TLS 1.2 (RFC 5246 section 7.4.1.2) with SNI and ALPN. Pure, but for its random bytes. */
export function clientHello({ endpoint, alpn }: Pick<Target, "endpoint" | "alpn">): Uint8Array {
  const extensions = [
    ...(isAddress(endpoint) ? [] : extension(0, sized(2, [0, ...sized(2, bytesOf(endpoint))]))),
    ...(alpn === undefined ? [] : extension(16, sized(2, sized(1, bytesOf(alpn))))),
    ...GROUPS,
    ...SIGNATURES,
  ];
  const random = crypto.getRandomValues(new Uint8Array(32));
  const body = [3, 3, ...random, 0, ...sized(2, SUITES), 1, 0, ...sized(2, extensions)];
  return Uint8Array.from([22, 3, 1, ...sized(2, [1, ...sized(3, body)])]);
}

function extension(type: number, content: readonly number[]): number[] {
  return [0, type, ...sized(2, content)];
}

/** The bytes behind their length, which takes so many bytes. */
function sized(lengthBytes: number, bytes: readonly number[]): number[] {
  const length = Array.from(
    { length: lengthBytes },
    (_, index) => bytes.length >> 8 * (lengthBytes - 1 - index) & 0xff,
  );
  return [...length, ...bytes];
}

function bytesOf(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}
