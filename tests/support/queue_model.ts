/** The queue against a model of it: any order of what can be done to it, by a seed. */

import { assert, assertEquals } from "@std/assert";
import { QUARANTINE, SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import type { QueueOptions } from "../../lib/queue/types.ts";
import { seeded } from "../../tools/shared/seeded.ts";
import { inStateFolder } from "./queueing.ts";

const STEPS = 40;

/** What a queue is to do, as plainly as it can be said. */
class Model {
  /** Payloads of what waits, by `seq`, oldest first. */
  waiting = new Map<number, string>();
  inFlight = new Set<number>();
  /** Left, with rows that a crash brings back. */
  left = new Map<number, string>();
  quarantined: number[] = [];
  /** Set aside, and no more than noted. */
  asideSoon: number[] = [];
  dropped = 0;
  /** Of those, not committed. */
  lastSeq = 0;

  constructor(readonly options: QueueOptions) {}

  get bytes(): number {
    return this.waiting.values().reduce((sum, payload) => sum + 1 + payload.length, 0);
  }

  put(payloads: readonly string[], refuse: boolean): { stored: number; dropped: number } {
    const before = this.dropped;
    this.commit();
    let stored = 0;
    for (const payload of payloads) {
      const { maxMessages, maxBytes, full } = this.options;
      const isOver = () =>
        this.waiting.size + 1 > maxMessages || this.bytes + 1 + payload.length > maxBytes;
      while (full === "drop-oldest" && 1 + payload.length <= maxBytes && isOver()) {
        const oldest = this.free()[0];
        if (oldest === undefined) break;
        this.waiting.delete(oldest);
        this.dropped++;
      }
      if (isOver() && refuse) break;
      this.lastSeq++;
      if (isOver()) {
        this.dropped++;
        continue;
      }
      this.waiting.set(this.lastSeq, payload);
      stored++;
    }
    return { stored, dropped: this.dropped - before };
  }

  free(): number[] {
    return [...this.waiting.keys()].filter((seq) => !this.inFlight.has(seq));
  }

  take(most: number): number[] {
    const taken = this.free().slice(0, most);
    for (const seq of taken) this.inFlight.add(seq);
    return taken;
  }

  leave(seq: number): void {
    if (!this.inFlight.delete(seq)) return;
    this.left.set(seq, this.waiting.get(seq)!);
    this.waiting.delete(seq);
  }

  commit(): void {
    for (const seq of this.asideSoon) {
      this.quarantined.push(seq);
    }
    this.asideSoon = [];
    this.quarantined.sort((a, b) => a - b);
    while (this.quarantined.length > Math.min(QUARANTINE.messages, this.options.maxMessages)) {
      this.quarantined.shift();
      this.dropped++;
    }
    this.left.clear();
  }

  /** All that has no commit comes back. */
  crash(): void {
    const rows = [...this.waiting, ...this.left].sort(([a], [b]) => a - b);
    this.waiting = new Map(rows);
    this.inFlight.clear();
    this.left.clear();
    this.asideSoon = [];
  }
}

/** Runs the seeds up to this one. @param place Where the queue is: in memory or in a file. */
export function checkSeeds(place: "memory" | "a file", seeds: number): void {
  inStateFolder((folder) => {
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        run(seed, place === "memory" ? undefined : `${folder}/${seed}`);
      } catch (error) {
        throw new Error(`Seed ${seed}`, { cause: error });
      }
    }
  });
}

function run(seed: number, folder: string | undefined): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const oneOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const options: QueueOptions = {
    maxMessages: [3, 10, 1000][upTo(2)]!,
    maxBytes: [60, 1000, 1e6][upTo(2)]!,
    full: random() < 0.5 ? "drop-oldest" : "drop-newest",
    durability: "crash",
  };
  const model = new Model(options);
  let life = 0;
  const pathOf = (life: number) => folder === undefined ? ":memory:" : `${folder}-${life}.db`;
  let queue = new SqliteQueue(pathOf(life), options);
  const check = () => {
    const { waiting, bytes, quarantined, dropped, lastSeq } = queue.stats();
    assertEquals({ waiting, bytes, quarantined, dropped, lastSeq }, {
      waiting: model.waiting.size,
      bytes: model.bytes,
      quarantined: model.quarantined.length + model.asideSoon.length,
      dropped: model.dropped,
      lastSeq: model.lastSeq,
    });
  };
  const steps: Record<string, () => void> = {
    put() {
      const payloads = Array.from({ length: upTo(6) }, () => "x".repeat(upTo(30)));
      const refuse = random() < 0.2;
      const drafts = payloads.map((payload) => (
        { topic: "t", qos: 1 as const, timeMs: 0, payload }
      ));
      const { stored, dropped, firstSeq, lastSeq } = queue.put(drafts, { refuse });
      assertEquals(firstSeq, model.lastSeq + 1);
      assertEquals({ stored, dropped }, model.put(payloads, refuse));
      assertEquals(lastSeq, model.lastSeq);
    },
    take() {
      const most = upTo(5);
      const taken = queue.take(most);
      assertEquals(taken.map(({ seq }) => seq), model.take(most));
      for (const { seq, payload } of taken) assertEquals(payload, model.waiting.get(seq));
    },
    accept() {
      const seqs = [...model.inFlight].filter(() => random() < 0.6);
      // One that is not in flight changes nothing.
      queue.accept([...seqs, model.lastSeq + 1]);
      for (const seq of seqs) model.leave(seq);
    },
    quarantine() {
      const seq = oneOf([...model.inFlight]);
      if (seq === undefined) return;
      queue.quarantine(seq, "refused");
      model.leave(seq);
      model.asideSoon.push(seq);
    },
    release() {
      const some = random() < 0.5 ? undefined : [...model.inFlight].filter(() => random() < 0.5);
      queue.release(some);
      for (const seq of some ?? [...model.inFlight]) model.inFlight.delete(seq);
    },
    flush() {
      queue.flush();
      if (model.left.size > 0) model.commit();
    },
    restart() {
      if (folder === undefined) return;
      queue.close();
      if (model.left.size > 0) model.commit();
      model.inFlight.clear();
      queue = new SqliteQueue(pathOf(life), options);
    },
    crash() {
      if (folder === undefined) return;
      // As a process that is killed leaves them: what it wrote is in the files.
      for (const end of ["", "-wal"]) {
        Deno.copyFileSync(`${pathOf(life)}${end}`, `${pathOf(life + 1)}${end}`);
      }
      queue.close();
      queue = new SqliteQueue(pathOf(++life), options);
      model.crash();
    },
  };
  const names = Object.keys(steps);
  for (let step = 0; step < STEPS; step++) {
    const name = random() < 0.4 ? ["put", "take"][upTo(1)]! : oneOf(names)!;
    steps[name]!();
    check();
  }
  // In the end all that waits is delivered, each once, oldest first.
  queue.release();
  model.inFlight.clear();
  const expected = model.free();
  const seen: number[] = [];
  for (let taken = queue.take(7); taken.length > 0; taken = queue.take(7)) {
    seen.push(...taken.map(({ seq }) => seq));
    queue.accept(taken.map(({ seq }) => seq));
  }
  queue.flush();
  assertEquals(seen, expected);
  assert(queue.waiting.messages === 0 && queue.waiting.bytes === 0 && queue.pending === 0);
  queue.close();
  if (folder === undefined) return;
  for (let each = 0; each <= life; each++) {
    for (const end of ["", "-wal"]) {
      try {
        Deno.removeSync(`${pathOf(each)}${end}`);
      } catch { /* it is gone */ }
    }
  }
}
