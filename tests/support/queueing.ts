/** Messages, files and disks for the tests of the queue. */

import type { Logger } from "../../lib/core/log.ts";
import { realWorld } from "../../lib/core/process.ts";
import { openStateQueue } from "../../lib/queue/mod.ts";
import type { StateQueue } from "../../lib/queue/state_queue.ts";
import type { NewMessage, QueueOptions } from "../../lib/queue/types.ts";
import type { Settings } from "../../lib/settings/types.ts";

/** Limits that are not met. */
export const OPTIONS: QueueOptions = {
  maxMessages: 100_000,
  maxBytes: 64 * 1024 ** 2,
  full: "drop-oldest",
  durability: "crash",
};

/** A message. */
export function message(
  { topic = "t", qos = 1, timeMs = 1000, text = "x" }: {
    topic?: string;
    qos?: 0 | 1;
    timeMs?: number;
    text?: string;
  } = {},
): NewMessage {
  return { topic, qos, timeMs, payload: text };
}

/** So many messages. */
export function messages(count: number, text = "x"): NewMessage[] {
  return Array(count).fill(message({ text }));
}

/** A line that was said. */
export interface Said {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Opens the queue of a state directory as a run does; what it says is collected. */
export function openState(
  state: string,
  more: Partial<Settings> = {},
): { queue: StateQueue; said: Said[]; [Symbol.dispose](): void } {
  const said: Said[] = [];
  const say = (event: string, fields = {}) => void said.push({ event, fields });
  const log: Logger = { debug() {}, info: say, warn: say, error: say };
  const settings = {
    endpoint: "gw.example",
    port: 443,
    clientId: "gw-7",
    topic: "t",
    inflight: 20,
    state,
    queueMaxMessages: 10_000,
    queueMaxBytes: 64 * 1024 ** 2,
    queueMaxAge: undefined,
    queueFull: "drop-oldest",
    durability: "power",
    ...more,
  } as Settings;
  const queue = openStateQueue(settings, log, realWorld());
  return { queue, said, [Symbol.dispose]: () => queue.close() };
}

/** A queue in memory, as with durability none. */
export function memoryQueue(): StateQueue {
  return openState("", { durability: "none" }).queue;
}

/** Takes all that waits, and accepts it; returns what it was. */
export function drain(queue: StateQueue): { seq: number; payload: string }[] {
  const all = [];
  for (let some = queue.take(100); some.length > 0; some = queue.take(100)) {
    all.push(...some.map(({ seq, payload }) => ({ seq, payload })));
    queue.accept(some.map(({ seq }) => seq));
  }
  return all;
}

/** The `seq` of each. */
export function seqs(messages: readonly { readonly seq: number }[]): number[] {
  return messages.map(({ seq }) => seq);
}

/** Runs an action with the path of a private folder, which is removed after it. */
export function inStateFolder<T>(action: (folder: string) => T): T {
  const folder = Deno.makeTempDirSync({ prefix: "mqtt443-test-" });
  try {
    return action(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Whether this runs as root. */
export const isRoot: boolean = Deno.uid() === 0;

/** Whether a program is installed. */
export function hasProgram(name: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${name}`).isFile;
    } catch {
      return false;
    }
  });
}

/** Whether two files' bytes are the same. (assertEquals would print a difference of so many, and take all memory for it.) */
export function isSame(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one?.length === other.length && one.every((byte, index) => byte === other[index]);
}
