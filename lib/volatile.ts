/** Whether a state directory is one that a power cut empties, though messages are to survive it. */

import { statfsSync } from "node:fs";
import { EXIT, UserError } from "./errors.ts";
import type { Settings } from "./settings.ts";
import { quote } from "./words.ts";

/** File systems in memory, by their magic number (statfs(2)). */
const VOLATILE: Readonly<Record<number, string>> = { 0x01021994: "tmpfs", 0x858458f6: "ramfs" };

/** The warning about it, if there is one to give. */
export function volatileWarning(
  { state, durability }: Pick<Settings, "state" | "durability">,
): UserError | undefined {
  const kind = VOLATILE[fileSystemOf(state) ?? 0];
  if (kind === undefined || durability !== "power") return undefined;
  return new UserError(
    `messages shall survive a power cut (durability power), but ${
      quote(state)
    } is in memory (${kind})`,
    {
      hint:
        "pass --state DIR with a directory on a disk; or, if they may be lost then, --durability crash",
      exitCode: EXIT.cannotCreate,
      step: "queue",
    },
  );
}

function fileSystemOf(path: string): number | undefined {
  try {
    return statfsSync(path).type;
  } catch {
    // Not granted with scoped permissions; then it is not judged.
    return undefined;
  }
}
