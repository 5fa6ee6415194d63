/** `mqtt443` as a child process, with its log as data. */

import type { Brokers, Place } from "./brokers.ts";
import { assertGranted, programCommand } from "../../support/program.ts";
import { type Child, spawn } from "./child.ts";

/** A line of its log. */
export type LogEvent = Readonly<Record<string, string | number | boolean>> & {
  readonly event: string;
};

/** A running `mqtt443`. Disposing of it ends it. */
export interface Program extends Child {
  /** Its log so far. */
  log(): LogEvent[];
  /** Settles with the first log line of that event, after the first `skip` of them. */
  event(name: string, skip?: number): Promise<LogEvent>;
}

/** What {@linkcode runProgram} can be told. */
export interface RunOptions {
  /** Where to connect. */
  readonly to: Place;
  /** Another `--certs` than the device's. */
  readonly certs?: string;
  /** A command that runs another one in a world of its own. */
  readonly within?: readonly string[];
}

/** Starts `mqtt443 ARGS` with a state directory of its own and its log as JSON. */
export function runProgram(
  brokers: Brokers,
  args: readonly string[],
  { to, certs = brokers.certs, within = [] }: RunOptions,
): Program {
  const { words: [program, ...words], env } = programCommand([
    ...args,
    ...["--endpoint", to.endpoint, "--port", `${to.port}`, "--certs", certs],
    ...(args.includes("--client-id") ? [] : ["--client-id", "gw-7"]),
    ...["--state", `${brokers.dir}/state`, "--log-format", "json"],
  ], { within });
  const child = spawn(program, words, { cwd: brokers.dir, env });
  const parse = (line: string): LogEvent[] => line.startsWith("{") ? [JSON.parse(line)] : [];
  return {
    ...child,
    async [Symbol.asyncDispose]() {
      await child.stop();
      assertGranted(child.stderr.all.join("\n"));
    },
    log: () => child.stderr.all.flatMap(parse),
    event: (name, skip = 0) =>
      child.stderr.until(
        (lines) => lines.flatMap(parse).filter(({ event }) => event === name)[skip],
        `event ${name}${skip > 0 ? ` number ${skip + 1}` : ""}`,
      ),
  };
}
