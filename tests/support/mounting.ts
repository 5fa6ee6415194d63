/** File systems of a test: made by root, and gone with the test. */

import { hasProgram, isRoot } from "./queueing.ts";

/** Whether this process may mount. */
export const canMount: boolean = isRoot && hasProgram("mount");

/** Runs a command; tells whether it succeeded. */
export function succeeds(name: string, ...args: string[]): boolean {
  return new Deno.Command(name, { args, stdout: "null", stderr: "null" }).outputSync().success;
}

/** Mounts at a directory, which is made if it is missing; unmounted at the end. */
export function mountAt(directory: string, ...args: string[]): Disposable {
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (!succeeds("mount", ...args, directory)) throw new Error(`Cannot mount ${args} there`);
  return { [Symbol.dispose]: () => void succeeds("umount", "--lazy", directory) };
}

/** A file system in memory, of a size such as `256k`. */
export function mountMemory(directory: string, size: string): Disposable {
  return mountAt(directory, "-t", "tmpfs", "-o", `size=${size},mode=0700`, "tmpfs");
}

/** Whether this process may run another one in a world of its own. */
export const canUnshare: boolean = isRoot && hasProgram("unshare");

/** A command that runs another one with these files over those of the machine. */
export function mounted(files: Readonly<Record<string, string>>): string[] {
  const mounts = Object.entries(files).map(([over, file]) => `mount --bind ${file} ${over}`);
  return ["unshare", "--mount", "sh", "-c", `${mounts.join(" && ")} && exec "$@"`, "sh"];
}
