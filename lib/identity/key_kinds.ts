/**
 * Which certificates and keys TLS accepts, decided from their DER. Pure.
 *
 * Measured on Deno 2.9.6, `node:tls` `connect({ socket, cert, key })`, TLS 1.2 and 1.3, against OpenSSL:
 * - accepted: RSA from 2048 to 8192 bits, P-256, P-384, P-521, Ed25519; every intermediate certificate;
 * - RSA below 2048 bits: `connect` throws "key too small"; RSA above 8192 bits, RSA-PSS, DSA, Ed448, other curves,
 *   curves with explicit parameters, and a leaf with a critical extension that rustls does not know: "unsupported
 *   protocol" before a byte is sent;
 * - a leaf of X.509 version 1 is sent, and OpenSSL accepts it. It is refused here: TLS wants version 3 (RFC 5246
 *   section 7.4.2, RFC 8446 section 4.4.2), and servers on rustls and webpki refuse it;
 * - every CA certificate is accepted as an anchor, but signatures of the refused kinds of keys cannot be checked.
 * A test compares these rules with TLS itself.
 */

import { children, type Element, elementsIn, oid } from "./der.ts";

/** Why TLS refuses a certificate or key. */
export interface KindProblem {
  /** What it is, as the end of a sentence that begins with "it". */
  readonly what: string;
  /** What is accepted instead. */
  readonly rule: string;
  /** Whether a new key is needed; else a new certificate for the same key will do. */
  readonly needsKey: boolean;
}

/** The parts of a certificate that decide. */
interface CertificateParts {
  readonly version: number;
  readonly publicKey: Uint8Array;
  readonly critical: readonly string[];
}

/** Extensions that rustls (webpki) knows: key usage, names, constraints, CRL points, extended key usage. */
const KNOWN_EXTENSIONS = new Set(
  ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"],
);
const RSA = "1.2.840.113549.1.1.1";
const EC = "1.2.840.10045.2.1";
const TAKEN_CURVES = new Set(["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"]);
const ED25519 = "1.3.101.112";
/** Other kinds of keys, by object identifier. */
const NAMES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.10": "an RSA-PSS key",
  "1.2.840.10040.4.1": "a DSA key",
  "1.3.101.113": "an Ed448 key",
  "1.3.132.0.33": "a key on curve P-224",
  "1.3.132.0.10": "a key on curve secp256k1",
};
const KEY_RULE = "TLS here takes RSA keys from 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519";

/** Why TLS refuses a device certificate, or undefined; also undefined where the DER cannot be read. */
export function certificateProblem(der: Uint8Array): KindProblem | undefined {
  const parts = certificateParts(der);
  if (parts === undefined) return undefined;
  const key = publicKeyProblem(parts.publicKey);
  if (key !== undefined) return { ...key, what: `has ${key.what}` };
  if (parts.version !== 3) {
    return {
      what: `is X.509 version ${parts.version}`,
      rule: "TLS takes version 3 (RFC 8446, section 4.4.2)",
      needsKey: false,
    };
  }
  const unknown = parts.critical.filter((id) => !KNOWN_EXTENSIONS.has(id));
  return unknown.length === 0 ? undefined : {
    what: `has a critical extension that is not known here (${unknown.join(", ")})`,
    rule: "TLS refuses a certificate with a critical extension that it does not know",
    needsKey: false,
  };
}

/** Why signatures of this CA cannot be checked, or undefined. */
export function authorityProblem(der: Uint8Array): KindProblem | undefined {
  const parts = certificateParts(der);
  const key = parts && publicKeyProblem(parts.publicKey);
  return key && { ...key, what: `has ${key.what}` };
}

/** Why TLS refuses the private key in a PEM block of this label, or undefined, as for an encrypted one. */
export function privateKeyProblem(label: string, der: Uint8Array): KindProblem | undefined {
  if (label === "DSA PRIVATE KEY") return keyProblem(NAMES["1.2.840.10040.4.1"]!);
  const fields = children(der);
  if (label === "PRIVATE KEY") return algorithmProblem(fields?.[1]);
  if (label !== "EC PRIVATE KEY") return undefined;
  // SEC 1: the curve is the field with tag 0.
  const curve = fields?.find(({ tag }) => tag === 0xa0);
  return curve && curveProblem(elementsIn(curve.content)?.[0]);
}

function certificateParts(der: Uint8Array): CertificateParts | undefined {
  const tbs = children(der)?.[0];
  const fields = tbs && elementsIn(tbs.content);
  if (fields === undefined) return undefined;
  const version = fields[0]?.tag === 0xa0 ? fields.shift() : undefined;
  const publicKey = fields[5];
  const list = fields.find(({ tag }) => tag === 0xa3);
  const extensions = list && elementsIn(list.content)?.[0];
  if (publicKey === undefined) return undefined;
  return {
    version: (version?.content.at(-1) ?? 0) + 1,
    publicKey: publicKey.content,
    critical: (extensions ? elementsIn(extensions.content) ?? [] : []).flatMap(({ content }) => {
      const [id, critical] = elementsIn(content) ?? [];
      return id && critical?.tag === 0x01 && critical.content[0] !== 0 ? [oid(id.content)] : [];
    }),
  };
}

function publicKeyProblem(content: Uint8Array): KindProblem | undefined {
  const [algorithm, bits] = elementsIn(content) ?? [];
  const problem = algorithmProblem(algorithm);
  const id = algorithm && elementsIn(algorithm.content)?.[0];
  if (problem || !id || oid(id.content) !== RSA || !bits) return problem;
  // After the count of unused bits: modulus and exponent.
  const modulus = children(bits.content.subarray(1))?.[0]?.content;
  const size = modulus === undefined ? 2048 : bitLength(modulus);
  return size < 2048 || size > 8192 ? keyProblem(`an RSA key of ${size} bits`) : undefined;
}

function algorithmProblem(algorithm: Element | undefined): KindProblem | undefined {
  const [id, parameters] = algorithm ? elementsIn(algorithm.content) ?? [] : [];
  if (id === undefined) return undefined;
  const kind = oid(id.content);
  if (kind === RSA || kind === ED25519) return undefined;
  return kind === EC
    ? curveProblem(parameters)
    : keyProblem(NAMES[kind] ?? `a key of kind ${kind}`);
}

function curveProblem(parameters: Element | undefined): KindProblem | undefined {
  if (parameters === undefined) return undefined;
  if (parameters.tag !== 0x06) return keyProblem("a key on a curve with explicit parameters");
  const curve = oid(parameters.content);
  if (TAKEN_CURVES.has(curve)) return undefined;
  const family = curve.startsWith("1.3.36.3.3.2.8.1.1.") ? "a Brainpool curve" : `curve ${curve}`;
  return keyProblem(NAMES[curve] ?? `a key on ${family}`);
}

function keyProblem(what: string): KindProblem {
  return { what, rule: KEY_RULE, needsKey: true };
}

function bitLength(integer: Uint8Array): number {
  const first = integer.findIndex((byte) => byte !== 0);
  if (first < 0) return 0;
  return (integer.length - first - 1) * 8 + 32 - Math.clz32(integer[first]!);
}
