/** The bundle that `deno task compile` leaves for `deno task publish`, and whether it is still what the source says. */

import { dirname, join } from "node:path";

const ROOT = dirname(dirname(import.meta.dirname!));

/** What a bundle is made of, folders with all that is in them. */
const SOURCES = ["main.ts", "deno.json", "deno.lock", "lib", "tools/bundle.ts", "tools/bundle"];

/** The flags with which Deno runs a bundle: there is nothing to look for. */
export const BUNDLE_FLAGS = ["--no-config", "--no-lock", "--no-remote", "--no-npm"] as const;

/** Where the bundle is. */
export const BUNDLE_PATH: string = join(ROOT, "dist", "mqtt443.js");

/**
 * Where the bundle is, if it is younger than all that it is made of; else undefined.
 *
 * @param root The project's folder. @default this project's
 */
export function freshBundle(root: string = ROOT): string | undefined {
  const path = join(root, "dist", "mqtt443.js");
  const madeMs = changedMs(path);
  if (madeMs === undefined) return undefined;
  return SOURCES.every((name) => isOlder(join(root, name), madeMs)) ? path : undefined;
}

function isOlder(path: string, thanMs: number): boolean {
  if ((changedMs(path) ?? Infinity) >= thanMs) return false;
  if (!Deno.statSync(path).isDirectory) return true;
  return [...Deno.readDirSync(path)].every(({ name }) => isOlder(join(path, name), thanMs));
}

/** The kernel's own time of the last change: an archive that is unpacked sets the other. */
function changedMs(path: string): number | undefined {
  try {
    return Deno.statSync(path).ctime?.getTime();
  } catch {
    return undefined;
  }
}
