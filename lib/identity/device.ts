/** Reads the device's certificate and private key, and checks that TLS accepts them. Pure. */

import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import type { UserError } from "../core/errors.ts";
import { quote, shellWord } from "../core/text.ts";
import {
  cannotUse,
  type CertificateFacts,
  describeCertificate,
  fileError,
  type NamedFile,
} from "./certificate.ts";
import { certificatesIn, factsOf } from "./pem_certificates.ts";
import { certificateProblem, type KindProblem, privateKeyProblem } from "./key_kinds.ts";
import { type Encryption, encryptionOf } from "./key_encryption.ts";
import { derOf, describeBlocks, type PemBlock, pemBlocks } from "./pem.ts";
import { refuseForm, REPLACE } from "./pem_file.ts";

/** Certificate and key of the device. */
export interface ParsedDevice {
  /** File of the certificate. */
  readonly cert: string;
  /** File of the key. */
  readonly keyFile: string;
  /** Leaf first. */
  readonly chain: readonly X509Certificate[];
  readonly key: KeyObject;
  readonly facts: CertificateFacts;
}

/** The files, and what they hold. */
export interface DeviceFiles {
  readonly cert: string;
  readonly key: string;
  readonly certText: string;
  readonly keyText: string;
  readonly passphraseFile: string | undefined;
  readonly passphrase: string | undefined;
}

/** A file in an error. */
type Named = Pick<NamedFile, "what" | "path">;

/** Reads certificate and key; whether they belong together is not checked yet. @throws {UserError} */
export function parseDevice(files: DeviceFiles): ParsedDevice {
  const file = { what: "device certificate", path: files.cert, flag: "--cert" };
  const chain = certificatesIn(file, files.certText);
  const leaf = chain[0]!;
  const problem = certificateProblem(leaf.raw);
  if (problem) throw unfit(file, problem, files, leaf);
  const key = privateKeyOf(files, leaf);
  return { cert: files.cert, keyFile: files.key, chain, key, facts: factsOf(leaf) };
}

function privateKeyOf(files: DeviceFiles, leaf: X509Certificate): KeyObject {
  const file = { what: "device key", path: files.key };
  const { keyText: text, passphrase } = files;
  const block = pemBlocks(text).find(({ label }) => /PRIVATE KEY$/.test(label));
  if (block === undefined) {
    refuseForm(file, text);
    const isSwapped = text.includes("BEGIN CERTIFICATE-----");
    const swapped = isSwapped ? "; certificate and key look swapped" : "";
    throw cannotUse(
      "wrong-file",
      file,
      `no private key in it: ${describeBlocks(text)}${swapped}`,
      "name the private key that came with the certificate with --key PATH",
    );
  }
  const encryption = encryptionOf(block);
  const isEncrypted = encryption !== undefined;
  if (block.label === "OPENSSH PRIVATE KEY") throw ofOpenSsh(file);
  if (encryption === "damaged") throw damaged(file, block);
  if (encryption?.unknown !== undefined) throw cannotDecrypt(files, encryption);
  if (isEncrypted && passphrase === undefined) {
    throw cannotUse(
      "wrong-passphrase",
      file,
      "it is encrypted and no passphrase is given",
      "put the passphrase in a file (chmod 600) and pass --key-passphrase-file PATH",
    );
  }
  const problem = isEncrypted ? undefined : privateKeyProblem(block.label, derOf(block));
  if (problem) throw unfit(file, { ...problem, what: `is ${problem.what}` }, files, leaf);
  try {
    return createPrivateKey({
      key: block.text,
      ...(isEncrypted && { passphrase: passphrase! }),
    });
  } catch (cause) {
    // The cause's message is not shown: it may quote the key.
    throw isEncrypted
      ? fileError(
        "wrong-passphrase",
        `Cannot decrypt device key ${quote(files.key)} with the passphrase in ${
          quote(files.passphraseFile)
        }`,
        "correct the first line of that file; it is used as it stands, without its line end",
        cause,
      )
      : damaged(file, block, cause);
  }
}

function damaged(file: Named, { label }: PemBlock, cause?: unknown): UserError {
  const problem = `its ${label.toLowerCase()} block is damaged`;
  const hint = "copy the key again; `openssl pkey -noout -in FILE` must accept it";
  return cannotUse("wrong-file", file, problem, hint, cause);
}

function ofOpenSsh(file: Named): UserError {
  const copy = shellWord(`${file.path}.new`);
  const command = `cp ${shellWord(file.path)} ${copy} && ssh-keygen -p -m PEM -f ${copy}`;
  const problem = "it is in the format of OpenSSH";
  return cannotUse("wrong-file", file, problem, `convert it with \`${command}\`, ${REPLACE}`);
}

function cannotDecrypt(
  { key, passphraseFile }: DeviceFiles,
  { unknown, options }: Encryption,
): UserError {
  // Of one file that is named for both, OpenSSL reads two lines.
  const pass = passphraseFile === undefined
    ? ""
    : `-passin ${shellWord(`file:${passphraseFile}`)} -passout stdin <${
      shellWord(passphraseFile)
    } `;
  return cannotUse(
    "key-encryption",
    { what: "device key", path: key },
    `it is encrypted with ${unknown}, which cannot be decrypted here, whatever the passphrase`,
    `encrypt it with AES: \`openssl pkey -aes256 ${options}-in ${shellWord(key)} ${pass}` +
      `-out ${shellWord(`${key}.new`)}\`, ${REPLACE}`,
  );
}

/** The error about a pair that TLS refuses, with the openssl lines that make an accepted one. */
function unfit(
  file: Named,
  problem: KindProblem,
  { cert, key }: DeviceFiles,
  leaf: X509Certificate,
): UserError {
  const request = shellWord(`${cert}.csr`);
  const name = (/^CN=(.*)$/m.exec(leaf.subject)?.[1] ?? "gateway").replace(/[\\/+]/g, "\\$&");
  const ask = problem.needsKey
    ? "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes " +
      `-keyout ${shellWord(`${key}.new`)} -out ${request} -subj ${shellWord(`/CN=${name}`)}`
    : `openssl x509 -x509toreq -in ${shellWord(cert)} -signkey ${shellWord(key)} -out ${request}`;
  return cannotUse(
    "unfit-certificate",
    file,
    `it ${problem.what}, and ${problem.rule}`,
    `make a request with \`${ask}\`, and where the CA's key is sign it with \`echo basicConstraints=CA:FALSE | ` +
      `openssl x509 -req -in ${request} -CA CA.pem -CAkey CA.key -CAcreateserial -days 365 -extfile /dev/stdin ` +
      `-out ${shellWord(`${cert}.new`)}\`; then put the new files in place`,
  );
}

/** Checks that the key belongs to the certificate. @throws {UserError} */
export function checkPair({ cert, keyFile, chain, key, facts }: ParsedDevice): void {
  const at = chain.findIndex((x509) => x509.checkPrivateKey(key));
  if (at === 0) return;
  throw at > 0
    ? cannotUse(
      "key-mismatch",
      { what: "device certificate", path: cert },
      `the key fits certificate ${at + 1} in it, not the first`,
      "put the device's own certificate first, then its chain",
    )
    : cannotUse(
      "key-mismatch",
      { what: "device key", path: keyFile },
      `it does not match the certificate in ${quote(cert)} (${describeCertificate(facts)})`,
      "use the two files that were downloaded together, or make a new certificate",
    );
}
