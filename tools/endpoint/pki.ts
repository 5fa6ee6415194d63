/**
 * A throw-away public key infrastructure: a certificate authority, a server certificate and a device
 * certificate, and as many further ones as a test wants, good or wrong on purpose.
 *
 * Rules: keys exist in memory only; cert_files.ts writes them where somebody asked for it. Nothing
 * made here is ever committed.
 */

import "./reflect.ts";
import { createPrivateKey } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(crypto);

const DAY_MS = 86_400_000;

/** Kind of key pair. RSA has 2048 bits, EC is on P-256, as the AWS console hands them out. */
export type KeyType = "ec" | "rsa";

/** A certificate with its private key. */
export interface Pair {
  /** PEM, leaf first, followed by the intermediate authorities if there are any. */
  readonly cert: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
}

/** What the endpoint and its clients need to meet. */
export interface Certificates {
  /** PEM of the root that vouches for the server and for the devices. */
  readonly ca: string;
  /** What the server presents. */
  readonly server: Pair;
  /** What a well-meaning device presents. */
  readonly device: Pair;
}

/** Certificates together with the authority that can issue more of them. */
export interface Pki extends Certificates {
  /** Issues further certificates. */
  readonly authority: Authority;
}

/** How long a certificate is valid, and with what key. */
export interface Validity {
  /** @default now minus one day */
  readonly validFrom?: Date;
  /** @default now plus 90 days */
  readonly validTo?: Date;
  /** @default "ec" */
  readonly keyType?: KeyType;
}

/** What {@linkcode makeAuthority} can be told. */
export interface AuthorityOptions extends Validity {
  /** Common name. @default "mqtt443 throw-away CA" */
  readonly commonName?: string;
  /** The authority above this one; without it, it is a root. */
  readonly issuer?: Authority;
}

/** What {@linkcode Authority.issue} can be told. */
export interface IssueOptions extends Validity {
  /** Host names and IP addresses for the subject alternative name. @default none */
  readonly names?: readonly string[];
}

/** A certificate authority. */
export interface Authority {
  /** Its own certificate, PEM. */
  readonly cert: string;
  /** The PEM between a leaf and the root: empty for a root, itself first for an intermediate. */
  readonly chain: string;
  /** Make a key pair and certify it. */
  issue(commonName: string, options?: IssueOptions): Promise<Pair>;
  /** Certify a public key. For {@linkcode makeAuthority}. */
  certify(
    commonName: string,
    publicKey: CryptoKey,
    extensions: x509.Extension[],
    validity: Validity,
  ): Promise<string>;
}

/** What {@linkcode makePki} can be told. */
export interface PkiOptions {
  /** Common name of the device certificate. @default "gw-7" */
  readonly device?: string;
  /** Names of the server besides localhost, 127.0.0.1 and ::1. */
  readonly names?: readonly string[];
  /** Kind of the server's and the device's key. @default "ec" */
  readonly keyType?: KeyType;
}

/** Make a root, a server certificate for this machine and a device certificate. */
export async function makePki(options: PkiOptions = {}): Promise<Pki> {
  const authority = await makeAuthority();
  const keyType = options.keyType ?? "ec";
  const names = ["localhost", "127.0.0.1", "::1", ...options.names ?? []];
  const [server, device] = await Promise.all([
    authority.issue(names[0] ?? "localhost", { names, keyType }),
    authority.issue(options.device ?? "gw-7", { keyType }),
  ]);
  return { authority, ca: authority.cert, server, device };
}

/** Make a certificate authority: a root, or an intermediate below `issuer`. */
export async function makeAuthority(options: AuthorityOptions = {}): Promise<Authority> {
  const keys = await makeKeys(options.keyType);
  const subject = nameOf(options.commonName ?? "mqtt443 throw-away CA");
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const extensions = [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(usage, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
  const sign = async (
    subjectName: x509.JsonName,
    publicKey: CryptoKey,
    more: x509.Extension[],
    validity: Validity,
  ) => {
    const cert = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: subjectName,
      issuer: subject,
      notBefore: validity.validFrom ?? new Date(Date.now() - DAY_MS),
      notAfter: validity.validTo ?? new Date(Date.now() + 90 * DAY_MS),
      publicKey,
      signingKey: keys.privateKey,
      extensions: [...more, await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey)],
    });
    return cert.toString("pem") + "\n";
  };
  const certify: Authority["certify"] = (
    commonName,
    publicKey,
    more,
    validity,
  ) => sign(nameOf(commonName), publicKey, more, validity);

  const cert = options.issuer === undefined
    ? await sign(subject, keys.publicKey, extensions, options)
    : await options.issuer.certify(
      options.commonName ?? "mqtt443 throw-away CA",
      keys.publicKey,
      extensions,
      options,
    );
  const chain = options.issuer === undefined ? "" : cert + options.issuer.chain;
  return {
    cert,
    chain,
    certify,
    async issue(commonName, leaf = {}) {
      const leafKeys = await makeKeys(leaf.keyType);
      const leafCert = await certify(
        commonName,
        leafKeys.publicKey,
        leafExtensions(leaf.names ?? []),
        leaf,
      );
      const der = await crypto.subtle.exportKey("pkcs8", leafKeys.privateKey);
      const key = x509.PemConverter.encode(der, "PRIVATE KEY") + "\n";
      return { cert: leafCert + chain, key };
    },
  };
}

function leafExtensions(names: readonly string[]): x509.Extension[] {
  const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags;
  const purposes = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(digitalSignature | keyEncipherment, true),
    new x509.ExtendedKeyUsageExtension(purposes),
  ];
  if (names.length > 0) {
    extensions.push(
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({
        type: /^[\d.]+$|:/.test(value) ? "ip" as const : "dns" as const,
        value,
      }))),
    );
  }
  return extensions;
}

function makeKeys(keyType: KeyType = "ec"): Promise<CryptoKeyPair> {
  const algorithm = keyType === "ec" ? { name: "ECDSA", namedCurve: "P-256" } : {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

function nameOf(commonName: string): x509.JsonName {
  return [{ CN: [commonName] }];
}

function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  // A serial number is positive and its first byte must not be padding (RFC 5280, 4.1.2.2).
  bytes[0] = (bytes[0] ?? 0) & 0x3f | 0x40;
  return bytes.toHex();
}

/** How a private key is written down as PEM. */
export type KeyFormat = "pkcs8" | "pkcs1" | "sec1" | "encrypted";

/**
 * Write a PKCS#8 PEM key in another format.
 *
 * @param pem The key, as PKCS#8 PEM.
 * @param format `pkcs1` is for RSA keys only, `sec1` for EC keys only.
 * @param passphrase Needed by `encrypted`, which is PKCS#8 under AES-256-CBC.
 * @throws {TypeError} If `encrypted` is asked for without a passphrase.
 */
export function formatKey(pem: string, format: KeyFormat, passphrase?: string): string {
  const key = createPrivateKey(pem);
  if (format !== "encrypted") {
    return key.export({ type: format, format: "pem" }).toString();
  }
  if (passphrase === undefined) {
    throw new TypeError('Cannot write key as "encrypted": a passphrase is required');
  }
  return key.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase })
    .toString();
}
