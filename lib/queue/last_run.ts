/**
 * Which publisher uses a state directory: its client id and endpoint, noted in `queue.lock` behind the marks by the
 * process that holds it. Whoever only reads it makes no file and waits for nobody.
 */

/** What is noted of a run. */
export interface LastRun {
  readonly clientId: string;
  /** `host:port`. */
  readonly endpoint: string;
}

/** The marks of queue_dir.ts end here. */
const NOTE_AT = 60;
/** Longer than any note: client id and endpoint have their limits. */
const NOTE_BYTES = 1024;

/** Writes the note. The file is held by this process. */
export function noteRun(lock: Deno.FsFile, { clientId, endpoint }: LastRun): void {
  lock.seekSync(NOTE_AT, Deno.SeekMode.Start);
  // The line end ends the note: what a longer one left behind it is not read.
  lock.writeSync(new TextEncoder().encode(`${JSON.stringify({ clientId, endpoint })}\n`));
}

/** Reads the note; undefined if there is none. */
export function readRun(lock: Deno.FsFile): LastRun | undefined {
  const bytes = new Uint8Array(NOTE_BYTES);
  lock.seekSync(NOTE_AT, Deno.SeekMode.Start);
  const text = new TextDecoder().decode(bytes.subarray(0, lock.readSync(bytes) ?? 0));
  try {
    const { clientId, endpoint } = JSON.parse(text.split("\n")[0]!);
    return typeof clientId === "string" && typeof endpoint === "string"
      ? { clientId, endpoint }
      : undefined;
  } catch {
    // Of an older version, or damaged: a hint is lost, no message.
    return undefined;
  }
}

/** The run that holds a state directory now; undefined if none does, or this user cannot know. */
export function currentRun(directory: string): LastRun | undefined {
  const path = `${directory}/queue.lock`;
  try {
    // To open a named pipe would wait for its writer.
    if (!Deno.lstatSync(path).isFile) return undefined;
    using lock = Deno.openSync(path, { read: true });
    return lock.tryLockSync(false) ? undefined : readRun(lock);
  } catch {
    return undefined;
  }
}
