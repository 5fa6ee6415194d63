/** The process around the program, as an argument that tests replace: environment, output, signals, clocks. */

import { EXIT, messageOf, UserError } from "./errors.ts";
import { LineWriter } from "./line_writer.ts";
import { coloured } from "./text.ts";

/** What the program uses besides files and the network. */
export interface World {
  readonly env: Pick<Deno.Env, "get" | "set" | "delete" | "toObject">;
  /** Writes to stdout; throws when it is closed. */
  readonly out: (text: string) => void;
  /** Writes a line to stderr without waiting for its reader; may return how many lines were lost before it. */
  readonly err: (line: string) => number | void;
  readonly isErrTerminal: boolean;
  /** systemd's journal reads stderr. @default {false} */
  readonly isErrJournal?: boolean;
  readonly isOutTerminal?: boolean;
  /** Colours a status on stdout; undefined where stdout is no terminal. */
  readonly paintOut?:
    | ((status: "ok" | "warn" | "fail" | "skipped", text: string) => string)
    | undefined;
  /** Opens stdin. A function, because `Deno.stdin.readable` loads 208 KB of code that most runs never use. */
  readonly input: () => ReadableStream<Uint8Array>;
  /** Asks on the terminal; undefined where there is none. */
  readonly confirm: ((question: string) => boolean) | undefined;
  /** Listens for signals until the returned function is called. */
  readonly onSignals: (
    names: readonly Deno.Signal[],
    listener: (name?: Deno.Signal) => void,
  ) => () => void;
  /** Repeats an action until the returned function is called. */
  readonly every: (ms: number, action: () => void) => () => void;
  readonly hostName: () => string;
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** The world of a real process. */
export interface RealWorld extends World {
  /** Waits until stderr is written, for {@linkcode FLUSH_MS} at most. */
  readonly flush: () => Promise<void>;
}

/** How long the last lines may take when nobody reads them, in ms. */
const FLUSH_MS = 500;

/** Makes the world of this process. `isErrJournal` is what {@linkcode readsJournal} returned. */
export function realWorld(isErrJournal = false): RealWorld {
  // A synchronous write to a pipe that nobody reads, or to a stopped terminal, would block the whole program.
  const stderr = new LineWriter((bytes) => Deno.stderr.write(bytes));
  return {
    env: Deno.env,
    out(text) {
      try {
        const bytes = new TextEncoder().encode(text);
        for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
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
    err: (line) => stderr.put(line),
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

/** Whether the journal reads stderr. JOURNAL_STREAM is inherited, so it must also name this stderr. */
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

/** Terminal colours: green, yellow, red, gray. */
const COLOURS = { ok: 32, warn: 33, fail: 31, skipped: 90 } as const;

function paint(status: keyof typeof COLOURS, text: string): string {
  return coloured(COLOURS[status], text);
}
