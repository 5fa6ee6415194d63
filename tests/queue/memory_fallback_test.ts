import { assertEquals } from "@std/assert";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { openQueue } from "../../lib/queue/sqlite_queue.ts";
import type { Queue } from "../../lib/queue/types.ts";
import { MemoryQueue } from "../../lib/queue/memory_queue.ts";
import { createSpill } from "../../lib/queue/memory_fallback.ts";
import { draft, makeMark, OPTIONS, seqs } from "../support/queueing.ts";

/** A spill over a real queue whose writes fail when they are told to. */
function makeBench(): {
  queue: Queue;
  disk: Queue;
  failures: string[];
  healed: number[];
  /** Lets all writes fail, none, or one kind. */
  set: (broken: boolean | "restore") => void;
} {
  const disk = openQueue(":memory:", { ...OPTIONS, delivered: makeMark() });
  const memory = new MemoryQueue({ ...OPTIONS, maxMessages: 1000 });
  let broken: boolean | string = false;
  const failures: string[] = [];
  const healed: number[] = [];
  const writes = ["put", "restore", "accept", "quarantine"];
  const failing = new Proxy(disk, {
    get(target, name) {
      const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (broken === name || (broken === true && writes.includes(String(name)))) {
          const options = {
            code: "queue-failed",
            hint: "free space",
            exitCode: EXIT.cannotCreate,
            step: "queue",
          } as const;
          throw new UserError("database or disk is full", options);
        }
        return member.apply(target, args);
      };
    },
  });
  const queue = createSpill({
    disk: failing,
    openMemory: () => memory,
    onFailure: ({ message }) => failures.push(message),
    onHealed: (messages) => healed.push(messages),
  });
  return { queue, disk, failures, healed, set: (wanted) => void (broken = wanted) };
}

Deno.test("spill goes on from memory while the disk is full, and says so (Q4)", () => {
  const { queue, failures, set } = makeBench();
  queue.put([draft()]);
  set(true);
  queue.put([draft(), draft()]);
  assertEquals(failures, ["database or disk is full"]);
  assertEquals(queue.stats().waiting, 3);
  assertEquals([...seqs(queue.take(9)), ...seqs(queue.take(9))], [1, 2, 3]);
  queue.close();
});

Deno.test("spill moves what is in memory to disk when it takes messages again, in order (Q4)", () => {
  const { queue, disk, healed, set } = makeBench();
  queue.put([draft()]);
  set(true);
  queue.put([draft(), draft()]);
  set(false);
  queue.put([draft()]);
  assertEquals(healed, [2]);
  assertEquals(seqs(disk.take(9)), [1, 2, 3, 4]);
  queue.close();
});

Deno.test("spill does not hand out twice what was in flight when the disk came back", () => {
  const { queue, set } = makeBench();
  set(true);
  queue.put([draft(), draft()]);
  const inFlight = queue.take(9);
  set(false);
  queue.put([draft()]);
  assertEquals(seqs(queue.take(9)), [3]);
  queue.accept(inFlight);
  assertEquals(queue.stats().waiting, 1);
  queue.close();
});

Deno.test("spill does not send again what was delivered while the disk could not forget it", () => {
  const { queue, disk, set } = makeBench();
  queue.put([draft(), draft()]);
  const delivered = queue.take(9);
  set(true);
  queue.accept(delivered);
  queue.rewind();
  assertEquals([seqs(queue.take(9)), queue.stats().waiting], [[], 0]);
  set(false);
  queue.put([draft()]);
  assertEquals(disk.stats().waiting, 1);
  queue.close();
});

Deno.test("spill gives no seq twice, also when all in memory was delivered before the disk came back", () => {
  const { queue, disk, set } = makeBench();
  queue.put([draft()]);
  set(true);
  queue.put([draft()]);
  queue.accept(queue.take(9));
  queue.accept(queue.take(9));
  set(false);
  assertEquals(queue.put([draft()]).lastSeq, 3);
  assertEquals(disk.stats().lastSeq, 3);
  queue.close();
});

Deno.test("spill remembers no more than memory holds, however long the disk fails", () => {
  const { queue, set } = makeBench();
  set(true);
  for (let i = 0; i < 50; i++) queue.put(Array.from({ length: 200 }, () => draft()));
  assertEquals(queue.stats().waiting, 1000);
  assertEquals(seqs(queue.take(1)), [9001]);
  queue.close();
});

Deno.test("spill leaves out nothing when the move from memory to disk fails half way", () => {
  const { queue, set } = makeBench();
  queue.put([draft()]);
  set(true);
  queue.put([draft(), draft()]);
  set("restore");
  queue.put([draft()]);
  assertEquals([...seqs(queue.take(9)), ...seqs(queue.take(9))], [1, 2, 3, 4]);
  queue.close();
});
