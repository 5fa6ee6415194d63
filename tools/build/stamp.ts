/** What a build is stamped with: the commit and a date that are the same whenever the tree is the same. */

import { EXIT, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";

/** Commit and date of a build. */
export interface Stamp {
  /** Abbreviated hash, with `+` where the tree had changes; or `unknown`. */
  readonly commit: string;
  /** ISO 8601, UTC. */
  readonly date: string;
}

/**
 * Asks git, and the environment.
 *
 * @param root Folder of the source.
 * @param epoch `SOURCE_DATE_EPOCH`, in s, as the reproducible-builds project defines it.
 * @throws {UserError} If the epoch is not a time.
 */
export async function stampOf(
  root: string,
  epoch: string | undefined,
  now: () => Date = () => new Date(),
): Promise<Stamp> {
  const [head, changes] = await Promise.all([
    git(root, "log", "-1", "--format=%h %ct", "--abbrev=10"),
    git(root, "status", "--porcelain"),
  ]);
  const [hash, seconds] = head?.trim().split(" ") ?? [];
  const commit = hash ? `${hash}${changes === "" ? "" : "+"}` : "unknown";
  if (epoch !== undefined && !/^\d{1,11}$/.test(epoch)) {
    throw new UserError(
      `Cannot use SOURCE_DATE_EPOCH: must be seconds since 1970: current value is ${quote(epoch)}`,
      {
        code: "tool-failed",
        hint: "for example: SOURCE_DATE_EPOCH=$(date +%s)",
        exitCode: EXIT.usage,
      },
    );
  }
  const s = epoch ?? seconds;
  const date = s === undefined ? now() : new Date(Number(s) * 1000);
  return { commit, date: date.toISOString().replace(/\.\d+/, "") };
}

/** What git prints; undefined where there is no git, or no repository. */
async function git(root: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", root, ...args],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}
