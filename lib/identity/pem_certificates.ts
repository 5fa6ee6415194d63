/** Reads the certificates of PEM files. Pure. */

import { X509Certificate } from "node:crypto";
import { messageOf, type UserError } from "../core/errors.ts";
import {
  type AuthorityFacts,
  cannotUse,
  type CertificateFacts,
  describeCertificate,
  type NamedFile,
} from "./certificate.ts";
import { authorityProblem } from "./key_kinds.ts";
import { describeBlocks, isCutShort, pemBlocks } from "./pem.ts";
import { refuseForm } from "./pem_file.ts";

/** The certificates in a file, in their order. @throws {UserError} If there is none, or one is damaged. */
export function certificatesIn(file: NamedFile, text: string): X509Certificate[] {
  const blocks = pemBlocks(text).filter(({ label }) =>
    /^(X509 |TRUSTED )?CERTIFICATE$/.test(label)
  );
  if (blocks.length === 0 || isCutShort(text)) refuseForm(file, text);
  if (blocks.length === 0) {
    const swapped = /PRIVATE KEY/.test(text) ? "; certificate and key look swapped" : "";
    throw cannotUse(
      "wrong-file",
      file,
      `no certificate in it: ${describeBlocks(text)}${swapped}`,
      `copy it again, or name the right file with ${file.flag} PATH`,
    );
  }
  const again = "copy the file again from where the certificate was made";
  if (isCutShort(text)) {
    throw cannotUse("wrong-file", file, "a PEM block in it is cut short", again);
  }
  return blocks.map((block) => {
    try {
      return new X509Certificate(block.text);
    } catch (cause) {
      const problem = `its certificate is damaged (${messageOf(cause)})`;
      throw cannotUse("wrong-file", file, problem, again, cause);
    }
  });
}

/**
 * The CA certificates in files of one kind.
 *
 * @throws {UserError} If one is no CA's, or no signature of any of them can be checked. One whose signatures cannot be
 * checked does no harm beside others; alone it would make every server a stranger.
 */
export function authoritiesIn(
  files: readonly (NamedFile & { readonly text: string })[],
): X509Certificate[] {
  const ca = files.flatMap((file) =>
    certificatesIn(file, file.text).map((x509) => {
      if (!x509.ca && x509.subject !== x509.issuer) throw notACa(file, factsOf(x509));
      return x509;
    })
  );
  const problems = ca.map((x509) => authorityProblem(x509.raw));
  const [first] = problems;
  if (first === undefined || problems.includes(undefined)) return ca;
  throw cannotUse(
    "unfit-certificate",
    { what: "CA certificate", path: files[0]!.path },
    `it ${first.what}, and ${first.rule}: no signature of this CA can be checked`,
    "have the broker's certificate signed by a CA with another key, made with `openssl req -x509 " +
      "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout CA.key -out CA.pem -days 3650 -subj /CN=CA`",
  );
}

function notACa(file: NamedFile, facts: CertificateFacts): UserError {
  return cannotUse(
    "wrong-file",
    file,
    `it is no CA's certificate (${describeCertificate(facts)})`,
    file.flag === "--ca"
      ? "download AmazonRootCA1.pem, or the CA that signed the broker's certificate, and pass --ca PATH"
      : `ask who runs the proxy which CA signed its certificate, and pass ${file.flag} PATH`,
  );
}

/** The facts of CA certificates. */
export function authoritiesOf(ca: readonly X509Certificate[]): AuthorityFacts[] {
  return ca.map((x509) => ({ ...factsOf(x509), isCa: x509.ca }));
}

/** The facts of a certificate. */
export function factsOf(x509: X509Certificate): CertificateFacts {
  const joined = (name: string | undefined) => (name ?? "").split("\n").join(", ");
  return {
    subject: joined(x509.subject),
    issuer: joined(x509.issuer),
    validFrom: new Date(x509.validFrom),
    validTo: new Date(x509.validTo),
    fingerprint: x509.fingerprint256,
  };
}
