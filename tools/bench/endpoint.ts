/**
 * The local endpoint in a process of its own, so that it takes no time from what is measured, and how to ask it how
 * fast messages came.
 */

import { type Certificates, makePki, startEndpoint, writeCerts } from "../endpoint.ts";
import { readLines } from "../../lib/sources/mod.ts";
import { kill } from "./process.ts";

/** Longest window that is measured, and so the Receive Maximum. */
const RECEIVE_MAXIMUM = 1000;

/** How messages came. */
export interface Arrival {
  readonly messages: number;
  /** From the first to the last. */
  readonly ms: number;
}

/** The endpoint, and where its clients find what they need. */
export interface BenchEndpoint extends AsyncDisposable {
  readonly port: number;
  /** The device's certificates, for `--certs`. */
  readonly certs: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Settles when so many messages have come from now. The one that asks must wait before it asks again. */
  arrival(messages: number): Promise<Arrival>;
}

/** Starts it. */
export async function startBenchEndpoint(dir: string): Promise<BenchEndpoint> {
  const paths = await writeCerts(`${dir}/certs`, await makePki());
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--frozen", import.meta.filename!, paths.dir],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  const output = readLines(child.stdout);
  const answer = async () => JSON.parse(`${(await output.next()).value?.[0]}`);
  const { port } = await answer();
  return {
    port,
    certs: paths.dir,
    ca: paths.ca,
    cert: paths.cert,
    key: paths.key,
    async arrival(messages) {
      await input.write(new TextEncoder().encode(`${messages}\n`));
      return await answer();
    },
    async [Symbol.asyncDispose]() {
      kill(child, "SIGKILL");
      await output.return();
      await input.abort().catch(() => {});
      await child.status;
    },
  };
}

/** The process: a number on stdin is how many messages to wait for; each answer is a line of JSON. */
async function serve(certificates: Certificates): Promise<void> {
  const endpoint = await startEndpoint({
    certificates,
    keep: "counts",
    limits: { receiveMaximum: RECEIVE_MAXIMUM },
  });
  const { counts } = endpoint;
  console.log(JSON.stringify({ port: endpoint.port }));
  for await (const [line] of readLines(Deno.stdin.readable)) {
    const before = counts.received;
    const wanted = Number(line);
    const wait = { deadlineMs: 120_000 };
    await endpoint.until(() => counts.received > before, wait);
    const startMs = performance.now();
    const seen = counts.received;
    await endpoint.until(() => counts.received >= before + wanted, wait);
    console.log(
      JSON.stringify({ messages: before + wanted - seen, ms: performance.now() - startMs }),
    );
  }
}

if (import.meta.main) {
  const { readCerts } = await import("../endpoint.ts");
  await serve((await readCerts(Deno.args[0]!))!);
}
