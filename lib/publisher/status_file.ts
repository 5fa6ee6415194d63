/**
 * The status file: written whole, in its place by a rename, every 5 s and when it is told to; removed at the end.
 *
 * Rules: whatever is wrong with its place is a warning, once until it is well again, and stops nothing. The default place
 * may not be there or be another's: then there is no status file, and nothing to tell. Whoever finds it may read it.
 */

import { grantHint } from "../core/build.ts";
import { EXIT, failureFields, messageOf, UserError } from "../core/errors.ts";
import { folderOf } from "../core/file_guard.ts";
import type { Logger } from "../core/log.ts";
import { quote, shellWord } from "../core/text.ts";
import { newStatusPath } from "../settings/mod.ts";
import { STATUS_MS } from "./run_status.ts";

/** Others than the owner may read it. */
const MODE = 0o644;

/** Options of {@linkcode openStatusFile}. */
export interface StatusFileOptions {
  readonly path: string;
  /** Nobody named the path: its folder may be missing, or another user's. */
  readonly isDefault: boolean;
  /** What is written; asked every 5 s, and whenever {@linkcode StatusFile.write} is called. */
  readonly content: () => unknown;
  /** Called every 5 s, before that. */
  readonly onTick: () => void;
  readonly log: Logger;
  /** Runs an action again and again until the returned function is called. */
  readonly every: (ms: number, action: () => void) => () => void;
}

/** A status file that is kept. */
export interface StatusFile {
  /** Writes it now. */
  write(): void;
  /** Removes it. */
  close(): void;
}

/** Writes the first status and keeps it up to date; undefined where the default is not to be used. */
export function openStatusFile(options: StatusFileOptions): StatusFile | undefined {
  const { path, isDefault, content, onTick, log, every } = options;
  let isFailing = false;
  const write = () => {
    try {
      replace(path, `${JSON.stringify(content())}\n`);
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn("warning", failureFields(failed(path, error)));
      isFailing = true;
    }
  };
  if (isDefault && !isUsable(path)) return undefined;
  write();
  const stop = every(STATUS_MS, () => {
    onTick();
    write();
  });
  return {
    write,
    close() {
      stop();
      for (const each of [path, newStatusPath(path)]) {
        try {
          Deno.removeSync(each);
        } catch { /* it is not there, or its age tells that nobody writes it */ }
      }
    },
  };
}

/** Whether a file can be made there. A full disk is to be told, and one that is mended. */
function isUsable(path: string): boolean {
  try {
    make(newStatusPath(path)).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable ||
      error instanceof Deno.errors.PermissionDenied);
  }
}

function replace(path: string, text: string): void {
  const made = newStatusPath(path);
  {
    using file = make(made);
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    // The unit's umask keeps all to its user. (Deno has no fchmod, and no grant for umask.)
    if (((file.statSync().mode ?? 0) & MODE) !== MODE) Deno.chmodSync(made, MODE);
  }
  Deno.renameSync(made, path);
}

/** Makes the file anew: a link that somebody put there is not followed, and one that a process left is removed. */
function make(path: string): Deno.FsFile {
  const open = () => Deno.openSync(path, { write: true, createNew: true, mode: MODE });
  try {
    return open();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    Deno.removeSync(path);
    return open();
  }
}

function failed(path: string, cause: unknown): UserError {
  const isDenied = cause instanceof Deno.errors.NotCapable;
  const code = (cause as { code?: string }).code ?? "";
  const why = isDenied ? "this process was not granted to write there" : messageOf(cause);
  const hint = isDenied
    ? grantHint()
    : /^(ENOSPC|EDQUOT)$/.test(code)
    ? `free some space where it is (\`df -h ${shellWord(folderOf(path))}\`); publishing goes on`
    : "pass --status-file FILE in a directory of this user, or none; publishing goes on";
  return new UserError(`Cannot write status file ${quote(path)}: ${why}`, {
    ...{ code: "status-file-failed", hint, exitCode: EXIT.cannotCreate, cause },
  });
}
