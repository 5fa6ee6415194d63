/**
 * The program under soak: a process with the grants of its settings, its log read as it comes, killed and started again on
 * one state directory.
 */

import { ENVIRONMENT } from "../publish.ts";
import { grantsFor, runArguments } from "../shared/scoped.ts";

/** What was seen of all its processes. */
export interface Device {
  /** The process now. */
  readonly pid: number;
  /** Processes so far. */
  readonly starts: number;
  /** The last `seq` that the log reported as queued. */
  readonly queuedSeq: number;
  /** Lines of the log by event. */
  readonly events: ReadonlyMap<string, number>;
  /** Lines that should never be there. */
  readonly wrong: readonly string[];
  /** Writes lines of input; lines that nobody reads any more are lost, and were not promised. */
  write(lines: readonly string[]): Promise<void>;
  signal(name: Deno.Signal): void;
  /** kill -9, and a new process. */
  restart(): Promise<void>;
  /** Ends the input and settles with the exit code when all is delivered; kills it when that takes too long. */
  finish(mostMs: number): Promise<number>;
  /** kill -9. */
  kill(): Promise<void>;
}

/** What a sound run never says: a name without a value, a bug, a queue it could not use, a message set aside. */
const WRONG =
  /undefined|\[object|"exitCode":1\b|^\s+at |"event":"(quarantined|dropped)"|"step":"queue"/;

/** Starts it. */
export function startDevice(args: readonly string[]): Device {
  const events = new Map<string, number>();
  const wrong: string[] = [];
  let queuedSeq = 0;
  let starts = 0;
  const take = (line: string) => {
    if (WRONG.test(line)) wrong.push(line);
    if (!line.startsWith("{")) return void (line !== "" && wrong.push(line));
    const { event, seq } = JSON.parse(line) as { event: string; seq?: number };
    events.set(event, (events.get(event) ?? 0) + 1);
    if (event === "queued") queuedSeq = Math.max(queuedSeq, seq ?? 0);
  };
  const start = () => {
    starts++;
    const process = new Deno.Command(Deno.execPath(), {
      args: runArguments(args, grantsFor(args)),
      env: ENVIRONMENT,
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const writer = process.stdin.getWriter();
    const read = (async () => {
      let rest = "";
      for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        lines.forEach(take);
      }
    })();
    const ended = Promise.all([process.status, read]).then(([{ code }]) => code);
    return { process, writer, ended };
  };
  let current = start();
  const kill = async () => {
    try {
      current.process.kill("SIGKILL");
    } catch { /* it has ended */ }
    await current.ended;
    await current.writer.close().catch(() => {});
  };
  return {
    get pid() {
      return current.process.pid;
    },
    get starts() {
      return starts;
    },
    get queuedSeq() {
      return queuedSeq;
    },
    events,
    wrong,
    async write(lines) {
      const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
      await current.writer.write(bytes).catch(() => {});
    },
    signal: (name) => current.process.kill(name),
    async restart() {
      await kill();
      current = start();
    },
    async finish(mostMs) {
      await current.writer.close().catch(() => {});
      const timer = setTimeout(() => current.process.kill("SIGKILL"), mostMs);
      const code = await current.ended;
      clearTimeout(timer);
      return code;
    },
    kill,
  };
}
