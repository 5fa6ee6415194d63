/**
 * A stand-in for AWS IoT Core for demo, tests and benches: mutual TLS, ALPN, MQTT 5 and 3.1.1 at QoS 0
 * and 1, AWS's limits, and faults on demand. Import {@linkcode startEndpoint}, or run this file.
 *
 * It listens on 127.0.0.1 only, is no broker for any other purpose (no sessions across connections, no
 * wills, no shared subscriptions) and is never part of the executable.
 */

import { parseArgs } from "@std/cli/parse-args";
import { EXIT, type ExitCode, formatError, messageOf, UserError } from "../../lib/core/errors.ts";
import { certPaths, readCerts, writeCerts } from "./cert_files.ts";
import type { ReceivedMessage } from "./observe.ts";
import { type Certificates, makePki } from "./pki.ts";
import { type Endpoint, startEndpoint } from "./server.ts";

export * from "./cert_files.ts";
export * from "./faults.ts";
export * from "./keys.ts";
export type * from "./observe.ts";
export { AWS_ALPN, type EndpointOptions, type Limits } from "./options.ts";
export type { Policy, Rule } from "./options.ts";
export * from "./pki.ts";
export * from "./server.ts";

const HELP = `A local stand-in for AWS IoT Core; prints each message received as a JSON line.

Usage: deno task endpoint [--port PORT] [--dir DIR]

  --port PORT  port on 127.0.0.1; 0 picks a free one (default 8443)
  --dir DIR    certificates: made here the first time, used again after that
               (default: a temporary folder, removed at the end)
  --help       show this

Example:
  deno task endpoint --port 8443 --dir /tmp/certs
  mqtt443 publish --endpoint localhost --port 8443 --certs /tmp/certs --message hello

Exit codes: 0 ended by a signal, 64 wrong command line, 69 port cannot be used,
78 certificates cannot be used.
`;

/** The outside of {@linkcode runEndpoint}. */
export interface CommandWorld {
  /** Write to stdout. @throws {Deno.errors.BrokenPipe} If nobody reads any more. */
  stdout(text: string): void;
  /** Write to stderr. */
  stderr(text: string): void;
  /** Ends the command. */
  readonly signal: AbortSignal;
}

/**
 * Run the command.
 *
 * @returns The exit code, once the signal has come.
 */
export async function runEndpoint(
  args: string[],
  world: CommandWorld,
): Promise<ExitCode> {
  let temporary: string | undefined;
  try {
    const command = parse(args);
    if (command === "help") {
      world.stdout(HELP);
      return EXIT.ok;
    }
    if (command.dir === undefined) {
      temporary = await Deno.makeTempDir({ prefix: "mqtt443-" });
    }
    await serve(command.port, command.dir ?? temporary ?? ".", world);
    return EXIT.ok;
  } catch (error) {
    world.stderr(`${formatError(error)}\n`);
    return error instanceof UserError ? error.exitCode : EXIT.bug;
  } finally {
    if (temporary !== undefined) {
      await Deno.remove(temporary, { recursive: true });
    }
  }
}

function parse(
  args: string[],
): "help" | { port: number; dir: string | undefined } {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["port", "dir"],
    boolean: ["help"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (flags.help) return "help";
  if (unknown.length > 0) {
    throw usageError(`Cannot understand "${unknown.join(" ")}"`);
  }
  const port = flags.port === undefined ? 8443 : Number(flags.port || NaN);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw usageError(
      `Cannot use --port: must be from 0 to 65535: current value is "${flags.port}"`,
    );
  }
  if (flags.dir === "") {
    throw usageError("Cannot use --dir: a folder is required");
  }
  return { port, dir: flags.dir };
}

async function serve(
  port: number,
  dir: string,
  world: CommandWorld,
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  world.signal.addEventListener("abort", () => ended.resolve(), { once: true });
  if (world.signal.aborted) return;
  const certificates = await findCerts(dir);
  const endpoint = await open(port, certificates, (message) => {
    try {
      world.stdout(`${lineOf(message)}\n`);
    } catch (error) {
      // `… | head` is a way to say enough.
      if (error instanceof Deno.errors.BrokenPipe) ended.resolve();
      else ended.reject(error);
    }
  });
  try {
    world.stderr(welcome(endpoint, dir));
    await ended.promise;
  } finally {
    await endpoint.close();
  }
}

async function findCerts(dir: string): Promise<Certificates> {
  try {
    const found = await readCerts(dir);
    if (found !== undefined) return found;
    const made = await makePki();
    await writeCerts(dir, made);
    return made;
  } catch (cause) {
    throw new UserError(
      `Cannot use certificates in "${dir}": ${messageOf(cause)}`,
      {
        hint: "pass --dir with a new folder",
        exitCode: EXIT.config,
        cause,
      },
    );
  }
}

async function open(
  port: number,
  certificates: Certificates,
  onMessage: (message: ReceivedMessage) => void,
): Promise<Endpoint> {
  try {
    return await startEndpoint({
      port,
      certificates,
      keep: "counts",
      onMessage,
    });
  } catch (cause) {
    const inUse = (cause as { code?: string }).code === "EADDRINUSE";
    throw new UserError(
      `Cannot listen on 127.0.0.1:${port}: ${inUse ? "port in use" : messageOf(cause)}`,
      {
        hint: inUse ? "pass --port 0 for a free one, or another number" : "pass another --port",
        exitCode: EXIT.unavailable,
        cause,
      },
    );
  }
}

function welcome({ port, certificates }: Endpoint, dir: string): string {
  const { ca, cert, key } = certPaths(dir, certificates);
  return `A local stand-in for AWS IoT Core listens on 127.0.0.1:${port}; Ctrl+C ends it
Certificates (throw-away, for this endpoint only):
  ${ca}
  ${cert}
  ${key}
Publish to it:
  mqtt443 publish --endpoint localhost --port ${port} --certs ${dir} --message hello
`;
}

function lineOf({ clientId, topic, qos, payload }: ReceivedMessage): string {
  return JSON.stringify({
    time: new Date().toISOString(),
    clientId,
    topic,
    qos,
    payload,
  });
}

function usageError(message: string): UserError {
  return new UserError(message, {
    hint: "deno task endpoint --help shows the flags",
    exitCode: EXIT.usage,
  });
}

if (import.meta.main) {
  const ended = new AbortController();
  const end = () => ended.abort();
  Deno.addSignalListener("SIGINT", end);
  Deno.addSignalListener("SIGTERM", end);
  const encoder = new TextEncoder();
  Deno.exitCode = await runEndpoint(Deno.args, {
    stdout: (text) => writeAll(Deno.stdout, encoder.encode(text)),
    stderr: (text) => writeAll(Deno.stderr, encoder.encode(text)),
    signal: ended.signal,
  });
  Deno.removeSignalListener("SIGINT", end);
  Deno.removeSignalListener("SIGTERM", end);
}

function writeAll(
  to: { writeSync(bytes: Uint8Array): number },
  bytes: Uint8Array,
): void {
  for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
}
