/** Whether a state directory is one that a power cut empties, though messages are to survive it. */

import { placeHint } from "../core/build.ts";
import { EXIT, UserError } from "../core/errors.ts";
import type { Settings } from "../settings/mod.ts";
import { quote } from "../core/text.ts";

/** File systems in memory, by their magic number (statfs(2)). */
const VOLATILE: Readonly<Record<number, string>> = { 0x01021994: "tmpfs", 0x858458f6: "ramfs" };

/** The warning about it, if there is one to give. */
export async function volatileWarning(
  { state, durability }: Pick<Settings, "state" | "durability">,
): Promise<UserError | undefined> {
  if (durability !== "power") return undefined;
  const kind = VOLATILE[await fileSystemOf(state) ?? 0];
  if (kind === undefined) return undefined;
  return new UserError(
    `messages shall survive a power cut (durability power), but ${
      quote(state)
    } is in memory (${kind})`,
    {
      code: "state-volatile",
      hint: `${
        placeHint("state")
      } on a disk; or, if they may be lost then, pass --durability crash`,
      exitCode: EXIT.cannotCreate,
      step: "queue",
    },
  );
}

async function fileSystemOf(path: string): Promise<number | undefined> {
  try {
    if (isOnDevice(Deno.statSync(path).dev)) return undefined;
    // Loaded here because it takes 10 ms, and is hardly ever needed.
    const { statfsSync } = await import("node:fs");
    return statfsSync(path).type;
  } catch {
    // Not granted with scoped permissions; then it is not judged.
    return undefined;
  }
}

/** Whether a device number is that of a disk: what has none (tmpfs, but Btrfs or NFS too) gets 0 for its major number. */
function isOnDevice(dev: number): boolean {
  return (dev >>> 8 & 0xfff) !== 0;
}
