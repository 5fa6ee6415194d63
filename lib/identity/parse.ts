/**
 * The device's identity: the three PEM files, or a password in place of certificate and key, and what a proxy is told;
 * all of it read and checked before anything is connected.
 *
 * `node:tls` says of a pair that it will not take only "unsupported protocol", so nothing goes to TLS that has not passed
 * here; what it takes is key_kinds.ts's business. {@linkcode inspectIdentity} is pure. The only file that imports
 * `node:crypto`. Key material leaves only in {@linkcode Identity}, never in an error.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import {
  type AuthorityFacts,
  type CertificateFacts,
  describeCertificate,
  fileError,
} from "./certificate.ts";
import { messageOf, type UserError } from "../core/errors.ts";
import {
  authorityProblem,
  certificateProblem,
  type KindProblem,
  privateKeyProblem,
} from "./key_kinds.ts";
import { derOf, describeBlocks, isCutShort, pemBlocks } from "./pem.ts";
import { quote, shellWord } from "../core/text.ts";

/** The files of an identity. */
export interface IdentityFiles {
  /** Empty: the public roots vouch for the endpoint. */
  readonly ca: readonly string[];
  /** Undefined, as the key: a user name and password stand in for them. */
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
  /** PEM, leaf first; undefined, as the key, where a password stands in for them. */
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
  /** PEM, who may vouch for the proxy; empty: the public roots. */
  readonly proxyCaPems: readonly string[];
}

/**
 * Checks the texts and makes an identity of them, whatever its dates, which are validity.ts's business.
 *
 * @throws {UserError} With exit code 78: what was seen, and what to do.
 */
export function inspectIdentity(files: IdentityFiles, texts: IdentityTexts): Identity {
  const parsed = parseIdentity(files, texts);
  checkKey(parsed);
  return identityOf(files, parsed);
}

/** What the files hold, read and not yet held against each other. */
export interface ParsedIdentity {
  /** Undefined where a password stands in for it. */
  readonly device: ParsedDevice | undefined;
  readonly ca: readonly X509Certificate[];
  readonly password: string | undefined;
  readonly proxyAuth: string | undefined;
  readonly proxyCa: readonly X509Certificate[];
}

/** Certificate and key of the device. */
export interface ParsedDevice {
  readonly cert: string;
  readonly chain: readonly X509Certificate[];
  readonly key: KeyObject;
  readonly keyFile: string;
  readonly facts: CertificateFacts;
}

/** Reads certificates and key. @throws {UserError} With exit code 78. */
export function parseIdentity(files: IdentityFiles, texts: IdentityTexts): ParsedIdentity {
  const device = deviceOf(files, texts);
  const ca = texts.ca.flatMap(({ path, text }) => rootsOf("CA certificate", path, text, "--ca"));
  checkAuthorities(files.ca, ca);
  const { proxyCa: path } = files;
  const proxyCa = path === undefined
    ? []
    : rootsOf("CA certificate of the proxy", path, texts.proxyCa!, "--proxy-ca");
  if (path !== undefined) checkAuthorities([path], proxyCa);
  const { password, proxyAuth } = texts;
  if (proxyAuth !== undefined && !/^[^:]+:/.test(proxyAuth)) {
    throw fileError(
      "wrong-file",
      `Cannot use user and password for the proxy ${
        quote(files.proxyAuthFile)
      }: its first line is not user:password`,
      "write the user, a colon and the password in one line; they are used as they stand",
    );
  }
  return { device, ca, password, proxyAuth, proxyCa };
}

function deviceOf(files: IdentityFiles, texts: IdentityTexts): ParsedDevice | undefined {
  const { cert, key: keyFile } = files;
  if (cert === undefined || keyFile === undefined) return undefined;
  const chain = certificatesOf("device certificate", cert, texts.cert!, "--cert");
  const pair = { cert, key: keyFile };
  const leaf = certificateProblem(chain[0]!.raw);
  if (leaf) throw unfit("device certificate", cert, leaf, pair, chain[0]!);
  const key = privateKeyOf(files, pair, texts, chain[0]!);
  return { cert, keyFile, chain, key, facts: factsOf(chain[0]!) };
}

