/** The files of an identity: finds them, checks their owners and modes, and reads them. */

import { BUILD, grantHint, placeHint } from "../core/build.ts";
import { messageOf, type UserError } from "../core/errors.ts";
import { cannotUse, fileError, type NamedFile } from "./certificate.ts";
import { folderOf, guardFile, guardFolder, userName } from "../core/file_guard.ts";
import type { IdentityFiles, IdentityTexts } from "./parse.ts";
import { pemText, plainText } from "./pem_file.ts";
import { flagOf, type Settings } from "../settings/mod.ts";
import { quote, shellWord } from "../core/text.ts";

/** The settings that name the files. */
export type FileSettings =
  & Pick<Settings, "certs" | "ca" | "cert" | "key" | "keyPassphraseFile">
  & Partial<Pick<Settings, "username" | "passwordFile" | "proxy" | "proxyAuthFile" | "proxyCa">>;

/** File names in the certificate directory: the AWS console's, then plain ones. */
const CANDIDATES: Record<"ca" | "cert" | "key", RegExp> = {
  ca: /^(AmazonRootCA.*\.pem|ca\.pem)$/,
  cert: /^(.*-certificate\.pem\.crt|device\.pem\.crt|cert\.pem)$/,
  key: /^(.*-private\.pem\.key|private\.pem\.key|key\.pem)$/,
};
const WANTED = {
  cert: "ID-certificate.pem.crt, device.pem.crt or cert.pem",
  key: "ID-private.pem.key, private.pem.key or key.pem",
};
/** Larger than any of these files; a wrong path may lead to one. */
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Chooses the files: those named by settings, else those found in the certificate directory. Pure.
 *
 * @param names The file names in the directory, or undefined if there is no such directory.
 * @throws {UserError} If the certificate or the key is missing or ambiguous. With a user name both may be missing.
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
        `Cannot choose the ${what} in ${quote(settings.certs)}: ${candidates.length} files ` +
          `could be it: ${candidates.map(quote).join(", ")}`,
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

/** Finds, checks and reads the files: the three steps below. @throws {UserError} With exit code 78. */
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

/** Checks a relative certificate directory: whoever may write to its folder could replace it. */
function checkFoundFolder(certs: string): void {
  if (certs.startsWith("/")) return;
  const found = guardFolder(folderOf(certs)) ?? guardFolder(certs);
  if (!found) return;
  const file = { what: "certificate directory", path: certs };
  throw cannotUse("file-not-safe", file, found.problem, found.hint);
}

/**
 * Checks owners and modes of the files.
 *
 * @param uid The user who may own them besides root. @default this one
 * @throws {UserError} With exit code 78.
 */
export function checkOwners(files: IdentityFiles, uid: number | null = Deno.uid()): void {
  for (const file of guarded(files)) {
    const found = attempt(file, () => guardFile(file.path, { isSecret: file.isSecret, uid }));
    if (found) throw cannotUse("file-not-safe", file, found.problem, found.hint);
  }
}

/** The owner of a file; undefined where it is unknown. */
export function ownerOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).uid ?? undefined;
  } catch {
    return undefined;
  }
}

/** Reads the files. @throws {UserError} With exit code 78. */
export function readIdentityTexts(files: IdentityFiles): IdentityTexts {
  const text = (name: keyof typeof NAMED, asText = pemText) => {
    const path = files[name];
    return path === undefined
      ? undefined
      : readText({ what: NAMED[name], path, flag: flagOf(name) }, asText);
  };
  const firstLine = (name: keyof typeof NAMED) => text(name, plainText)?.split(/\r?\n/)[0];
  return {
    ca: files.ca.map((path) => ({ path, text: readText(caFile(path)) })),
    cert: text("cert"),
    key: text("key"),
    passphrase: firstLine("keyPassphraseFile"),
    password: firstLine("passwordFile"),
    proxyAuth: firstLine("proxyAuthFile"),
    proxyCa: text("proxyCa"),
  };
}

/** The files that a setting names, one each. */
const NAMED = {
  cert: "device certificate",
  key: "device key",
  keyPassphraseFile: "key passphrase",
  passwordFile: "MQTT password",
  proxyAuthFile: "user and password for the proxy",
  proxyCa: "CA certificate of the proxy",
} as const;

/** Those that others may read. */
const PUBLIC: readonly string[] = ["cert", "proxyCa"];

function caFile(path: string): NamedFile {
  return { what: "CA certificate", path, flag: "--ca" };
}

function guarded(files: IdentityFiles): (NamedFile & { readonly isSecret: boolean })[] {
  const named = Object.entries(NAMED).flatMap(([name, what]) => {
    const path = files[name as keyof typeof NAMED];
    const isSecret = !PUBLIC.includes(name);
    return path === undefined ? [] : [{ what, path, flag: flagOf(name), isSecret }];
  });
  return [...files.ca.map((path) => ({ ...caFile(path), isSecret: false })), ...named];
}

function namesIn(folder: string): string[] | undefined {
  try {
    return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => !isDirectory)
      .map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw readError({ what: "certificate directory", path: folder, flag: "--certs" }, error);
  }
}

function readText(file: NamedFile, asText = pemText): string {
  const bytes = attempt(file, () => {
    const { size, isFile } = Deno.statSync(file.path);
    if (!isFile) throw new Error("not a regular file");
    if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes is too large for a PEM file`);
    return Deno.readFileSync(file.path);
  });
  return asText(file, bytes);
}

function attempt<T>(file: NamedFile, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw readError(file, error);
  }
}

function readError({ what, path, flag }: NamedFile, error: unknown): UserError {
  const [code, why, hint] = error instanceof Deno.errors.NotCapable
    ? ["not-granted", "this process was not granted to read there", grantHint("certs")] as const
    : error instanceof Deno.errors.NotFound
    ? ["file-not-found", "file not found", `copy it there, or pass ${flag} PATH`] as const
    : error instanceof Deno.errors.PermissionDenied
    ? [
      "file-not-readable",
      `permission denied for user ${userName(Deno.uid()!)}`,
      `sudo chown ${userName(Deno.uid()!)} ${shellWord(path)}`,
    ] as const
    : ["file-not-readable", messageOf(error), `pass the right file with ${flag} PATH`] as const;
  return fileError(code, `Cannot read ${what} ${quote(path)}: ${why}`, hint, error);
}
