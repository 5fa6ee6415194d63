/**
 * Debian systems to install on: debootstrap's smallest, with systemd or without. One is made once for all tests of a
 * file; where `DEBIAN_ROOTS` names a folder, those in it are used and made.
 */

import { hasProgram } from "../../support/queueing.ts";
import { canBoot } from "./machine.ts";

/** Whether they can be made here. */
export const canBootstrap: boolean = canBoot && hasProgram("debootstrap");

/** Debian 12 and 13. */
export const SUITES = ["bookworm", "trixie"] as const;

/**
 * Makes the root directory of a Debian, of this machine's kind.
 *
 * @param kind `slim`: without systemd, as images for containers are. @default "systemd"
 */
export async function debianRoot(
  suite: string,
  folder: string,
  kind: "systemd" | "slim" = "systemd",
): Promise<string> {
  const isSlim = kind === "slim";
  const name = isSlim ? `${suite}-slim` : suite;
  const root = `${Deno.env.get("DEBIAN_ROOTS") ?? folder}/${name}`;
  if (await Deno.stat(`${root}/var/lib/dpkg/status`).then(() => true, () => false)) return root;
  const { success, stdout } = await new Deno.Command("debootstrap", {
    args: [
      "--variant=minbase",
      ...(isSlim ? [] : ["--include=systemd,systemd-sysv"]),
      ...[suite, root],
    ],
    stderr: "null",
  }).output();
  if (!success) {
    const said = new TextDecoder().decode(stdout).trim().split("\n").slice(-3).join("; ");
    throw new Error(`Cannot make a Debian ${suite}: ${said}; its mirror must be reachable`);
  }
  return root;
}
