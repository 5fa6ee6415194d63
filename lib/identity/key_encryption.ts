/**
 * How a private key is encrypted, and whether that can be decrypted here. Pure.
 *
 * Measured on Deno 2.9.6, `createPrivateKey` with the right passphrase, for all that `openssl pkcs8`, `genrsa`, `rsa`
 * and `ec` write: PBES2 with AES-CBC and scrypt or PBKDF2 over HMAC with SHA-2, and the older `Proc-Type` blocks with
 * AES-CBC or 3DES, are decrypted. All else is "unsupported", or "bad decrypt" as if the passphrase were wrong: PBES1,
 * SHA-1 in PBKDF2 (OpenSSL 1.0 wrote that), 3DES in PBES2 (`genrsa -des3`, `req -newkey` without `-nodes`).
 */

import { children, type Element, elementsIn, oid } from "./der.ts";
import { derOf, type PemBlock } from "./pem.ts";

const PBES2 = "1.2.840.113549.1.5.13";
const SCRYPT = "1.3.6.1.4.1.11591.4.11";
/** The default of PBKDF2, RFC 8018 appendix A.2. */
const SHA1 = "1.2.840.113549.2.7";
/** HMAC with SHA-224 to SHA-512, and AES-CBC with each size of key. */
const DECRYPTED = /^(1\.2\.840\.113549\.2\.([89]|1[01])|2\.16\.840\.1\.101\.3\.4\.1\.(2|22|42))$/;
/** Schemes and their parts that cannot be decrypted. */
const NAMES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.5.3": "DES with MD5 (PBES1)",
  "1.2.840.113549.1.5.6": "RC2 with MD5 (PBES1)",
  "1.2.840.113549.1.5.10": "DES with SHA-1 (PBES1)",
  "1.2.840.113549.1.5.11": "RC2 with SHA-1 (PBES1)",
  "1.2.840.113549.1.12.1.1": "RC4 (PBES1)",
  "1.2.840.113549.1.12.1.2": "RC4 (PBES1)",
  "1.2.840.113549.1.12.1.3": "3DES (PBES1)",
  "1.2.840.113549.1.12.1.4": "3DES with two keys (PBES1)",
  "1.2.840.113549.1.12.1.5": "RC2 (PBES1)",
  "1.2.840.113549.1.12.1.6": "RC2 (PBES1)",
  "1.2.840.113549.2.6": "PBKDF2 with MD5",
  [SHA1]: "PBKDF2 with SHA-1",
  "1.2.840.113549.3.2": "RC2 (PBES2)",
  "1.2.840.113549.3.7": "3DES (PBES2)",
  "1.3.14.3.2.7": "DES (PBES2)",
};

/** What `openssl` 3 reads with its provider `legacy` alone. */
const LEGACY = /^(DES|RC2|RC4|SEED|BF|IDEA|CAST)/;

/** A way of encryption. */
export interface Encryption {
  /** What cannot be decrypted here; undefined: it can be. */
  readonly unknown: string | undefined;
  /** Options that `openssl` needs to read it. */
  readonly options: string;
}

/** How the key in a block is encrypted; `damaged` where that cannot be read, undefined where it is not. */
export function encryptionOf(block: PemBlock): Encryption | "damaged" | undefined {
  if (/^Proc-Type:.*ENCRYPTED/m.test(block.text)) {
    const cipher = /^DEK-Info: *([\w-]+)/m.exec(block.text)?.[1] ?? "";
    if (cipher === "") return "damaged";
    return encryption(/^(AES-\d+-CBC|DES-EDE3-CBC)$/.test(cipher) ? undefined : cipher);
  }
  if (!block.label.startsWith("ENCRYPTED")) return undefined;
  const [algorithm, content] = children(derOf(block)) ?? [];
  const [scheme, parameters] = idAndParameters(algorithm);
  if (scheme === undefined || content?.tag !== 0x04) return "damaged";
  if (scheme !== PBES2) return encryption(NAMES[scheme] ?? `scheme ${scheme}`);
  const [derivation, cipher] = elementsIn(parameters?.content ?? new Uint8Array()) ?? [];
  const [kdf, details] = idAndParameters(derivation);
  const parts = [idAndParameters(cipher)[0] ?? "?"];
  if (kdf !== SCRYPT) {
    const prf = elementsIn(details?.content ?? new Uint8Array())?.find(({ tag }) => tag === 0x30);
    parts.push(prf === undefined ? SHA1 : idAndParameters(prf)[0] ?? "?");
  }
  const unknown = parts.find((part) => !DECRYPTED.test(part));
  return encryption(unknown && (NAMES[unknown] ?? `scheme ${unknown}`));
}

function encryption(unknown: string | undefined): Encryption {
  const isLegacy = unknown !== undefined && LEGACY.test(unknown);
  return { unknown, options: isLegacy ? "-provider legacy -provider default " : "" };
}

function idAndParameters(algorithm: Element | undefined): [id?: string, parameters?: Element] {
  const [id, parameters] = (algorithm && elementsIn(algorithm.content)) ?? [];
  if (id?.tag !== 0x06) return [];
  return parameters ? [oid(id.content), parameters] : [oid(id.content)];
}
