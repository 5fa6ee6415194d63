/** One run of ours that sends many messages: lines on stdin, the queue, TLS, PUBACK, and out of the queue. */

import { type Form, ourFlags } from "./ours.ts";
import { gainOf, kill, threadsOf, usedByChildren } from "./process.ts";
import { run } from "./run.ts";
import type { Paths, Server } from "./servers.ts";

/** What {@linkcode runBulk} is told. */
export interface BulkOptions {
  readonly form: Form;
  readonly server: Server;
  readonly paths: Paths;
  readonly messages: number;
  readonly inflight: number;
  readonly durability: "power" | "none";
  readonly state: string;
  readonly signal: AbortSignal;
}

/** What it took from the first line, which is given when the session is there, to the end of the session. */
export interface Bulk {
  readonly perS: number;
  /** CPU per message, in us. */
  readonly cpuUs: number;
  /** Written to disk per message. */
  readonly writtenBytes: number;
}

/** Sends the messages; what is told of CPU and disk is wrong where several run at once. */
export async function runBulk(options: BulkOptions): Promise<Bulk> {
  const { form, server, paths, messages, inflight, durability, state, signal } = options;
  const args = [
    ...["publish", "--source", "stdin", "--topic", "bench/bulk", "--durability", durability],
    ...["--inflight", `${inflight}`, ...ourFlags(server, paths, { state, id: "bench-bulk" })],
  ];
  const before = usedByChildren();
  let startMs = 0;
  let startCpuMs = 0;
  const said = await run(form.command(args), {
    signal,
    stdin: "piped",
    onText(said, child) {
      if (startMs > 0 || !said.includes('"event":"connected"')) return;
      startMs = Date.now();
      startCpuMs = gainOf(new Map(), threadsOf(child.pid)).cpuMs;
      feed(child, messages).catch(() => kill(child, "SIGKILL"));
    },
  });
  const used = usedByChildren();
  const { published } = eventOf(said, "stopped");
  if (published !== messages) {
    throw new Error(`${published} of ${messages} messages were published`);
  }
  const ms = Date.parse(`${eventOf(said, "stopped").time}`) - startMs;
  return {
    perS: messages * 1000 / ms,
    cpuUs: (used.cpuMs - before.cpuMs - startCpuMs) * 1000 / messages,
    writtenBytes: (used.writtenBytes - before.writtenBytes) / messages,
  };
}

/** A line becomes a message of about the size of the others'. */
const LINE = '{"temperature_celsius":21.5,"cpu_load_1m":0.12,"pump":"on"}\n';
/** Lines written at once: what a pipe holds. */
const CHUNK = Math.floor(65_536 / LINE.length);

async function feed({ stdin }: Deno.ChildProcess, lines: number): Promise<void> {
  const encoder = new TextEncoder();
  const chunk = encoder.encode(LINE.repeat(CHUNK));
  const writer = stdin.getWriter();
  for (let left = lines; left > 0; left -= CHUNK) {
    await writer.write(left < CHUNK ? encoder.encode(LINE.repeat(left)) : chunk);
  }
  await writer.close();
}

/** The last line of an event in a log. */
export function eventOf(log: string, event: string): Record<string, unknown> {
  const line = log.split("\n").findLast((line) => line.includes(`"event":"${event}"`));
  if (line === undefined) throw new Error(`mqtt443 did not say "${event}": ${log.slice(-1000)}`);
  return JSON.parse(line);
}
