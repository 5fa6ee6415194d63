/**
 * A queue whose disk may fail: then messages wait in memory, bounded, until the disk takes them again.
 *
 * Rules: nothing already on disk is lost; what was delivered but could not be deleted is not taken again in this run;
 * the disk is tried again with each `put`. Without a failure it only passes calls on.
 */

import type { UserError } from "../core/errors.ts";
import { EMPTY_STATS, type Leaving, type Queue } from "./types.ts";

/** Options of {@linkcode createSpill}. */
export interface SpillOptions {
  readonly disk: Queue;
  /** Opens what takes over while the disk fails, when it is first needed. */
  readonly openMemory: () => Queue;
  /** Told of each failure; may be often. */
  readonly onFailure: (error: UserError) => void;
  /** Told when the disk takes messages again. */
  readonly onHealed: (messages: number) => void;
}

/** Seqs remembered beyond those that memory holds before the difference is looked for. */
const PRUNE_OVER = 1000;

/** Makes one queue of the two. */
export function createSpill({ disk, openMemory, onFailure, onHealed }: SpillOptions): Queue {
  let opened: Queue | undefined;
  let isInFlight: (seq: number) => boolean = () => false;
  const memory = () => {
    if (opened === undefined) {
      opened = openMemory();
      opened.protect(isInFlight);
    }
    return opened;
  };
  /** Messages now in memory. */
  const spilled = new Set<number>();
  /** Delivered, but still on the failing disk. */
  let owed: Leaving[] = [];
  /** The last one given, known even when the disk can no longer be read. */
  let lastSeq = disk.stats().lastSeq;
  /** The last one that the disk knows of. */
  let seqOnDisk = lastSeq;

  const attempt = <T>(action: () => T, otherwise: (error: unknown) => T): T => {
    try {
      return action();
    } catch (error) {
      onFailure(error as UserError);
      return otherwise(error);
    }
  };
  /** Taken from memory in this session, then moved to disk: not to be taken a second time in it. */
  const moved = new Set<number>();
  const taken = new Set<number>();
  const heal = () => {
    if (owed.length > 0) {
      disk.accept(owed);
      owed = [];
    }
    // What was given in memory must not be given again after a restart.
    if (seqOnDisk < lastSeq) seqOnDisk = disk.put([], lastSeq).lastSeq;
    if (spilled.size === 0) return;
    // Not by take: where this fails, what was not taken yet must still be to come.
    const messages = [...spilled].flatMap((seq) => memory().find(seq) ?? []);
    disk.restore(messages);
    memory().clear();
    spilled.clear();
    for (const seq of taken) moved.add(seq);
    onHealed(messages.length);
  };
  /** Forgets those that memory has dropped. */
  const prune = () => {
    for (const seq of spilled) if (memory().find(seq) === undefined) spilled.delete(seq);
  };
  return {
    put(drafts, afterSeq = 0, isHandedIn = false) {
      return attempt(() => {
        heal();
        const result = disk.put(drafts, Math.max(afterSeq, lastSeq), isHandedIn);
        lastSeq = seqOnDisk = result.lastSeq;
        return result;
      }, (error) => {
        if (isHandedIn) throw error;
        const after = Math.max(afterSeq, lastSeq);
        const result = memory().put(drafts, after);
        lastSeq = result.lastSeq;
        for (let seq = after + 1; seq <= lastSeq; seq++) spilled.add(seq);
        if (spilled.size > 2 * memory().stats().waiting + PRUNE_OVER) prune();
        return result;
      });
    },
    restore: (messages) => disk.restore(messages),
    take(most) {
      const owing = new Set(owed.map(({ seq }) => seq));
      for (;;) {
        const found = attempt(() => disk.take(most), () => []);
        const wanted = found.filter(({ seq }) => !owing.has(seq) && !moved.has(seq));
        if (wanted.length > 0) return wanted;
        if (found.length > 0) continue;
        const rest = spilled.size === 0 ? [] : memory().take(most);
        for (const { seq } of rest) taken.add(seq);
        return rest;
      }
    },
    find: (seq) =>
      spilled.has(seq) ? memory().find(seq) : attempt(() => disk.find(seq), () => undefined),
    accept(messages) {
      const onDisk = messages.filter(({ seq }) => !spilled.has(seq));
      const inMemory = messages.filter(({ seq }) => spilled.delete(seq));
      opened?.accept(inMemory);
      attempt(() => {
        disk.accept([...owed, ...onDisk]);
        owed = [];
      }, () => void owed.push(...onDisk));
    },
    rewind() {
      taken.clear();
      moved.clear();
      disk.rewind();
      opened?.rewind();
    },
    protect(isOne) {
      isInFlight = isOne;
      disk.protect(isOne);
      opened?.protect(isOne);
    },
    quarantine(message, reason) {
      if (spilled.delete(message.seq)) memory().quarantine(message, reason);
      else attempt(() => disk.quarantine(message, reason), () => void owed.push(message));
    },
    waiting() {
      const onDisk = disk.waiting();
      const inMemory = opened?.waiting() ?? { messages: 0, bytes: 0 };
      return {
        messages: onDisk.messages + inMemory.messages - owed.length,
        bytes: onDisk.bytes + inMemory.bytes,
      };
    },
    stats() {
      const onDisk = attempt(() => disk.stats(), () => undefined);
      if (onDisk === undefined) return memory().stats();
      const inMemory = opened?.stats() ?? EMPTY_STATS;
      return {
        waiting: onDisk.waiting + inMemory.waiting - owed.length,
        bytes: onDisk.bytes + inMemory.bytes,
        oldestMs: onDisk.oldestMs ?? inMemory.oldestMs,
        quarantined: onDisk.quarantined + inMemory.quarantined,
        dropped: onDisk.dropped + inMemory.dropped,
        lastSeq: Math.max(onDisk.lastSeq, inMemory.lastSeq),
      };
    },
    clear: () => (opened?.clear() ?? 0) + disk.clear(),
    close() {
      // A last attempt: what is only in memory ends with this process.
      attempt(heal, () => undefined);
      opened?.close();
      disk.close();
    },
  };
}
