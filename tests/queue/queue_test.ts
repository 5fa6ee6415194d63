/** The queue: one suite, run in memory and on a file, with real SQLite, with and without a mark of what is delivered. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { MAX_PAYLOAD_BYTES } from "../../lib/core/message.ts";
import { openQueue } from "../../lib/queue/sqlite_queue.ts";
import type { Queue, QueueOptions } from "../../lib/queue/types.ts";
import { MemoryQueue } from "../../lib/queue/memory_queue.ts";
import { draft, inStateFolder, makeMark, OPTIONS, seqs } from "../support/queueing.ts";

for (const place of ["memory", "file", "file and mark"] as const) {
  /** Runs an action with a queue that is closed and removed after it. */
  const withQueue = (more: Partial<QueueOptions>, action: (queue: Queue) => void) => {
    if (place === "memory") return action(new MemoryQueue({ ...OPTIONS, ...more }));
    const delivered = place === "file" ? undefined : makeMark();
    inStateFolder((folder) => {
      const queue = openQueue(`${folder}/queue.db`, { ...OPTIONS, ...more, delivered });
      try {
        action(queue);
      } finally {
        queue.close();
      }
    });
  };
  const test = (promise: string, more: Partial<QueueOptions>, action: (queue: Queue) => void) =>
    Deno.test(`queue (${place}) ${promise}`, () => withQueue(more, action));

  test("gives messages back oldest first, with all they had", {}, (queue) => {
    queue.put([draft({ topic: "a", qos: 0, timeMs: 5, text: "é" }), draft({ topic: "b" })]);
    const [first, second] = queue.take(10);
    assertEquals(first, {
      ...{ seq: 1, topic: "a", qos: 0, timeMs: 5, payload: "1 é" },
      ...{ payloadBytes: 4, bytes: 5 },
    });
    assertEquals(second?.topic, "b");
  });

  test("takes each message once", {}, (queue) => {
    queue.put([draft(), draft(), draft()]);
    assertEquals(seqs(queue.take(2)), [1, 2]);
    assertEquals(seqs(queue.take(2)), [3]);
    assertEquals(queue.take(2), []);
  });

  test("keeps what was taken until it is accepted", {}, (queue) => {
    queue.put([draft(), draft()]);
    const taken = queue.take(2);
    assertEquals(queue.stats().waiting, 2);
    queue.accept(taken);
    assertEquals(queue.stats().waiting, 0);
  });

  test("gives what was not accepted again after a rewind", {}, (queue) => {
    queue.put([draft(), draft(), draft()]);
    const [, second] = queue.take(3);
    queue.accept([second!]);
    queue.rewind();
    assertEquals(seqs(queue.take(3)), [1, 3]);
  });

  test("counts the bytes of topics and payloads as UTF-8", {}, (queue) => {
    queue.put([draft({ topic: "tö", text: "ü" })]);
    assertEquals(queue.stats().bytes, 3 + 4);
    queue.accept(queue.take(1));
    assertEquals(queue.stats().bytes, 0);
  });

  test("tells when its oldest message was taken", {}, (queue) => {
    assertEquals(queue.stats().oldestMs, undefined);
    queue.put([draft({ timeMs: 70 }), draft({ timeMs: 60 })]);
    assertEquals(queue.stats().oldestMs, 70);
  });

  test("finds a message that waits, and no other", {}, (queue) => {
    queue.put([draft(), draft(), draft()]);
    queue.accept(queue.take(1));
    assertEquals(queue.find(1), undefined);
    assertEquals(queue.find(2)?.payload, "2 x");
    assertEquals(queue.find(4), undefined);
  });

  test("sets a message aside, counts it and never gives it again", {}, (queue) => {
    queue.put([draft(), draft()]);
    queue.quarantine(queue.take(1)[0]!, "the endpoint refused it");
    queue.rewind();
    assertEquals(seqs(queue.take(9)), [2]);
    const { waiting, quarantined, dropped } = queue.stats();
    assertEquals({ waiting, quarantined, dropped }, { waiting: 1, quarantined: 1, dropped: 0 });
  });

  test("discards all that waits when cleared, and what was set aside", {}, (queue) => {
    queue.put([draft(), draft(), draft()]);
    queue.quarantine(queue.take(1)[0]!, "refused");
    assertEquals(queue.clear(), 3);
    const { waiting, bytes, quarantined } = queue.stats();
    assertEquals({ waiting, bytes, quarantined }, { waiting: 0, bytes: 0, quarantined: 0 });
  });

  test("goes on with seq after it was cleared", {}, (queue) => {
    queue.put([draft(), draft()]);
    queue.clear();
    assertEquals(queue.put([draft()]).lastSeq, 3);
  });

  test("goes on with seq after a number that was given elsewhere", {}, (queue) => {
    queue.put([draft()]);
    assertEquals(queue.put([draft()], 41).lastSeq, 42);
    assertEquals(queue.put([draft()], 7).lastSeq, 43);
  });

  test(
    "drops exactly as many of the oldest as are too many (Q7)",
    { maxMessages: 100 },
    (queue) => {
      const results = Array.from({ length: 6 }, () => queue.put(Array(100).fill(draft())));
      assertEquals(results.reduce((sum, { dropped }) => sum + dropped, 0), 500);
      assertEquals(queue.stats().dropped, 500);
      assertEquals(queue.stats().waiting, 100);
      assertEquals(queue.take(1)[0]?.seq, 501);
    },
  );

  test("drops exactly as many of the newest as are too many (Q7)", {
    maxMessages: 100,
    full: "drop-newest",
  }, (queue) => {
    queue.put(Array(100).fill(draft()));
    const { dropped, stored, lastSeq } = queue.put(Array(500).fill(draft()));
    assertEquals({ dropped, stored, lastSeq }, { dropped: 500, stored: 0, lastSeq: 600 });
    assertEquals(queue.stats().waiting, 100);
    assertEquals(queue.take(1)[0]?.seq, 1);
  });

  test("gives a seq to what it drops, so that the gap tells the loss (Q7)", {
    maxMessages: 1,
    full: "drop-newest",
  }, (queue) => {
    queue.put([draft()]);
    queue.put([draft()]);
    queue.accept(queue.take(1));
    queue.put([draft()]);
    assertEquals(seqs(queue.take(1)), [3]);
  });

  test("keeps its bytes within their limit and counts what that drops (Q7)", {
    maxBytes: 100_000,
  }, (queue) => {
    const big = draft({ topic: "t", text: "x".repeat(9990) });
    let dropped = 0;
    for (let i = 0; i < 30; i++) {
      dropped += queue.put([big]).dropped;
      assert(queue.stats().bytes <= 100_000);
    }
    assertEquals(queue.stats().waiting + dropped, 30);
    assertEquals(queue.stats().dropped, dropped);
    assert(queue.stats().waiting >= 9);
  });

  test("drops new messages when their bytes are too many (Q7)", {
    maxBytes: 1000,
    full: "drop-newest",
  }, (queue) => {
    queue.put([draft({ text: "x".repeat(600) })]);
    assertEquals(queue.put([draft({ text: "x".repeat(600) })]).dropped, 1);
    assertEquals(queue.put([draft({ text: "x".repeat(100) })]).dropped, 0);
    assertEquals(seqs(queue.take(9)), [1, 3]);
  });

  test("drops what is not in flight before what is", { maxMessages: 4 }, (queue) => {
    queue.put([draft(), draft(), draft()]);
    queue.protect((seq) => seq <= 2);
    const { dropped, droppedThrough } = queue.put([draft(), draft()]);
    assertEquals({ dropped, droppedThrough }, { dropped: 1, droppedThrough: 3 });
    assertEquals(seqs(queue.take(9)), [1, 2, 4, 5]);
  });

  test("drops the oldest of what is taken and not in flight, never the newest for it", {
    maxMessages: 4,
  }, (queue) => {
    queue.put([draft(), draft(), draft(), draft()]);
    queue.take(4);
    queue.protect((seq) => seq === 1);
    queue.put([draft()]);
    queue.rewind();
    assertEquals(seqs(queue.take(9)), [1, 3, 4, 5]);
  });

  test("counts rightly when a message in flight was dropped and is accepted after that", {
    maxMessages: 2,
  }, (queue) => {
    queue.put([draft(), draft()]);
    const taken = queue.take(2);
    queue.rewind();
    queue.put([draft()]);
    queue.accept(taken);
    assertEquals(queue.stats().waiting, 1);
    assertEquals(queue.stats().bytes, "t".length + "3 x".length);
  });

  test("sets nothing aside that was dropped meanwhile", { maxMessages: 1 }, (queue) => {
    queue.put([draft()]);
    const [taken] = queue.take(1);
    queue.rewind();
    queue.put([draft()]);
    queue.quarantine(taken!, "refused");
    assertEquals(queue.stats().waiting, 1);
    assertEquals(queue.stats().quarantined, 0);
  });

  const DAY_2027_MS = Date.UTC(2027, 0, 1);
  let nowMs = 0;
  test("drops what is too old, and counts it", { maxAgeMs: 1000, now: () => nowMs }, (queue) => {
    nowMs = DAY_2027_MS;
    queue.put([draft({ timeMs: nowMs }), draft({ timeMs: nowMs + 500 })]);
    nowMs += 1400;
    const { dropped, stored } = queue.put([draft({ timeMs: nowMs })]);
    assertEquals({ dropped, stored }, { dropped: 1, stored: 1 });
    assertEquals(seqs(queue.take(9)), [2, 3]);
  });

  const aged: number[] = [];
  test("does not hand out what has grown too old while it waited", {
    maxAgeMs: 1000,
    now: () => nowMs,
    onAged: (messages) => aged.push(messages),
  }, (queue) => {
    aged.length = 0;
    nowMs = DAY_2027_MS;
    queue.put([draft({ timeMs: nowMs }), draft({ timeMs: nowMs + 1500 })]);
    nowMs += 2000;
    assertEquals(seqs(queue.take(9)), [2]);
    assertEquals([aged, queue.stats().dropped], [[1], 1]);
  });

  test("gives no age to what was taken before the clock was set", {
    maxAgeMs: 1000,
    now: () => nowMs,
  }, (queue) => {
    nowMs = DAY_2027_MS;
    queue.put([draft({ timeMs: 1000 })]);
    assertEquals(seqs(queue.take(9)), [1]);
  });

  test("puts all drafts or none", {}, (queue) => {
    queue.put([draft()]);
    const broken = { ...draft(), payload: () => assertNever() };
    assertThrows(() => queue.put([draft(), broken]), Error, "made for this test");
    assertEquals(queue.stats().waiting, 1);
    assertEquals(queue.stats().lastSeq, 1);
    assertEquals(queue.put([draft()]).lastSeq, 2);
    assertEquals(seqs(queue.take(9)), [1, 2]);
  });

  test("leaves out a payload that no endpoint takes, and its neighbours in (P7)", {}, (queue) => {
    const exact = { ...draft(), payload: () => "x".repeat(MAX_PAYLOAD_BYTES) };
    const larger = { ...draft(), payload: () => "x".repeat(MAX_PAYLOAD_BYTES + 1) };
    const wide = { ...draft(), payload: () => "é".repeat(MAX_PAYLOAD_BYTES / 2 + 1) };
    const { stored, tooLarge, lastSeq } = queue.put([exact, larger, wide, draft()]);
    assertEquals({ stored, lastSeq }, { stored: 2, lastSeq: 2 });
    assertEquals(tooLarge, [MAX_PAYLOAD_BYTES + 1, MAX_PAYLOAD_BYTES + 2]);
    assertEquals(seqs(queue.take(9)), [1, 2]);
  });

  test("restores messages under the seq they had, and what is there stays", {}, (queue) => {
    queue.put([draft(), draft(), draft()]);
    queue.accept(queue.take(1));
    const message = { seq: 2, topic: "other", qos: 1 as const, timeMs: 0, payload: "other" };
    queue.restore([message, { ...message, seq: 9 }]);
    queue.rewind();
    assertEquals(queue.take(9).map(({ seq, payload }) => [seq, payload]), [
      [2, "2 x"],
      [3, "3 x"],
      [9, "other"],
    ]);
    assertEquals(queue.put([draft()]).lastSeq, 10);
  });

  test("takes large messages a few at a time, in order", {}, (queue) => {
    queue.put(Array(40).fill(draft({ text: "x".repeat(100_000) })));
    const taken: number[] = [];
    for (let some = queue.take(1000); some.length > 0; some = queue.take(1000)) {
      assert(some.length <= 3, `${some.length} at once`);
      taken.push(...seqs(some));
    }
    assertEquals(taken, Array.from({ length: 40 }, (_, index) => index + 1));
  });

  test("keeps its limits while it restores", { maxMessages: 2 }, (queue) => {
    const message = { topic: "t", qos: 1 as const, timeMs: 0, payload: "x" };
    queue.restore([1, 2, 3, 4, 5].map((seq) => ({ ...message, seq })));
    assertEquals(seqs(queue.take(9)), [4, 5]);
    assertEquals(queue.stats().dropped, 3);
  });

  test("delivers 70,000 messages (Q8)", { maxMessages: 100_000 }, (queue) => {
    for (let i = 0; i < 7; i++) queue.put(Array(10_000).fill(draft()));
    let next = 1;
    for (let batch = queue.take(5000); batch.length > 0; batch = queue.take(5000)) {
      for (const { seq } of batch) assertEquals(seq, next++);
      queue.accept(batch);
    }
    assertEquals(next, 70_001);
    assertEquals(queue.stats().waiting, 0);
  });
}

function assertNever(): never {
  throw new UserError("made for this test", { code: "queue-failed", hint: "none", exitCode: 73 });
}
