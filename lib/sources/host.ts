/**
 * Where the files of the kernel are read, and what it means when one cannot be.
 *
 * Deno (2.9.5, measured) lets only a process that holds every permission read below /proc and /sys; no
 * `--allow-read` helps, also not through a symlink. A process with scoped permissions therefore reads them
 * below {@linkcode HOST_VIEW}, where a service unit can bind them read-only, and asks Deno itself for what
 * Deno knows (load, memory, uptime). Missing files mean "not on this machine"; missing rights are an error.
 */

import { BUILD, grantHint } from "../core/build.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";

/** Folder below which a service unit can bind files of /proc, and /sys, for a process with scoped permissions. */
export const HOST_VIEW = "/run/mqtt443/host";

/** What the sources read of /proc. All of it would be too much: below `/proc/self/root` lies every file. */
export const PROC_FILES = [
  "/proc/loadavg",
  "/proc/meminfo",
  "/proc/stat",
  "/proc/uptime",
  "/proc/net/dev",
  "/proc/net/pppoe",
] as const;

/** Folders of /sys that the sources read; the first three hold links into the last. */
export const SYS_FOLDERS = [
  "/sys/class/thermal",
  "/sys/class/hwmon",
  "/sys/class/net",
  "/sys/devices",
] as const;

/**
 * A folder of the file system of `/`, to ask about when `/` itself must not be read: the one on which /sys is mounted. Seen
 * through a mount of `/` without what is mounted on it, it is empty.
 */
export const ROOT_VIEW = `${HOST_VIEW}/root/sys`;

/** Line for a service unit that binds the most of this below {@linkcode HOST_VIEW}; the unit of the kit binds all. */
export const HOST_VIEW_UNIT_LINE = "BindReadOnlyPaths=" +
  [...PROC_FILES.map((path) => `-${path}`), ...SYS_FOLDERS.map((path) => `-${path}`)]
    .map((path) => `${path}:${HOST_VIEW}${path.slice(1)}`).join(" ");

/** Line for a service unit that shows what {@linkcode ROOT_VIEW} is for. */
export const ROOT_VIEW_UNIT_LINE = `BindReadOnlyPaths=/:${HOST_VIEW}/root:norbind`;

/** Folders that hold the files of the kernel, as a `root` to put before /proc/… or /sys/…. */
export interface Host {
  /** Root of /proc, or null when nothing below it may be read. */
  readonly proc: string | null;
  /** Root of /sys; its folders may be missing. */
  readonly sys: string;
}

const PERMISSIONS: readonly Deno.PermissionDescriptor[] = [
  { name: "read" },
  { name: "write" },
  { name: "net" },
  { name: "env" },
  { name: "sys" },
  { name: "run" },
  { name: "ffi" },
  { name: "import" },
];

/** Says whether this process holds every permission, without exception. */
export function hasAllPermissions(): boolean {
  return PERMISSIONS.every((descriptor) => {
    const status = Deno.permissions.querySync(descriptor);
    return status.state === "granted" && !status.partial;
  });
}

/**
 * Finds out where this process may read the files of the kernel.
 *
 * @param root A folder that stands for `/`; any other than `/` is taken as it is.
 */
export function openHost(root = "/"): Host {
  if (root !== "/" || hasAllPermissions()) return { proc: root, sys: root };
  try {
    Deno.statSync(`${HOST_VIEW}/proc/loadavg`);
    return { proc: HOST_VIEW, sys: HOST_VIEW };
  } catch {
    return { proc: null, sys: HOST_VIEW };
  }
}

/** Puts a root before an absolute path. */
export function below(root: string, path: string): string {
  return root === "/" ? path : `${root}${path}`;
}

/** A path below /proc or /sys, which Deno guards, without `.` and `..`; undefined for any other. Pure. */
export function kernelPath(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  const steps: string[] = [];
  for (const step of path.split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(step);
  }
  return steps[0] === "proc" || steps[0] === "sys" ? `/${steps.join("/")}` : undefined;
}

/**
 * Reads a small file that some machines lack. It blocks the thread, which is the cheaper way for /proc.
 *
 * @returns Its text, or undefined when this machine does not have it.
 * @throws {UserError} When it is there and must not be read; the message names the path.
 */
export function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (isRightsError(error)) throw rightsError(path, error);
    return undefined;
  }
}

/** Says whether an error is a missing right: of this process in Deno, or of its user. */
export function isRightsError(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable ||
    error instanceof Deno.errors.PermissionDenied;
}

/** The error for a path that must not be read. */
export function rightsError(path: string, cause: unknown): UserError {
  return new UserError(`Cannot read "${path}": ${rightsCause(cause)}`, {
    code: "source-unreadable",
    hint: rightsHint(path, cause),
    exitCode: EXIT.config,
    step: "source",
    cause,
  });
}

function rightsCause(cause: unknown): string {
  if (!(cause instanceof Deno.errors.NotCapable)) return "permission denied";
  return messageOf(cause).includes("all access")
    ? "Deno lets only a process with all permissions read below /proc and /sys"
    : "this process does not have Deno's permission for it";
}

function rightsHint(path: string, cause: unknown): string {
  if (!(cause instanceof Deno.errors.NotCapable)) {
    return `let the user of this process read it: ls -l ${path}`;
  }
  return messageOf(cause).includes("all access")
    ? `add "${HOST_VIEW_UNIT_LINE}" to the service unit`
    : addHint(`--allow-read=${path}`);
}

/** What to do about a permission that is missing: from source the flag can be typed. */
function addHint(flag: string): string {
  return BUILD === undefined ? `add ${flag} to the permissions` : grantHint();
}

/**
 * Runs a call of Deno's own system API.
 *
 * @param kind The name `--allow-sys` knows it by.
 * @throws {UserError} When the process lacks that permission.
 */
export function askDeno<T>(kind: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!isRightsError(error)) throw error;
    throw new UserError(
      `Cannot read "${kind}" of this machine: this process does not have Deno's permission for it`,
      {
        code: "not-granted",
        hint: addHint(`--allow-sys=${kind}`),
        exitCode: EXIT.config,
        step: "source",
        cause: error,
      },
    );
  }
}
