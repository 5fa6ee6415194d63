/** A backlog drained: from the queue on disk, and the same from memory alone. */

import { ourFlags } from "./clients.ts";
import type { BenchEndpoint } from "./endpoint.ts";
import { endOf } from "./process.ts";
import { DRAFT, roomy } from "./queue.ts";
import { openQueue } from "../../lib/queue.ts";
import type { Row } from "./report.ts";

/** Drains so many messages with windows of 20 and 1000. */
export async function measureDrain(
  endpoint: BenchEndpoint,
  dir: string,
  messages: number,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const inflight of [20, 1000]) {
    const path = `${dir}/drain-${inflight}.db`;
    fill(path, messages);
    const disk = await drain(endpoint, path, messages, inflight);
    const memory = await drain(endpoint, ":memory:", messages, inflight);
    const head = `drain of ${messages.toLocaleString("en")}, window ${inflight}`;
    rows.push(
      {
        what: `${head}, durability power`,
        unit: "msg/s",
        values: { mqtt443: disk.perS },
        ratio: { of: "none", value: disk.perS / memory.perS },
      },
      { what: `${head}, durability none`, unit: "msg/s", values: { mqtt443: memory.perS } },
      {
        what: `  CPU per message, window ${inflight}, durability power`,
        unit: "us",
        values: { mqtt443: disk.cpuUs },
        ratio: { of: "none", value: disk.cpuUs / memory.cpuUs },
      },
      {
        what: `  peak RSS, window ${inflight}, durability power`,
        unit: "MiB",
        values: { mqtt443: disk.peak },
      },
    );
  }
  return rows;
}

/** Puts a backlog into a queue. */
export function fill(path: string, messages: number): void {
  const queue = openQueue(path, roomy("crash"));
  const batch = 1000;
  for (let put = 0; put < messages; put += batch) {
    queue.put(Array(Math.min(batch, messages - put)).fill(DRAFT));
  }
  queue.close();
}

async function drain(
  endpoint: BenchEndpoint,
  path: string,
  messages: number,
  inflight: number,
): Promise<{ perS: number; peak: number; cpuUs: number }> {
  const arrival = endpoint.arrival(messages);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--frozen", `${import.meta.dirname}/drain_process.ts`],
      ...[path, `${messages}`, "--inflight", `${inflight}`, ...ourFlags(endpoint, "unused")],
    ],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const said = new Response(child.stdout).text();
  if (!await endOf(child)) throw new Error(`${messages} messages of ${path} were not delivered`);
  const arrived = await arrival;
  const { peak, cpuMs } = JSON.parse(await said);
  return {
    perS: arrived.messages * 1000 / arrived.ms,
    peak,
    cpuUs: cpuMs * 1000 / messages,
  };
}
