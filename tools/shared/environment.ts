/**
 * The environment variables that reach the program's process from outside, where a file of ours starts it. A list, as Deno
 * reads variables of its own that connect to a second peer, write files or change what it runs, and more with each version.
 */

import { TRUST_VARIABLES } from "../../lib/settings/places.ts";

/** What the system's libraries and the program's own commands read; a `*` at the end stands for any name. */
const NAMES = [
  ...["PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "LANG", "LC_*", "TZ", "TERM", "NO_COLOR"],
  // Where an emulator or the loader finds the libraries of the machine that the executable is for.
  ...["LD_LIBRARY_PATH", "QEMU_LD_PREFIX"],
  // Of systemd.
  ...["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "INVOCATION_ID"],
  "CREDENTIALS_DIRECTORY",
  "MQTT443_*",
];

/**
 * The names of all that pass: those above, and those that the program may see, but none that adds to whom Deno trusts.
 *
 * @param granted The names that the program's grants have.
 */
export function passedNames(granted: readonly string[]): string[] {
  const names = new Set([...NAMES, ...granted]);
  return [...names].filter((name) => !(TRUST_VARIABLES as readonly string[]).includes(name));
}

/** Of these variables, those that pass. */
export function passed(
  variables: Readonly<Record<string, string>>,
  granted: readonly string[],
): Record<string, string> {
  const names = passedNames(granted);
  const isPassed = (name: string) =>
    names.some((known) =>
      known.endsWith("*") ? name.startsWith(known.slice(0, -1)) : name === known
    );
  return Object.fromEntries(Object.entries(variables).filter(([name]) => isPassed(name)));
}
