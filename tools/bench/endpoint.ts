/**
 * The local endpoint in a process of its own, so that it takes no time from what is measured, and how to ask it how
 * fast messages came.
 */

import { type Certificates, makePki, readCerts, startEndpoint, writeCerts } from "../endpoint.ts";
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
  /** Settles when so many messages have come from now; never, if they do not come. */
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
  const { port } = JSON.parse(`${(await output.next()).value?.[0]}`);
  const asked = new Map<string, (arrival: Arrival) => void>();
  const reading = (async () => {
    for await (const lines of output) {
      for (const line of lines) {
        const { id, ...arrival } = JSON.parse(`${line}`);
        asked.get(id)?.(arrival);
        asked.delete(id);
      }
    }
  })();
  return {
    port,
    certs: paths.dir,
    ca: paths.ca,
    cert: paths.cert,
    key: paths.key,
    async arrival(messages) {
      // A client that fails leaves its question open; with an id its answer is nobody else's.
      const id = crypto.randomUUID();
      const { promise, resolve } = Promise.withResolvers<Arrival>();
      asked.set(id, resolve);
      await input.write(new TextEncoder().encode(`${id} ${messages}\n`));
      return await promise;
    },
    async [Symbol.asyncDispose]() {
      kill(child, "SIGKILL");
      await reading;
      await input.abort().catch(() => {});
      await child.status;
    },
  };
}

/** The process: `ID COUNT` on stdin says how many messages to wait for; each answer is a line of JSON. */
async function serve(certificates: Certificates): Promise<void> {
  const endpoint = await startEndpoint({
    certificates,
    keep: "counts",
    limits: { receiveMaximum: RECEIVE_MAXIMUM },
  });
  const { counts } = endpoint;
  const wait = { deadlineMs: 120_000 };
  const watch = async (id: string, wanted: number) => {
    const before = counts.received;
    await endpoint.until(() => counts.received > before, wait);
    const startMs = performance.now();
    const seen = counts.received;
    await endpoint.until(() => counts.received >= before + wanted, wait);
    const ms = performance.now() - startMs;
    console.log(JSON.stringify({ id, messages: before + wanted - seen, ms }));
  };
  console.log(JSON.stringify({ port: endpoint.port }));
  for await (const lines of readLines(Deno.stdin.readable)) {
    for (const line of lines) {
      const [id, wanted] = `${line}`.split(" ") as [string, string];
      watch(id, Number(wanted)).catch(() => {});
    }
  }
}

if (import.meta.main) {
  await serve((await readCerts(Deno.args[0]!))!);
  // Whoever started it is gone.
  Deno.exit();
}
