/** Queue files that are damaged, and what a run finds in them. */

import { assert, assertEquals } from "@std/assert";
import { drain, inStateFolder, message, messages, openState } from "./queueing.ts";

export const PAGE_BYTES = 1024;
export const MESSAGES = 200;
export const TEXT = "x".repeat(200);

/** Makes a queue of 200 messages in a folder; returns its path. */
export function fill(folder: string): string {
  using state = openState(folder);
  state.queue.put(messages(MESSAGES, TEXT));
  return `${folder}/queue.db`;
}

/** The damaged files that were kept. */
export function keptIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.startsWith("queue.db.damaged-") && !/-(wal|shm)$/.test(name));
}

/** Opens it and drains it, once more after that, and counts what was found. */
export function openAndDrain(folder: string): { seqs: number[]; kept: number; cause: string } {
  using state = openState(folder);
  const { lastSeq } = state.queue.put([message({ text: "new" })]);
  assert(lastSeq > MESSAGES && lastSeq <= MESSAGES + 5000, `seq goes on at ${lastSeq}`);
  const found = drain(state.queue);
  assertEquals(found.at(-1), { seq: lastSeq, payload: "new" });
  for (const { payload } of found.slice(0, -1)) assertEquals(payload, TEXT);
  const seqs = found.map(({ seq }) => seq);
  assertEquals(seqs, seqs.toSorted((a, b) => a - b));
  assertEquals(state.queue.waiting.messages, 0);
  const cause = String(state.said[0]?.fields.cause ?? "");
  return { seqs: seqs.slice(0, -1), kept: keptIn(folder).length, cause };
}

/** Flips bits of the header one after the other, and sees that no message is lost. @param step From bit to bit. */
export function flipHeaderBits(step: number): void {
  inStateFolder((folder) => {
    const path = fill(`${folder}/one`);
    const sound = Deno.readFileSync(path);
    const status = Deno.readFileSync(`${folder}/one/queue.lock`);
    for (let bit = 0; bit < 100 * 8; bit += step) {
      const state = `${folder}/${bit}`;
      Deno.mkdirSync(state, { mode: 0o700 });
      const bytes = sound.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      Deno.writeFileSync(`${state}/queue.db`, bytes, { mode: 0o600 });
      Deno.writeFileSync(`${state}/queue.lock`, status, { mode: 0o600 });
      assertEquals(openAndDrain(state).seqs.length, MESSAGES, `bit ${bit}`);
      Deno.removeSync(state, { recursive: true });
    }
  });
}
