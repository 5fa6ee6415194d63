/**
 * A stand-in for AWS IoT Core for demo, tests and benches: mutual TLS, ALPN, MQTT 5 and 3.1.1 at QoS 0
 * and 1, AWS's limits, and faults on demand. Import {@linkcode startEndpoint}, or run this file.
 *
 * It listens on 127.0.0.1 only, is no broker for any other purpose (of sessions across connections
 * it keeps the will, and there are no shared subscriptions) and is never part of the executable.
 */

import { parseArgs } from "@std/cli/parse-args";
import { EXIT, type ExitCode, formatError, messageOf, UserError } from "../../lib/core/errors.ts";
import { certPaths, readCerts, writeCerts } from "./cert_files.ts";
import type { ReceivedMessage } from "./observe.ts";
import { type Certificates, makePki } from "./pki.ts";
import { type Endpoint, startEndpoint } from "./server.ts";

export * from "./cert_files.ts";
export * from "./faults.ts";
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

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<ExitCode> {
  try {
    const command = parse(args);
    if (command === "help") {
      console.log(HELP);
      return EXIT.ok;
    }
    const own = command.dir ?? await Deno.makeTempDir({ prefix: "mqtt443-" });
    try {
      await serve(command.port, own);
    } finally {
      if (command.dir === undefined) await Deno.remove(own, { recursive: true });
    }
    return EXIT.ok;
  } catch (error) {
    console.error(formatError(error));
    return error instanceof UserError ? error.exitCode : EXIT.bug;
  }
}

function parse(args: string[]): "help" | { port: number; dir: string | undefined } {
  const { help, port = "8443", dir, _: rest, ...unknown } = parseArgs(args, {
    string: ["port", "dir"],
    boolean: ["help"],
  });
  if (help) return "help";
  const strange = [...rest, ...Object.keys(unknown).map((name) => `--${name}`)];
  if (strange.length > 0) throw usageError(`Cannot understand "${strange.join(" ")}"`);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw usageError(`Cannot use --port: must be from 0 to 65535: current value is "${port}"`);
  }
  if (dir === "") throw usageError("Cannot use --dir: a folder is required");
  return { port: Number(port), dir };
}

/** Serves until a signal comes, or nobody reads stdout any more: `… | head` is a way to say enough. */
async function serve(port: number, dir: string): Promise<void> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, end);
  const certificates = await findCerts(dir);
  const onMessage = ({ clientId, topic, qos, payload }: ReceivedMessage) => {
    const line = JSON.stringify({ time: new Date().toISOString(), clientId, topic, qos, payload });
    try {
      writeLine(line);
    } catch {
      end();
    }
  };
  const endpoint = await startEndpoint({ port, certificates, keep: "counts", onMessage })
    .catch((cause) => {
      throw cannotListen(port, cause);
    });
  console.error(welcome(endpoint, dir));
  await ended;
  await endpoint.close();
}

function writeLine(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
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
        code: "tool-failed",
        hint: "pass --dir with a new folder",
        exitCode: EXIT.config,
        cause,
      },
    );
  }
}

function cannotListen(port: number, cause: { readonly code?: string }): UserError {
  const inUse = cause.code === "EADDRINUSE";
  return new UserError(
    `Cannot listen on 127.0.0.1:${port}: ${inUse ? "port in use" : messageOf(cause)}`,
    {
      code: "tool-failed",
      hint: inUse ? "pass --port 0 for a free one, or another number" : "pass another --port",
      exitCode: EXIT.unavailable,
      cause,
    },
  );
}

function welcome({ port, certificates }: Endpoint, dir: string): string {
  const { ca, cert, key } = certPaths(dir, certificates);
  return `A local stand-in for AWS IoT Core listens on 127.0.0.1:${port}; Ctrl+C ends it
Certificates (throw-away, for this endpoint only):
  ${ca}
  ${cert}
  ${key}
Publish to it:
  mqtt443 publish --endpoint localhost --port ${port} --certs ${dir} --message hello`;
}

function usageError(message: string): UserError {
  const hint = "deno task endpoint --help shows the flags";
  return new UserError(message, { code: "tool-failed", hint, exitCode: EXIT.usage });
}
