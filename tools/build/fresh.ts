/** The bundle that `deno task compile` leaves for `deno task publish`, and whether it is still what the source says. */

import { dirname, join } from "node:path";

const ROOT = dirname(dirname(import.meta.dirname!));

/** What a bundle is made of, folders with all that is in them. */
const SOURCES = [
  ...["main.ts", "deno.json", "deno.lock", "lib"],
  ...[
    "tools/build/bundle.ts",
    "tools/build/slim.ts",
    "tools/build/stand_ins",
    "tools/std/cli",
    "tools/std/log",
  ],
];

/** The flags with which Deno runs a bundle: there is nothing to look for. */
export const BUNDLE_FLAGS = ["--no-config", "--no-lock", "--no-remote", "--no-npm"] as const;

/**
 * Where the bundle is, if it is younger than all that it is made of; else undefined.
 *
 * @param root The project's folder. @default this project's
 * @param changedMs When a file or folder last changed; undefined if there is none.
 */
export function freshBundle(
  root: string = ROOT,
  changedMs: (path: string) => number | undefined = lastChangeMs,
): string | undefined {
  const path = join(root, "dist", "mqtt443.js");
  const madeMs = changedMs(path);
  if (madeMs === undefined) return undefined;
  const isOlder = (path: string): boolean => {
    if ((changedMs(path) ?? Infinity) >= madeMs) return false;
    if (!Deno.statSync(path).isDirectory) return true;
    return [...Deno.readDirSync(path)].every(({ name }) => isOlder(join(path, name)));
  };
  return SOURCES.every((name) => isOlder(join(root, name))) ? path : undefined;
}

/** The kernel's own time of the last change: an archive that is unpacked sets the other. */
function lastChangeMs(path: string): number | undefined {
  try {
    return Deno.statSync(path).ctime?.getTime();
  } catch {
    return undefined;
  }
}
