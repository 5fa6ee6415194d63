/** Drafts and files for the tests of the queue. */

import type { DeliveredMark, Draft, QueueOptions } from "../../lib/queue/types.ts";

/** Limits that are not met. */
export const OPTIONS: QueueOptions = {
  maxMessages: 100_000,
  maxBytes: 64 * 1024 ** 2,
  full: "drop-oldest",
  durability: "crash",
};

/** A draft whose payload is its seq and a text. */
export function draft(
  { topic = "t", qos = 1, timeMs = 1000, text = "x" }: {
    topic?: string;
    qos?: 0 | 1;
    timeMs?: number;
    text?: string;
  } = {},
): Draft {
  return { topic, qos, timeMs, payload: (seq) => `${seq} ${text}` };
}

/** A mark that is in no file; `fail` lets each write fail. */
export function makeMark(): DeliveredMark & { through: number; fail: boolean } {
  return {
    through: 0,
    fail: false,
    write(seq) {
      if (this.fail) throw new Error("Input/output error");
      this.through = seq;
    },
  };
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
