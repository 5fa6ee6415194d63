/**
 * The throw-away certificates as files: the device's under the names the AWS console uses, so that
 * `mqtt443 --certs DIR` finds them, the endpoint's own in a folder beside them.
 *
 * Rules: keys are 0600, folders made here 0700; the CA's private key is never written; what is
 * there already is read, never overwritten.
 */

import { createHash, X509Certificate } from "node:crypto";
import type { Certificates } from "./pki.ts";

const CA_FILE = "AmazonRootCA1.pem";
const SERVER_FOLDER = "endpoint";

/** Where {@linkcode writeCerts} put the device's files. */
export interface CertPaths {
  /** The folder, for `--certs`. */
  readonly dir: string;
  /** Root certificate. */
  readonly ca: string;
  /** Device certificate. */
  readonly cert: string;
  /** Device key, mode 0600. */
  readonly key: string;
}

/**
 * Write device files and the endpoint's own into a folder, which is made if absent.
 *
 * @throws {Deno.errors.AlreadyExists} If files are there already.
 */
export async function writeCerts(dir: string, certificates: Certificates): Promise<CertPaths> {
  await Deno.mkdir(`${dir}/${SERVER_FOLDER}`, { recursive: true, mode: 0o700 });
  const paths = certPaths(dir, certificates);
  await writeNew(paths.ca, certificates.ca, 0o644);
  await writeNew(paths.cert, certificates.device.cert, 0o644);
  await writeNew(paths.key, certificates.device.key, 0o600);
  await writeNew(
    `${dir}/${SERVER_FOLDER}/server.pem`,
    certificates.server.cert,
    0o644,
  );
  await writeNew(
    `${dir}/${SERVER_FOLDER}/server.key`,
    certificates.server.key,
    0o600,
  );
  return paths;
}

/**
 * Read what {@linkcode writeCerts} wrote.
 *
 * @returns `undefined` if the folder holds none of it, so that it can be made.
 * @throws {Error} If only some of it is there, or a certificate has expired.
 */
export async function readCerts(dir: string): Promise<Certificates | undefined> {
  const names = await fileNames(dir);
  const cert = names.find((name) => name.endsWith("-certificate.pem.crt"));
  const key = names.find((name) => name.endsWith("-private.pem.key"));
  const serverNames = await fileNames(`${dir}/${SERVER_FOLDER}`);
  const found = [
    cert,
    key,
    names.find((name) => name === CA_FILE),
    serverNames.find((name) => name === "server.pem"),
    serverNames.find((name) => name === "server.key"),
  ].filter((name) => name !== undefined);
  if (found.length === 0) return undefined;
  if (found.length < 5) {
    throw new Error(
      `Cannot use certificates in "${dir}": 5 files are wanted, only ${found.join(", ")} found`,
    );
  }
  const certificates = {
    ca: await Deno.readTextFile(`${dir}/${CA_FILE}`),
    device: {
      cert: await Deno.readTextFile(`${dir}/${cert}`),
      key: await Deno.readTextFile(`${dir}/${key}`),
    },
    server: {
      cert: await Deno.readTextFile(`${dir}/${SERVER_FOLDER}/server.pem`),
      key: await Deno.readTextFile(`${dir}/${SERVER_FOLDER}/server.key`),
    },
  };
  const expiry = new X509Certificate(certificates.server.cert).validTo;
  if (Date.parse(expiry) < Date.now()) {
    throw new Error(
      `Cannot use certificates in "${dir}": they expired on ${expiry}`,
    );
  }
  return certificates;
}

/** Where the device's files of {@linkcode writeCerts} are. */
export function certPaths(dir: string, certificates: Certificates): CertPaths {
  const id = certificateId(certificates.device.cert);
  return {
    dir,
    ca: `${dir}/${CA_FILE}`,
    cert: `${dir}/${id}-certificate.pem.crt`,
    key: `${dir}/${id}-private.pem.key`,
  };
}

/** AWS's certificate id: the SHA-256 of the DER, in hexadecimal. */
function certificateId(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  await Deno.writeTextFile(path, text, { createNew: true, mode });
}

async function fileNames(dir: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(dir))).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
