/**
 * The shapes in which a private key reaches a device, so that tests can hand each of them to the
 * program. The key itself is made in pki.ts.
 */

import { createPrivateKey } from "node:crypto";

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
