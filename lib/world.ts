/** The process as the program sees it: arguments with real defaults, so that a test can bring its own. */

import { styleText } from "node:util";
import { EXIT, messageOf, UserError } from "./errors.ts";

/** What the program touches besides files and the network. */
export interface World {
  readonly env: Pick<Deno.Env, "get" | "set" | "delete" | "toObject">;
  /** Writes to stdout; throws when it is closed. */
  readonly out: (text: string) => void;
  /** Writes a line to stderr. */
  readonly err: (line: string) => void;
  readonly isErrTerminal: boolean;
  /** Colours a status on stdout, where it is a terminal. */
  readonly paintOut?:
    | ((status: "ok" | "warn" | "fail" | "skipped", text: string) => string)
    | undefined;
  readonly input: ReadableStream<Uint8Array>;
  /** Asks on the terminal; undefined where there is none. */
  readonly confirm: ((question: string) => boolean) | undefined;
  /** Listens for signals until the returned function is called. */
  readonly onSignals: (names: readonly Deno.Signal[], listener: () => void) => () => void;
  readonly hostName: () => string;
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** The real one. */
export function realWorld(): World {
  return {
    env: Deno.env,
    out(text) {
      try {
        writeAll(Deno.stdout, text);
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) throw error;
        throw new UserError(`Cannot write to standard output: ${messageOf(error)}`, {
          hint: "free some space where it goes (`df -h`), or send it elsewhere",
          exitCode: EXIT.cannotCreate,
          cause: error,
        });
      }
    },
    err: (line) => writeAll(Deno.stderr, `${line}\n`),
    isErrTerminal: Deno.stderr.isTerminal(),
    paintOut: Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR") ? paint : undefined,
    input: Deno.stdin.readable,
    confirm: Deno.stdin.isTerminal() ? confirm : undefined,
    onSignals(names, listener) {
      for (const name of names) Deno.addSignalListener(name, listener);
      return () => {
        for (const name of names) Deno.removeSignalListener(name, listener);
      };
    },
    hostName: Deno.hostname,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    random: Math.random,
  };
}

const COLOURS = { ok: "green", warn: "yellow", fail: "red", skipped: "gray" } as const;

function paint(status: keyof typeof COLOURS, text: string): string {
  return styleText(COLOURS[status], text, { validateStream: false });
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += stream.writeSync(bytes.subarray(written));
  }
}
