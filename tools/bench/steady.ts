/** Memory and CPU of a client that publishes once a second, all clients side by side. */

import type { Client } from "./clients.ts";
import { PAYLOAD } from "./clients.ts";
import { cpuMsOf, delay, endOf, kill, memoryOf } from "./process.ts";
import { ratioTo, type Row } from "./report.ts";

/** How long to let them settle, then watch them; and what stops it. */
export interface SteadyTimes {
  readonly settleMs: number;
  readonly watchMs: number;
  readonly signal: AbortSignal;
}

/** Runs all clients at once and measures each. */
export async function measureSteady(
  clients: readonly Client[],
  { settleMs, watchMs, signal }: SteadyTimes,
): Promise<Row[]> {
  const running = clients.map(({ name, steady, byLine }) => {
    const child = new Deno.Command(steady.program, {
      args: [...steady.args],
      stdin: byLine ? "piped" : "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    return { name, child, stop: byLine ? sendLines(child) : () => Promise.resolve() };
  });
  try {
    await delay(settleMs, signal);
    const before = await Promise.all(running.map(({ child }) => cpuMsOf(child.pid)));
    await delay(watchMs, signal);
    const after = await Promise.all(running.map(({ child }) => cpuMsOf(child.pid)));
    const memory = await Promise.all(running.map(({ child }) => memoryOf(child.pid)));
    const row = (what: string, unit: string, value: (index: number) => number): Row => {
      const values = Object.fromEntries(running.map(({ name }, index) => [name, value(index)]));
      return { what, unit, values, ...ratioTo("npm:mqtt", values) };
    };
    return [
      row("memory at 1 Hz, RSS", "MiB", (index) => memory[index]!.rss),
      row("memory at 1 Hz, private", "MiB", (index) => memory[index]!.private),
      row(
        "CPU at 1 Hz, per message",
        "ms",
        (index) => (after[index]! - before[index]!) * 1000 / watchMs,
      ),
    ];
  } finally {
    for (const { child, stop } of running) {
      await stop();
      kill(child);
      await endOf(child, 6000);
    }
  }
}

/** Writes a line a second; returns how to stop that. */
function sendLines(child: Deno.ChildProcess): () => Promise<void> {
  const input = child.stdin.getWriter();
  const bytes = new TextEncoder().encode(`${PAYLOAD}\n`);
  const timer = setInterval(() => input.write(bytes).catch(() => {}), 1000);
  return async () => {
    clearInterval(timer);
    await input.close().catch(() => {});
  };
}