/** @throws {UserError} With exit code 78 if the key is not the certificate's. */
export function checkKey({ device }: ParsedIdentity): void {
  if (device && !device.chain[0]!.checkPrivateKey(device.key)) throw mismatch(device);
}

/** The identity of what was parsed, ready for TLS. */
export function identityOf(
  files: IdentityFiles,
  { device, ca, password, proxyAuth, proxyCa }: ParsedIdentity,
): Identity {
  // Written anew: TLS knows no label but CERTIFICATE, and passes others over in silence.
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

/** What the CA certificates say of themselves. */
export function authoritiesOf(ca: readonly X509Certificate[]): AuthorityFacts[] {
  return ca.map((x509) => ({ ...factsOf(x509), isCa: x509.ca }));
}

function certificatesOf(what: string, path: string, text: string, flag: string): X509Certificate[] {
  const blocks = pemBlocks(text).filter(({ label }) =>
    /^(X509 |TRUSTED )?CERTIFICATE$/.test(label)
  );
  if (blocks.length === 0) {
    const swapped = /PRIVATE KEY/.test(text) ? "; certificate and key look swapped" : "";
    throw fileError(
      "wrong-file",
      `Cannot use ${what} ${quote(path)}: no certificate in it: ${describeBlocks(text)}${swapped}`,
      `copy it again, or name the right file with ${flag} PATH`,
    );
  }
  if (isCutShort(text)) {
    throw fileError(
      "wrong-file",
      `Cannot use ${what} ${quote(path)}: a PEM block in it is cut short`,
      "copy the file again from where the certificate was made",
    );
  }
  return blocks.map((block) => {
    try {
      return new X509Certificate(block.text);
    } catch (cause) {
      throw fileError(
        "wrong-file",
        `Cannot use ${what} ${quote(path)}: its certificate is damaged (${messageOf(cause)})`,
        "copy the file again from where the certificate was made",
        cause,
      );
    }
  });
}

/** CA certificates in a file. */
function rootsOf(what: string, path: string, text: string, flag: string): X509Certificate[] {
  return certificatesOf(what, path, text, flag).map((x509) => {
    if (!x509.ca && x509.subject !== x509.issuer) throw notACa(what, path, flag, factsOf(x509));
    return x509;
  });
}

function privateKeyOf(
  { keyPassphraseFile }: IdentityFiles,
  pair: { cert: string; key: string },
  texts: IdentityTexts,
  leaf: X509Certificate,
): KeyObject {
  const path = quote(pair.key);
  const text = texts.key!;
  const block = pemBlocks(text).find(({ label }) => /PRIVATE KEY$/.test(label));
  if (block === undefined) {
    const swapped = text.includes("BEGIN CERTIFICATE-----")
      ? "; certificate and key look swapped"
      : "";
    throw fileError(
      "wrong-file",
      `Cannot use device key ${path}: no private key in it: ${describeBlocks(text)}${swapped}`,
      "name the private key that came with the certificate with --key PATH",
    );
  }
  const encrypted = block.label.startsWith("ENCRYPTED") ||
    /^Proc-Type:.*ENCRYPTED/m.test(block.text);
  if (encrypted && texts.passphrase === undefined) {
    throw fileError(
      "wrong-passphrase",
      `Cannot use device key ${path}: it is encrypted and no passphrase is given`,
      "put the passphrase in a file (chmod 600) and pass --key-passphrase-file PATH",
    );
  }
  const problem = encrypted ? undefined : privateKeyProblem(block.label, derOf(block));
  if (problem) {
    throw unfit("device key", pair.key, { ...problem, what: `is ${problem.what}` }, pair, leaf);
  }
  try {
    return createPrivateKey({
      key: block.text,
      ...(encrypted && { passphrase: texts.passphrase! }),
    });
  } catch (cause) {
    // The cause's text is not shown: it may quote what it could not parse.
    throw encrypted
      ? fileError(
        "wrong-passphrase",
        `Cannot decrypt device key ${path} with the passphrase in ${quote(keyPassphraseFile)}`,
        "correct the first line of that file; it is used as it stands, without its line end",
        cause,
      )
      : fileError(
        "wrong-file",
        `Cannot use device key ${path}: its ${block.label.toLowerCase()} block is damaged`,
        "copy the key again; `openssl pkey -noout -in FILE` must accept it",
        cause,
      );
  }
}

/** A CA whose signatures cannot be checked does no harm beside others; alone it makes every server a stranger. */
function checkAuthorities(paths: readonly string[], ca: readonly X509Certificate[]): void {
  const problems = ca.map((x509) => authorityProblem(x509.raw));
  if (ca.length === 0 || problems.includes(undefined)) return;
  throw fileError(
    "unfit-certificate",
    `Cannot use CA certificate ${quote(paths[0])}: it ${problems[0]!.what}, and ${
      problems[0]!.rule
    }: no signature of this CA can be checked`,
    "have the broker's certificate signed by a CA with another key, made with `openssl req -x509 " +
      "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout CA.key -out CA.pem -days 3650 -subj /CN=CA`",
  );
}

/** The error about what TLS will not take: the way out is another certificate, and with some another key. */
function unfit(
  what: string,
  path: string,
  problem: KindProblem,
  files: { cert: string; key: string },
  leaf: X509Certificate,
): UserError {
  const request = shellWord(`${files.cert}.csr`);
  const name = /^CN=(.*)$/m.exec(leaf.subject)?.[1] ?? "gateway";
  const ask = problem.needsKey
    ? "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes " +
      `-keyout ${shellWord(`${files.key}.new`)} -out ${request} -subj ${
        shellWord(`/CN=${name.replace(/[\\/+]/g, "\\$&")}`)
      }`
    : `openssl x509 -x509toreq -in ${shellWord(files.cert)} -signkey ${
      shellWord(files.key)
    } -out ${request}`;
  return fileError(
    "unfit-certificate",
    `Cannot use ${what} ${quote(path)}: it ${problem.what}, and ${problem.rule}`,
    `make a request with \`${ask}\`, and where the CA's key is sign it with \`echo basicConstraints=CA:FALSE | ` +
      `openssl x509 -req -in ${request} -CA CA.pem -CAkey CA.key -CAcreateserial -days 365 -extfile /dev/stdin ` +
      `-out ${shellWord(`${files.cert}.new`)}\`; then put what is new in place`,
  );
}

function mismatch({ cert, keyFile, chain, key, facts }: ParsedDevice): UserError {
  const other = chain.findIndex((x509) => x509.checkPrivateKey(key));
  if (other > 0) {
    return fileError(
      "key-mismatch",
      `Cannot use device certificate ${quote(cert)}: the key fits certificate ${
        other + 1
      } in it, not the first`,
      "put the device's own certificate first, then its chain",
    );
  }
  return fileError(
    "key-mismatch",
    `Cannot use device key ${quote(keyFile)}: it does not match the certificate in ${
      quote(cert)
    } (${describeCertificate(facts)})`,
    "use the two files that were downloaded together, or make a new certificate",
  );
}

function notACa(what: string, path: string, flag: string, facts: CertificateFacts): UserError {
  return fileError(
    "wrong-file",
    `Cannot use ${what} ${quote(path)}: it is no CA's certificate (${describeCertificate(facts)})`,
    flag === "--ca"
      ? "download AmazonRootCA1.pem, or the CA that signed the broker's certificate, and pass --ca PATH"
      : `ask who runs the proxy which CA signed its certificate, and pass ${flag} PATH`,
  );
}

function factsOf(x509: X509Certificate): CertificateFacts {
  return {
    subject: joined(x509.subject),
    issuer: joined(x509.issuer),
    validFrom: new Date(x509.validFrom),
    validTo: new Date(x509.validTo),
    fingerprint: x509.fingerprint256,
  };
}

function joined(name: string | undefined): string {
  return (name ?? "").split("\n").join(", ");
}
