/**
 * The files of an identity: which ones they are, who may read them, and reading them.
 *
 * Thin, but for {@linkcode chooseFiles}. Whose word counts is file_guard.ts's business, what they hold identity.ts's.
 */

import { BUILD, grantHint, placeHint } from "../core/build.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import { fileError } from "./certificate.ts";
import { folderOf, guardFile, guardFolder, userName } from "../core/file_guard.ts";
import type { IdentityFiles, IdentityTexts } from "./parse.ts";
import { flagOf, type Settings } from "../settings/mod.ts";
import { quote, shellWord } from "../core/text.ts";

/** The settings that name the files. */
export type FileSettings =
  & Pick<Settings, "certs" | "ca" | "cert" | "key" | "keyPassphraseFile">
  & Partial<Pick<Settings, "username" | "passwordFile" | "proxy" | "proxyAuthFile" | "proxyCa">>;

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
 * @throws {UserError} If the certificate or the key is missing, or could be more than one. With a user name both may be
 * missing.
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
        "file-ambiguous",
        `Cannot choose the ${what} in ${
          quote(settings.certs)
        }: ${candidates.length} files could be it: ` +
          candidates.map(quote).join(", "),
        `keep one there, or pass --${kind} PATH`,
      );
    }
    const why = names === undefined ? "there is no such directory" : `no ${WANTED[kind]} in it`;
    throw fileError(
      "file-not-found",
      `Cannot find the ${what} in ${quote(settings.certs)}: ${why}`,
      `copy the files of the AWS IoT console there, or ${placeHint("certs")}` +
        (BUILD === undefined ? ` or --${kind} PATH` : ""),
    );
  };
  const { username, passwordFile, proxy, proxyAuthFile, proxyCa } = settings;
  const isBare = username !== undefined &&
    (["cert", "key"] as const).every((kind) => !settings[kind] && found(kind).length === 0);
  return {
    ca: settings.ca === undefined ? found("ca") : [settings.ca],
    cert: isBare ? undefined : one("cert", "device certificate"),
    key: isBare ? undefined : one("key", "device key"),
    keyPassphraseFile: settings.keyPassphraseFile,
    ...(passwordFile !== undefined && { passwordFile }),
    ...(proxy !== undefined && proxyAuthFile !== undefined && { proxyAuthFile }),
    ...(proxy !== undefined && proxyCa !== undefined && { proxyCa }),
  };
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
  checkOwners(files);
  return { files, texts: readIdentityTexts(files) };
}

/** Finds the files. @throws {UserError} With exit code 78. */
export function findIdentityFiles(settings: FileSettings): IdentityFiles {
  const names = namesIn(settings.certs);
  if (names !== undefined) checkFoundFolder(settings.certs);
  return chooseFiles(settings, names);
}

/** A certificate directory named from where this was started is another one for whoever may write there. */
function checkFoundFolder(certs: string): void {
  if (certs.startsWith("/")) return;
  const found = guardFolder(folderOf(certs)) ?? guardFolder(certs);
  if (found) {
    throw fileError(
      "file-not-safe",
      `Cannot use certificate directory ${quote(certs)}: ${found.problem}`,
      found.hint,
    );
  }
}

/**
 * Checks whose files they are, and who may change or read them.
 *
 * @param uid The user whose word counts besides root's. @default this one
 * @throws {UserError} With exit code 78.
 */
export function checkOwners(files: IdentityFiles, uid: number | null = Deno.uid()): void {
  for (const { what, path, flag, isSecret } of guarded(files)) {
    const found = attempt(what, path, flag, () => guardFile(path, { isSecret, uid }));
    if (found) {
      throw fileError(
        "file-not-safe",
        `Cannot use ${what} ${quote(path)}: ${found.problem}`,
        found.hint,
      );
    }
  }
}

/** Whose a file is; undefined where that cannot be known. */
export function ownerOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).uid ?? undefined;
  } catch {
    return undefined;
  }
}

/** Reads the files. @throws {UserError} With exit code 78. */
export function readIdentityTexts(files: IdentityFiles): IdentityTexts {
  const text = (name: keyof typeof NAMED) => {
    const path = files[name];
    return path === undefined ? undefined : readText(NAMED[name], path, flagOf(name));
  };
  const firstLine = (name: keyof typeof NAMED) =>
    text(name)?.replace(/^\uFEFF/, "").split(/\r?\n/)[0];
  return {
    ca: files.ca.map((path) => ({ path, text: readText("CA certificate", path, "--ca") })),
    cert: text("cert"),
    key: text("key"),
    passphrase: firstLine("keyPassphraseFile"),
    password: firstLine("passwordFile"),
    proxyAuth: firstLine("proxyAuthFile"),
    proxyCa: text("proxyCa"),
  };
}

/** The files that one setting names. */
const NAMED = {
  cert: "device certificate",
  key: "device key",
  keyPassphraseFile: "key passphrase",
  passwordFile: "MQTT password",
  proxyAuthFile: "user and password for the proxy",
  proxyCa: "CA certificate of the proxy",
} as const;

/** Those of them that anybody may read. */
const PUBLIC: readonly string[] = ["cert", "proxyCa"];

function guarded(files: IdentityFiles) {
  const named = Object.entries(NAMED).flatMap(([name, what]) => {
    const path = files[name as keyof typeof NAMED];
    const isSecret = !PUBLIC.includes(name);
    return path === undefined ? [] : [{ what, path, flag: flagOf(name), isSecret }];
  });
  const roots = files.ca.map((path) => ({ what: "CA certificate", path, flag: "--ca" }));
  return [...roots.map((root) => ({ ...root, isSecret: false })), ...named];
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
      "file-not-found",
      `Cannot read ${what} ${quote(path)}: file not found`,
      `copy it there, or pass ${flag} PATH`,
      error,
    );
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return fileError(
      "file-not-readable",
      `Cannot read ${what} ${quote(path)}: permission denied for user ${userName(Deno.uid()!)}`,
      `sudo chown ${userName(Deno.uid()!)} ${shellWord(path)}`,
      error,
    );
  }
  return fileError(
    "file-not-readable",
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
      code: "not-granted",
      hint: grantHint("certs"),
      exitCode: EXIT.config,
      step: "files",
      cause,
    },
  );
}
