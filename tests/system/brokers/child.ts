/**
 * A child process whose lines can be awaited, and that never outlives its test.
 *
 * Rules: wait for an event, with a deadline, never for a time; what fails shows the last lines that were seen.
 */

/** Deadline of a wait, in ms, unless another is given. */
const DEADLINE_MS = 10_000;
/** Milliseconds from SIGTERM to SIGKILL. */
const KILL_AFTER_MS = 8000;

/** What a process has written to one of its outputs. */
export interface Lines {
  readonly all: readonly string[];
  /**
   * Settles with the first value of `find` that is neither undefined nor false; it is asked at each line.
   *
   * @throws {Error} When the deadline has passed or the process has ended without it.
   */
  until<T>(
    find: (lines: readonly string[]) => T | undefined | false,
    what: string,
    deadlineMs?: number,
  ): Promise<T>;
}

/** A running process. Disposing of it ends it. */
export interface Child extends AsyncDisposable {
  readonly stdout: Lines;
  readonly stderr: Lines;
  /** Sends a signal. */
  signal(name: Deno.Signal): void;
  /** Settles with the exit code when it has ended and all its output has been read. */
  readonly ended: Promise<number>;
  /** Sends SIGTERM, and SIGKILL if that does not help; settles with the exit code. */
  stop(): Promise<number>;
}

/** What {@linkcode spawn} can be told. */
export interface SpawnOptions {
  /** Its whole environment besides PATH, HOME and DENO_DIR. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts a program with few environment variables and nothing to read. */
export function spawn(
  program: string,
  args: readonly string[],
  { env = {}, cwd }: SpawnOptions = {},
): Child {
  const process = new Deno.Command(program, {
    args: [...args],
    clearEnv: true,
    env: { ...inherited(["PATH", "HOME", "DENO_DIR"]), ...env },
    ...(cwd !== undefined && { cwd }),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdout = collect(process.stdout, program);
  const stderr = collect(process.stderr, program);
  const ended = Promise.all([process.status, stdout.read, stderr.read]).then(([{ code }]) => code);
  const signal = (name: Deno.Signal) => {
    try {
      process.kill(name);
    } catch {
      // It has ended already.
    }
  };
  const stop = async () => {
    signal("SIGTERM");
    const timer = setTimeout(() => signal("SIGKILL"), KILL_AFTER_MS);
    try {
      return await ended;
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    stdout: stdout.lines,
    stderr: stderr.lines,
    signal,
    ended,
    stop,
    [Symbol.asyncDispose]: async () => void await stop(),
  };
}

function collect(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  program: string,
): { lines: Lines; read: Promise<void> } {
  const all: string[] = [];
  const waiting = new Set<() => void>();
  let over = false;
  const look = () => {
    for (const check of waiting) check();
  };
  const read = (async () => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      all.push(...lines);
      look();
    }
    if (rest !== "") all.push(rest);
    over = true;
    look();
  })();
  const until: Lines["until"] = async (find, what, deadlineMs = DEADLINE_MS) => {
    const { promise, resolve, reject } = Promise.withResolvers<NonNullable<unknown>>();
    const fail = (why: string) =>
      reject(
        new Error(`${why} ${what} of ${program}; its last lines:\n${all.slice(-15).join("\n")}`),
      );
    const check = () => {
      const found = find(all);
      if (found !== undefined && found !== false) resolve(found as NonNullable<unknown>);
      else if (over) fail("It ended without");
    };
    const timer = setTimeout(() => fail(`Waited ${deadlineMs} ms in vain for`), deadlineMs);
    waiting.add(check);
    try {
      check();
      return await promise as never;
    } finally {
      clearTimeout(timer);
      waiting.delete(check);
    }
  };
  return { lines: { all, until }, read };
}

function inherited(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}
