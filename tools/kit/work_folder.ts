/**
 * A folder for work beside its result, that does not stay: it is removed when the work is done or fails, when a signal
 * ends the process, and where nothing could remove it (SIGKILL, a power cut), by the next one that works there.
 */

import { join } from "node:path";
import process from "node:process";

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const NAMES = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];
/** What is still being written while the folder goes could be in the way of its removal. */
const ATTEMPTS = 3;

/**
 * Works in a folder of its own; a signal ends the process with 128 and its number.
 *
 * @param out Where the folder is made; it is made itself if it is missing.
 * @throws {Error} If the folder cannot be made, and what the work throws.
 */
export async function inWorkFolder<T>(
  out: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  Deno.mkdirSync(out, { recursive: true });
  removeStale(out);
  let folder: string | undefined;
  let isEnding = false;
  const listeners = NAMES.map((name) => {
    const listener = () => {
      isEnding = true;
      // After the handlers of folders within; and at the very end, as work that goes on could make it anew.
      setTimeout(() => {
        if (folder !== undefined) removeNow(folder);
        Deno.exit(SIGNALS[name]);
      }, 0);
    };
    Deno.addSignalListener(name, listener);
    return { name, listener };
  });
  try {
    folder = Deno.makeTempDirSync({ dir: out, prefix: `.kit-${Deno.pid}-` });
    return await work(folder);
  } finally {
    // Nobody is to hear what came of work that has lost its folder.
    if (isEnding) await new Promise(() => {});
    if (folder !== undefined) Deno.removeSync(folder, { recursive: true });
    for (const { name, listener } of listeners) Deno.removeSignalListener(name, listener);
  }
}

/** Removes the folders of processes that are no more. */
function removeStale(out: string): void {
  for (const { name } of Deno.readDirSync(out)) {
    const pid = /^\.kit-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) removeNow(join(out, name));
  }
}

/** Somebody else's may be there, too, which is no reason to stop. */
function removeNow(folder: string): void {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      return Deno.removeSync(folder, { recursive: true });
    } catch {
      // The next attempt.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code !== "ESRCH";
  }
}
