/**
 * The files of an identity: which ones they are, who may read them, and reading them.
 *
 * Thin, but for {@linkcode chooseFiles} and {@linkcode modeProblem}. What they hold is identity.ts's business.
 */

import { grantHint } from "./build.ts";
import { EXIT, messageOf, UserError } from "./errors.ts";
import { fileError } from "./certificate.ts";
import type { IdentityFiles, IdentityTexts } from "./identity.ts";
import type { Settings } from "./settings.ts";
import { quote, shellWord } from "./words.ts";

/** The settings that name the files. */
export type FileSettings = Pick<Settings, "certs" | "ca" | "cert" | "key" | "keyPassphraseFile">;

/** The names looked for in the certificate directory: the AWS console's, then plain ones. */
const CANDIDATES: Record<"ca" | "cert" | "key", RegExp> = {
  ca: /^(AmazonRootCA.*\.pem|ca\.pem)$/,
  cert: /^(.*-certificate\.pem\.crt|device\.pem\.crt|cert\.pem)$/,
  key: /^(.*-private\.pem\.key|private\.pem\.key|key\.pem)$/,
};
const WANTED = {
  cert: "ID-certificate.pem.crt, device.pem.crt or cert.pem",
  key: "ID-private.pem.key, private.pem.key or key.pem",
};
/** No PEM file of an identity is as large as this; a wrong path may be. */
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Chooses the files: those named by settings, else those found in the certificate directory. Pure.
 *
 * @param names The file names in the directory, or undefined if there is no such directory.
 * @throws {UserError} If the certificate or the key is missing, or could be more than one.
 */
export function chooseFiles(
  settings: FileSettings,
  names: readonly string[] | undefined,
): IdentityFiles {
  const found = (kind: "ca" | "cert" | "key") =>
    (names ?? []).filter((name) => CANDIDATES[kind].test(name)).sort()
      .map((name) => `${settings.certs.replace(/\/$/, "")}/${name}`);
  const one = (kind: "cert" | "key", what: string): string => {
    if (settings[kind] !== undefined) return settings[kind];
    const candidates = found(kind);
    if (candidates.length === 1) return candidates[0]!;
    if (candidates.length > 1) {
      throw fileError(
        `Cannot choose the ${what} in ${
          quote(settings.certs)
        }: ${candidates.length} files could be it: ` +
          candidates.map(quote).join(", "),
        `keep one there, or pass --${kind} PATH`,
      );
    }
    const why = names === undefined ? "there is no such directory" : `no ${WANTED[kind]} in it`;
    throw fileError(
      `Cannot find the ${what} in ${quote(settings.certs)}: ${why}`,
      `copy the files of the AWS IoT console there, or pass --certs DIR or --${kind} PATH`,
    );
  };
  return {
    ca: settings.ca === undefined ? found("ca") : [settings.ca],
    cert: one("cert", "device certificate"),
    key: one("key", "device key"),
    keyPassphraseFile: settings.keyPassphraseFile,
  };
}

/** What of a file's status decides whether a secret in it is one. */
export interface FileStatus {
  readonly mode: number | null;
  readonly uid: number | null;
}

/**
 * Where systemd puts what `LoadCredential=` names. From version 254 on they belong to root, and an access control list
 * lets the service's user read them; its mask shows as the bits of the group, which may do nothing.
 */
const CREDENTIAL = /^\/run\/credentials\/[^/]+\/[^/]+$/;

/**
 * What is wrong with who can read or replace a secret file, with the command that mends it, or undefined. Pure.
 *
 * @param uid The user this process runs as.
 */
export function modeProblem(
  path: string,
  { mode, uid: owner }: FileStatus,
  uid: number | null,
): { problem: string; hint: string } | undefined {
  const bits = (mode ?? 0) & 0o7777;
  const octal = bits.toString(8).padStart(4, "0");
  const others = CREDENTIAL.test(path) && owner === 0 ? 0o037 : 0o077;
  if ((bits & others) !== 0) {
    return {
      problem: `others than its owner may read or change it (mode ${octal})`,
      hint: `chmod 600 ${shellWord(path)}`,
    };
  }
  if (owner !== null && uid !== null && owner !== uid && owner !== 0) {
    return {
      problem: `it belongs to user ${owner}, and this is user ${uid}`,
      hint: `chown ${uid} ${shellWord(path)}`,
    };
  }
  return undefined;
}

/**
 * Finds, checks and reads the files that the settings name: the three steps below in their order.
 *
 * @throws {UserError} With exit code 78.
 */
