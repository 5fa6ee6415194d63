/** From the start of the process to the first PUBACK. */

import type { Client } from "./clients.ts";
import { endOf, follow, median } from "./process.ts";
import { ratioTo, type Row } from "./report.ts";

/** Milliseconds a client may take. */
const MOST_MS = 10_000;

/** Starts each client so many times, in turn, and takes the median. */
export async function measureStart(
  clients: readonly Client[],
  runs: number,
  signal: AbortSignal,
): Promise<Row[]> {
  const acked = new Map<string, number[]>();
  const ended = new Map<string, number[]>();
  for (let run = 0; run < runs; run++) {
    for (const client of clients) {
      // Twice, of which the second counts: clients on Deno share a cache of compiled code, and one that runs with other
      // flags of V8 finds nothing in it that it could use.
      await startOnce(client, signal);
      const { ackedMs, endedMs } = await startOnce(client, signal);
      acked.set(client.name, [...acked.get(client.name) ?? [], ackedMs ?? endedMs]);
      ended.set(client.name, [...ended.get(client.name) ?? [], endedMs]);
    }
  }
  return [row("start to first PUBACK", acked), row("the whole run of one message", ended)];
}

async function startOnce(
  { name, once, acked }: Client,
  signal: AbortSignal,
): Promise<{ ackedMs: number | undefined; endedMs: number }> {
  const startMs = performance.now();
  const child = new Deno.Command(once.program, {
    args: [...once.args],
    signal,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let ackedMs: number | undefined;
  let said = "";
  const look = (text: string) => {
    said += text;
    if (acked?.test(said)) ackedMs ??= performance.now() - startMs;
  };
  const read = Promise.all([follow(child.stdout, look), follow(child.stderr, look)]);
  const isGood = await endOf(child, MOST_MS);
  const endedMs = performance.now() - startMs;
  await read;
  signal.throwIfAborted();
  if (!isGood) throw new Error(`${name} did not publish: ${said}`);
  return { ackedMs, endedMs };
}

function row(what: string, times: ReadonlyMap<string, readonly number[]>): Row {
  const values = Object.fromEntries([...times].map(([name, ms]) => [name, median(ms)]));
  return { what, unit: "ms", values, ...ratioTo("npm:mqtt", values) };
}
