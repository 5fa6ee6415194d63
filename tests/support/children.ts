/** The program as a process of its own, whose log can be awaited and which can be killed. */

import { assertGranted, type ProgramOptions, spawnProgram } from "./program.ts";
import type { Line } from "./runs.ts";

/** A running process. */
export interface Child {
  readonly pid: number;
  /** Lines of its log so far, of one event. */
  events(event: string): Line[];
  /** Writes lines to its input; false when nobody reads it any more. */
  write(lines: readonly string[]): Promise<boolean>;
  /** Ends its input. */
  end(): Promise<void>;
  /** Settles when the predicate holds; it is asked at each line of its log. */
  until(predicate: () => boolean): Promise<void>;
  /** kill -9; settles when it is gone. */
  kill(): Promise<void>;
  /** Settles with its exit code, and its last words where that is not 0. */
  readonly ended: Promise<{ readonly code: number; readonly words: string }>;
}

/** How long an event may take. */
const DEADLINE_MS = 30_000;

/** Options of {@linkcode startChild}. */
export interface ChildOptions extends ProgramOptions {
  /** Whether a permission that is missing is what the test is about. @default false */
  readonly lacks?: boolean;
}

/** Starts the program; its log must be JSON. */
export function startChild(args: readonly string[], options: ChildOptions = {}): Child {
  const process = spawnProgram(args, options, { stdout: "null" });
  const lines: Line[] = [];
  let words = "";
  let alive = true;
  const waiting = new Set<() => void>();
  const changed = () => waiting.forEach((check) => check());
  const reading = (async () => {
    let rest = "";
    for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      for (const part of parts) {
        if (part.startsWith("{")) lines.push(JSON.parse(part));
        else words += `${part}\n`;
      }
      changed();
    }
  })();
  const ended = process.status.then(async ({ code }) => {
    alive = false;
    await reading;
    changed();
    if (!options.lacks) assertGranted(words + JSON.stringify(lines));
    return { code, words };
  });
  // Whoever waits for its end is told.
  ended.catch(() => {});
  const writer = process.stdin.getWriter();
  const close = () => writer.close().catch(() => {});
  return {
    pid: process.pid,
    ended,
    events: (event) => lines.filter((line) => line.event === event),
    write(lines) {
      const text = lines.map((line) =>
        `${line}
`
      ).join("");
      return writer.write(new TextEncoder().encode(text)).then(() => true, () => false);
    },
    end: close,
    until(predicate) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const fail = (why: string) =>
        reject(new Error(`${why}: ${words}${JSON.stringify(lines.at(-1))}`));
      const timer = setTimeout(() => fail(`Waited ${DEADLINE_MS} ms in vain`), DEADLINE_MS);
      const check = () => {
        if (predicate()) resolve();
        else if (!alive) fail("The process ended while awaited");
      };
      waiting.add(check);
      check();
      return promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(check);
      });
    },
    async kill() {
      if (alive) process.kill("SIGKILL");
      await ended;
      await close();
    },
  };
}

/** The last `seq` that a child's log reported as queued; 0: none. */
export function lastQueued(child: Pick<Child, "events">): number {
  return Math.max(0, ...child.events("queued").map(({ seq }) => Number(seq ?? 0)));
}
