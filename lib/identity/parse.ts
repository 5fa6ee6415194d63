/**
 * The device's identity: the three PEM files, read and checked before anything is connected.
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
  readonly cert: string;
  readonly key: string;
  readonly keyPassphraseFile: string | undefined;
}

/** The texts of those files. */
export interface IdentityTexts {
  readonly ca: readonly { readonly path: string; readonly text: string }[];
  readonly cert: string;
  readonly key: string;
  /** First line of the passphrase file. */
  readonly passphrase: string | undefined;
}

/** A checked identity, ready for TLS. */
export interface Identity {
  /** PEM, leaf first. */
  readonly certPem: string;
  /** PEM, decrypted. Never print it. */
  readonly keyPem: string;
  /** PEM, one text a certificate; empty: the public roots. */
  readonly caPems: readonly string[];
  /** Files the CA came from, for errors. */
  readonly caFiles: readonly string[];
  readonly authorities: readonly AuthorityFacts[];
  /** File the certificate came from, for errors. */
  readonly certFile: string;
  readonly facts: CertificateFacts;
}

/**
 * Checks the texts and makes an identity of them, whatever its dates, which are validity.ts's business.
 *
 * @throws {UserError} With exit code 78: what was seen, and what to do.
 */
export function inspectIdentity(files: IdentityFiles, texts: IdentityTexts): Identity {
  const parsed = parseIdentity(files, texts);
  checkKey(files, parsed);
  return identityOf(files, parsed);
}

/** What the files hold, read and not yet held against each other. */
export interface ParsedIdentity {
  readonly chain: readonly X509Certificate[];
  readonly key: KeyObject;
  readonly ca: readonly X509Certificate[];
  /** Of the device's certificate. */
  readonly facts: CertificateFacts;
}

/** Reads certificates and key. @throws {UserError} With exit code 78. */
export function parseIdentity(files: IdentityFiles, texts: IdentityTexts): ParsedIdentity {
  const chain = certificatesOf("device certificate", files.cert, texts.cert, "--cert");
  const leaf = certificateProblem(chain[0]!.raw);
  if (leaf) throw unfit("device certificate", files.cert, leaf, files, chain[0]!);
  const key = privateKeyOf(files, texts, chain[0]!);
  const ca = texts.ca.flatMap(({ path, text }) =>
    certificatesOf("CA certificate", path, text, "--ca").map((x509) => {
      if (!x509.ca && x509.subject !== x509.issuer) throw notACa(path, factsOf(x509));
      return x509;
    })
  );
  checkAuthorities(files, ca);
  return { chain, key, ca, facts: factsOf(chain[0]!) };
}

/** @throws {UserError} With exit code 78 if the key is not the certificate's. */
export function checkKey(files: IdentityFiles, { chain, key }: ParsedIdentity): void {
  if (!chain[0]!.checkPrivateKey(key)) throw mismatch(files, chain, key);
}

/** The identity of what was parsed, ready for TLS. */
export function identityOf(
  files: IdentityFiles,
  { chain, key, ca, facts }: ParsedIdentity,
): Identity {
  return {
    // Written anew: TLS knows no label but CERTIFICATE, and passes others over in silence.
    certPem: chain.map((x509) => x509.toString()).join(""),
    keyPem: key.export({ type: "pkcs8", format: "pem" }) as string,
    caPems: ca.map((x509) => x509.toString()),
    caFiles: files.ca,
    authorities: authoritiesOf(ca),
    certFile: files.cert,
    facts,
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

function privateKeyOf(
  files: IdentityFiles,
  texts: IdentityTexts,
  leaf: X509Certificate,
): KeyObject {
  const path = quote(files.key);
  const block = pemBlocks(texts.key).find(({ label }) => /PRIVATE KEY$/.test(label));
  if (block === undefined) {
    const swapped = texts.key.includes("BEGIN CERTIFICATE-----")
      ? "; certificate and key look swapped"
      : "";
    throw fileError(
      "wrong-file",
      `Cannot use device key ${path}: no private key in it: ${describeBlocks(texts.key)}${swapped}`,
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
    throw unfit("device key", files.key, { ...problem, what: `is ${problem.what}` }, files, leaf);
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
        `Cannot decrypt device key ${path} with the passphrase in ${
          quote(files.keyPassphraseFile)
        }`,
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
function checkAuthorities(files: IdentityFiles, ca: readonly X509Certificate[]): void {
  const problems = ca.map((x509) => authorityProblem(x509.raw));
  if (ca.length === 0 || problems.includes(undefined)) return;
  throw fileError(
    "unfit-certificate",
    `Cannot use CA certificate ${quote(files.ca[0])}: it ${problems[0]!.what}, and ${
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
  files: IdentityFiles,
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

function mismatch(
  files: IdentityFiles,
  chain: readonly X509Certificate[],
  key: KeyObject,
): UserError {
  const other = chain.findIndex((x509) => x509.checkPrivateKey(key));
  if (other > 0) {
    return fileError(
      "key-mismatch",
      `Cannot use device certificate ${quote(files.cert)}: the key fits certificate ${
        other + 1
      } in it, not the first`,
      "put the device's own certificate first, then its chain",
    );
  }
  return fileError(
    "key-mismatch",
    `Cannot use device key ${quote(files.key)}: it does not match the certificate in ${
      quote(files.cert)
    } (${describeCertificate(factsOf(chain[0]!))})`,
    "use the two files that were downloaded together, or make a new certificate",
  );
}

function notACa(path: string, facts: CertificateFacts): UserError {
  return fileError(
    "wrong-file",
    `Cannot use CA certificate ${quote(path)}: it is no CA's certificate (${
      describeCertificate(facts)
    })`,
    "download AmazonRootCA1.pem, or the CA that signed the broker's certificate, and pass --ca PATH",
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
