/**
 * The device's identity: certificate and key, or a password in their place, and the credentials for a proxy, all read
 * and checked before anything connects.
 *
 * `node:tls` says only "unsupported protocol" of a pair that it refuses, so key_kinds.ts checks every pair first. Key
 * material leaves only in {@linkcode Identity}, never in an error. Pure.
 */

import type { X509Certificate } from "node:crypto";
import { type AuthorityFacts, cannotUse, type CertificateFacts } from "./certificate.ts";
import { authoritiesIn, authoritiesOf } from "./pem_certificates.ts";
import { checkPair, type ParsedDevice, parseDevice } from "./device.ts";

/** The files of an identity. */
export interface IdentityFiles {
  /** Empty: the public roots are trusted. */
  readonly ca: readonly string[];
  /** Undefined, like the key, where a user name and password take their place. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly keyPassphraseFile: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly proxyAuthFile?: string | undefined;
  readonly proxyCa?: string | undefined;
}

/** The texts of those files. */
export interface IdentityTexts {
  readonly ca: readonly { readonly path: string; readonly text: string }[];
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** First line of the passphrase file. */
  readonly passphrase: string | undefined;
  /** First line of the MQTT password's file. */
  readonly password?: string | undefined;
  /** First line of the file for the proxy. */
  readonly proxyAuth?: string | undefined;
  readonly proxyCa?: string | undefined;
}

/** A checked identity, ready for TLS. */
export interface Identity {
  /** PEM, leaf first; undefined, like the key, where a password takes their place. */
  readonly certPem: string | undefined;
  /** PEM, decrypted. Never print it. */
  readonly keyPem: string | undefined;
  /** PEM, one text a certificate; empty: the public roots. */
  readonly caPems: readonly string[];
  /** Files the CA came from, for errors. */
  readonly caFiles: readonly string[];
  readonly authorities: readonly AuthorityFacts[];
  /** File the certificate came from, for errors. */
  readonly certFile: string | undefined;
  readonly facts: CertificateFacts | undefined;
  /** MQTT password. Never print it. */
  readonly password: string | undefined;
  /** `user:password` for the proxy. Never print it. */
  readonly proxyAuth: string | undefined;
  /** PEM, the CA certificates for the proxy; empty: the public roots. */
  readonly proxyCaPems: readonly string[];
}

/**
 * Checks the texts and makes an identity of them, whatever its dates: validity.ts judges those.
 *
 * @throws {UserError} With exit code 78.
 */
export function inspectIdentity(files: IdentityFiles, texts: IdentityTexts): Identity {
  const parsed = parseIdentity(files, texts);
  checkKey(parsed);
  return identityOf(files, parsed);
}

/** The contents of the files, not yet compared with each other. */
export interface ParsedIdentity {
  /** Undefined where a password takes its place. */
  readonly device: ParsedDevice | undefined;
  readonly ca: readonly X509Certificate[];
  readonly password: string | undefined;
  readonly proxyAuth: string | undefined;
  readonly proxyCa: readonly X509Certificate[];
}

/** Reads certificates and key. @throws {UserError} With exit code 78. */
export function parseIdentity(files: IdentityFiles, texts: IdentityTexts): ParsedIdentity {
  const { cert, key, proxyCa: proxyCaFile } = files;
  const device = cert === undefined || key === undefined ? undefined : parseDevice({
    cert,
    key,
    certText: texts.cert!,
    keyText: texts.key!,
    passphraseFile: files.keyPassphraseFile,
    passphrase: texts.passphrase,
  });
  const ca = authoritiesIn(
    texts.ca.map((file) => ({ ...file, what: "CA certificate", flag: "--ca" })),
  );
  const proxyCa = proxyCaFile === undefined ? [] : authoritiesIn([{
    what: "CA certificate of the proxy",
    path: proxyCaFile,
    flag: "--proxy-ca",
    text: texts.proxyCa!,
  }]);
  const { password, proxyAuth } = texts;
  if (proxyAuth !== undefined && !/^[^:]+:/.test(proxyAuth)) {
    throw cannotUse(
      "wrong-file",
      { what: "user and password for the proxy", path: files.proxyAuthFile! },
      "its first line is not user:password",
      "write the user, a colon and the password in one line; they are used as they stand",
    );
  }
  return { device, ca, password, proxyAuth, proxyCa };
}

/** Checks that the key belongs to the certificate. @throws {UserError} With exit code 78. */
export function checkKey({ device }: ParsedIdentity): void {
  if (device) checkPair(device);
}

/** The identity, ready for TLS. */
export function identityOf(
  files: IdentityFiles,
  { device, ca, password, proxyAuth, proxyCa }: ParsedIdentity,
): Identity {
  // Written anew: TLS silently ignores blocks with another label than CERTIFICATE.
  const pems = (list: readonly X509Certificate[]) => list.map((x509) => x509.toString());
  return {
    certPem: device && pems(device.chain).join(""),
    keyPem: device && device.key.export({ type: "pkcs8", format: "pem" }) as string,
    caPems: pems(ca),
    caFiles: files.ca,
    authorities: authoritiesOf(ca),
    certFile: device?.cert,
    facts: device?.facts,
    password,
    proxyAuth,
    proxyCaPems: pems(proxyCa),
  };
}