export function readIdentityFiles(
  settings: FileSettings,
): { files: IdentityFiles; texts: IdentityTexts } {
  const files = findIdentityFiles(settings);
  checkModes(files);
  return { files, texts: readIdentityTexts(files) };
}

/** Finds the files. @throws {UserError} With exit code 78. */
export function findIdentityFiles(settings: FileSettings): IdentityFiles {
  return chooseFiles(settings, namesIn(settings.certs));
}

/** @throws {UserError} With exit code 78 if others could read or replace a secret. */
export function checkModes(files: IdentityFiles): void {
  for (const [what, path, flag] of secrets(files)) checkSecret(what, path, flag);
}

/** Reads the files. @throws {UserError} With exit code 78. */
export function readIdentityTexts(files: IdentityFiles): IdentityTexts {
  return {
    ca: files.ca.map((path) => ({ path, text: readText("CA certificate", path, "--ca") })),
    cert: readText("device certificate", files.cert, "--cert"),
    key: readText("device key", files.key, "--key"),
    passphrase: files.keyPassphraseFile === undefined
      ? undefined
      : readText("key passphrase", files.keyPassphraseFile, "--key-passphrase-file")
        .replace(/^\uFEFF/, "").split(/\r?\n/)[0]!,
  };
}

function secrets(files: IdentityFiles): [what: string, path: string, flag: string][] {
  const { key, keyPassphraseFile } = files;
  return [
    ["device key", key, "--key"],
    ...(keyPassphraseFile === undefined ? [] : [
      ["key passphrase", keyPassphraseFile, "--key-passphrase-file"] as [string, string, string],
    ]),
  ];
}

function checkSecret(what: string, path: string, flag: string): void {
  const status = attempt(what, path, flag, () => Deno.statSync(path));
  const found = modeProblem(path, status, Deno.uid());
  if (found !== undefined) {
    throw fileError(`Cannot use ${what} ${quote(path)}: ${found.problem}`, found.hint);
  }
  const folder = path.includes("/") ? path.replace(/\/[^/]*$/, "") || "/" : ".";
  const mode = (folderMode(folder) ?? 0) & 0o7777;
  // With the sticky bit (as on /tmp) others can put files there, but not replace this one.
  if ((mode & 0o022) !== 0 && (mode & 0o1000) === 0) {
    throw fileError(
      `Cannot use ${what} ${quote(path)}: others may replace it, as they may write to ${
        quote(folder)
      } (mode ${mode.toString(8).padStart(4, "0")})`,
      `chmod go-w ${shellWord(folder)}`,
    );
  }
}

function folderMode(folder: string): number | null {
  try {
    return Deno.statSync(folder).mode;
  } catch {
    // Outside what we may read: then it cannot be judged.
    return null;
  }
}

function namesIn(folder: string): string[] | undefined {
  try {
    return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => !isDirectory)
      .map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw readError("certificate directory", folder, "--certs", error);
  }
}

function readText(what: string, path: string, flag: string): string {
  return attempt(what, path, flag, () => {
    const { size, isFile } = Deno.statSync(path);
    if (!isFile) throw new Error("not a regular file");
    if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes is too large for a PEM file`);
    return Deno.readTextFileSync(path);
  });
}

function attempt<T>(what: string, path: string, flag: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw readError(what, path, flag, error);
  }
}

function readError(what: string, path: string, flag: string, error: unknown): UserError {
  if (error instanceof Deno.errors.NotCapable) return notPermitted(what, path, error);
  if (error instanceof Deno.errors.NotFound) {
    return fileError(
      `Cannot read ${what} ${quote(path)}: file not found`,
      `copy it there, or pass ${flag} PATH`,
      error,
    );
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return fileError(
      `Cannot read ${what} ${quote(path)}: permission denied for user ${Deno.uid()}`,
      `chown ${Deno.uid()} ${shellWord(path)}`,
      error,
    );
  }
  return fileError(
    `Cannot read ${what} ${quote(path)}: ${messageOf(error)}`,
    `pass the right file with ${flag} PATH`,
    error,
  );
}

/** The error about a file that this process's grants do not cover. */
function notPermitted(what: string, path: string, cause: unknown): UserError {
  return new UserError(
    `Cannot read ${what} ${quote(path)}: this process was not granted to read there`,
    {
      hint: grantHint(),
      exitCode: EXIT.config,
      step: "files",
      cause,
    },
  );
}
