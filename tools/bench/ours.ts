/**
 * The program in the forms it has: from source, as a bundle under plain Deno, as one executable file. Each gets just the
 * grants that its settings need, and the variables, as `deno task publish` gives them.
 */

import { grantFlags } from "../../lib/settings/grants.ts";
import { RUN_FLAGS } from "../build/packed.ts";
import { grantsFor } from "../shared/scoped.ts";
import { ENVIRONMENT } from "../publish.ts";
import { V8_FLAGS } from "../build/v8_flags.ts";
import type { Paths, Server } from "./servers.ts";
import type { CommandLine } from "./run.ts";
import { PEERS } from "./targets.ts";

const MAIN = `${import.meta.dirname}/../../main.ts`;

/** A form of the program. */
export interface Form {
  readonly name: string;
  /** The command line for these arguments of ours; `fresh` is a folder in which no earlier run left anything. */
  command(args: readonly string[], fresh?: string): CommandLine;
  /** Bytes of the file that has to be copied, where it is one. */
  readonly bytes?: number;
}

/** The bundle, in a file, run by plain Deno. */
export function bundleForm(dir: string, path: string): Form {
  return {
    name: PEERS.bundle,
    bytes: Deno.statSync(path).size,
    command: (args, fresh) => ({
      program: Deno.execPath(),
      args: ["run", ...RUN_FLAGS, ...grantFlags(grantsFor(args)), path, ...args],
      env: { DENO_DIR: fresh ?? `${dir}/deno-bundle`, ...ENVIRONMENT },
    }),
  };
}

/** The program from source, as it is checked out. */
export function sourceForm(dir: string, cache: string): Form {
  return {
    name: "from source",
    command: (args, fresh) => ({
      program: Deno.execPath(),
      args: ["run", "--frozen", V8_FLAGS, ...grantFlags(grantsFor(args)), MAIN, ...args],
      env: { DENO_DIR: denoDir(fresh ?? `${dir}/deno-source`, cache), ...ENVIRONMENT },
    }),
  };
}

/** An executable: it has its grants inside. */
export function fileForm(dir: string, name: string, path: string): Form {
  return {
    name,
    bytes: Deno.statSync(path).size,
    command: (args, fresh) => {
      const own = fresh ?? `${dir}/runtime-${name.replaceAll(" ", "-")}`;
      return { program: path, args, env: { MQTT443_RUNTIME_DIR: own, DENO_DIR: own } };
    },
  };
}

/** A cache for compiled code of its own, with the packages of another: two programs in one would disturb each other. */
export function denoDir(path: string, cache: string): string {
  Deno.mkdirSync(path, { recursive: true });
  for (const name of ["npm", "remote"]) {
    try {
      Deno.symlinkSync(`${cache}/${name}`, `${path}/${name}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
  return path;
}

/** The flags with which ours reaches a server. */
export function ourFlags(
  { port, alpn }: Server,
  { dir }: Paths,
  { state, id }: { state: string; id: string },
): string[] {
  return [
    ...["--endpoint", "localhost", "--port", `${port}`, "--alpn", alpn, "--certs", dir],
    ...["--state", state, "--client-id", id, "--log-format", "json"],
  ];
}
