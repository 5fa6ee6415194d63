/**
 * Folders of a task that are gone when it ends: with success, an error or a signal. Where none can be made or filled, the
 * error says which way out there is.
 */

import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";

/** What ends a task, and the exit code that a shell gives it. */
const SIGNALS = [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const;

/**
 * Gives the action an empty folder in `TMPDIR`.
 *
 * @param prefix Of its name.
 * @throws {UserError} If none can be made there, or the place is full.
 */
export async function inTempFolder<T>(
  prefix: string,
  action: (folder: string) => Promise<T>,
): Promise<T> {
  const place = Deno.env.get("TMPDIR") || "/tmp";
  const make = () => {
    try {
      return Deno.makeTempDirSync({ dir: place, prefix });
    } catch (cause) {
      throw cannotUse(place, cause);
    }
  };
  return await withFolder(make, action).catch((cause) => {
    throw isFull(cause) ? cannotUse(place, cause) : cause;
  });
}

/**
 * Gives the action an empty folder beside its result; first removes those of runs that nothing could stop properly
 * (SIGKILL, a power cut).
 *
 * @param out Where it is made; it is made itself if it is missing.
 * @param prefix Of its name, after which the process stands.
 * @throws {Error} If it cannot be made.
 */
export async function inWorkFolder<T>(
  out: string,
  prefix: string,
  action: (folder: string) => Promise<T>,
): Promise<T> {
  Deno.mkdirSync(out, { recursive: true });
  for (const { name } of Deno.readDirSync(out)) {
    const pid = name.startsWith(prefix) && /^\d+(?=-)/.exec(name.slice(prefix.length))?.[0];
    if (pid && !isAlive(pid)) tryRemove(`${out}/${name}`);
  }
  const make = () => Deno.makeTempDirSync({ dir: out, prefix: `${prefix}${Deno.pid}-` });
  return await withFolder(make, action);
}

function isAlive(pid: string): boolean {
  try {
    Deno.statSync(`/proc/${pid}`);
    return true;
  } catch {
    return false;
  }
}

function tryRemove(folder: string | undefined): void {
  try {
    if (folder === undefined) return;
    Deno.removeSync(folder, { recursive: true });
  } catch {
    // Gone already; or somebody still writes there, or it is not ours, and a later run removes it.
  }
}

/** Removes a folder when the action ends, or a signal ends the process, from the moment on that it is made. */
async function withFolder<T>(
  make: () => string,
  action: (folder: string) => Promise<T>,
): Promise<T> {
  let folder: string | undefined;
  let isEnding = false;
  const handlers = SIGNALS.map(([signal, code]) => {
    const handler = () => {
      isEnding = true;
      tryRemove(folder);
      // After the handlers of other folders; and once more, as work that goes on can make it anew.
      setTimeout(() => {
        tryRemove(folder);
        Deno.exit(code);
      }, 0);
    };
    Deno.addSignalListener(signal, handler);
    return [signal, handler] as const;
  });
  try {
    folder = make();
    return await action(folder);
  } finally {
    // Nobody is to hear how it fares without its folder.
    if (isEnding) await new Promise(() => {});
    if (folder !== undefined) await Deno.remove(folder, { recursive: true });
    for (const [signal, handler] of handlers) Deno.removeSignalListener(signal, handler);
  }
}

/** Whether there was no room. */
function isFull(error: unknown): boolean {
  return !(error instanceof UserError) &&
    /No space left on device|Disk quota exceeded/.test(messageOf(error));
}

function cannotUse(place: string, cause: unknown): UserError {
  return new UserError(`Cannot use temporary folder ${quote(place)}: ${messageOf(cause)}`, {
    code: "tool-failed",
    hint: isFull(cause)
      ? `free some space there: \`df -h ${place}\`; or set TMPDIR to a folder that has 500 MB free`
      : "set TMPDIR to a folder that is there and may be written",
    exitCode: EXIT.cannotCreate,
    cause,
  });
}
