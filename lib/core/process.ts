/** The process as the program sees it: arguments with real defaults, so that a test can bring its own. */

import { EXIT, messageOf, UserError } from "./errors.ts";
import { createLineSink } from "./line_sink.ts";
import { coloured } from "./text.ts";

/** What the program touches besides files and the network. */
export interface World {
  readonly env: Pick<Deno.Env, "get" | "set" | "delete" | "toObject">;
  /** Writes to stdout; throws when it is closed. */
  readonly out: (text: string) => void;
  /** Writes a line to stderr, without waiting for who reads it; may say how many lines before it were lost. */
  readonly err: (line: string) => number | void;
  readonly isErrTerminal: boolean;
  /** Whether systemd's journal reads stderr. @default {false} */
  readonly isErrJournal?: boolean;
  readonly isOutTerminal?: boolean;
  /** Colours a status on stdout, where it is a terminal. */
  readonly paintOut?:
    | ((status: "ok" | "warn" | "fail" | "skipped", text: string) => string)
    | undefined;
  /** Standard input, which is asked for where it is read: for streams of the web Deno loads 208 KB of script. */
  readonly input: () => ReadableStream<Uint8Array>;
  /** Asks on the terminal; undefined where there is none. */
  readonly confirm: ((question: string) => boolean) | undefined;
  /** Listens for signals until the returned function is called. */
  readonly onSignals: (
    names: readonly Deno.Signal[],
    listener: (name?: Deno.Signal) => void,
  ) => () => void;
  /** Runs an action again and again until the returned function is called. */
  readonly every: (ms: number, action: () => void) => () => void;
  readonly hostName: () => string;
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** The real one, and what its owner does at the end. */
export interface RealWorld extends World {
  /** Settles when what was said on stderr is written, or cannot be for {@linkcode FLUSH_MS}. */
  readonly flush: () => Promise<void>;
}

/** How long the last words may take when nobody reads them, in ms. */
const FLUSH_MS = 500;

/**
 * The real one.
 *
 * @param isErrJournal What {@linkcode readsJournal} says.
 */
export function realWorld(isErrJournal = false): RealWorld {
  // A synchronous write to a pipe that nobody reads, or to a terminal that was stopped, would stop the whole program.
  const stderr = createLineSink((bytes) => Deno.stderr.write(bytes));
  return {
    env: Deno.env,
    out(text) {
      try {
        writeAll(Deno.stdout, text);
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) throw error;
        throw new UserError(`Cannot write to standard output: ${messageOf(error)}`, {
          code: "output-failed",
          hint: "free some space where it goes (`df -h`), or send it elsewhere",
          exitCode: EXIT.cannotCreate,
          cause: error,
        });
      }
    },
    err: stderr.put,
    flush: () => stderr.flush(FLUSH_MS),
    isErrTerminal: Deno.stderr.isTerminal(),
    isErrJournal,
    isOutTerminal: Deno.stdout.isTerminal(),
    paintOut: Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR") ? paint : undefined,
    input: () => Deno.stdin.readable,
    confirm: Deno.stdin.isTerminal() ? confirm : undefined,
    onSignals(names, listener) {
      const listeners = names.map((name) => [name, () => listener(name)] as const);
      for (const [name, listen] of listeners) Deno.addSignalListener(name, listen);
      return () => {
        for (const [name, listen] of listeners) Deno.removeSignalListener(name, listen);
      };
    },
    every(ms, action) {
      const timer = setInterval(action, ms);
      return () => clearInterval(timer);
    },
    hostName: Deno.hostname,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    random: Math.random,
  };
}

/**
 * Whether the journal reads stderr: JOURNAL_STREAM alone does not say so, as a process with another stderr inherits it.
 */
export async function readsJournal(): Promise<boolean> {
  try {
    const stream = Deno.env.get("JOURNAL_STREAM");
    if (!stream) return false;
    const { fstatSync } = await import("node:fs");
    const { dev, ino } = fstatSync(2, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** Green, yellow, red and gray, by their numbers on a terminal. */
const COLOURS = { ok: 32, warn: 33, fail: 31, skipped: 90 } as const;

function paint(status: keyof typeof COLOURS, text: string): string {
  return coloured(COLOURS[status], text);
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += stream.writeSync(bytes.subarray(written));
  }
}
