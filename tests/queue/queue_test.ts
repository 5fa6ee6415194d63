/** The queue: one suite, in memory and on a file, with real SQLite. Order, counts and limits: property_test.ts. */

import { assert, assertEquals } from "@std/assert";
import { QUARANTINE, SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import type { QueueOptions } from "../../lib/queue/types.ts";
import { inStateFolder, message, messages, OPTIONS, seqs } from "../support/queueing.ts";

for (const place of ["memory", "file"] as const) {
  const test = (
    promise: string,
    more: Partial<QueueOptions>,
    action: (queue: SqliteQueue) => void,
  ) =>
    Deno.test(`queue (${place}) ${promise}`, () =>
      inStateFolder((folder) => {
        const path = place === "memory" ? ":memory:" : `${folder}/queue.db`;
        const queue = new SqliteQueue(path, { ...OPTIONS, ...more });
        try {
          action(queue);
        } finally {
          queue.close();
        }
      }));

  test("gives messages back oldest first, with all they had", {}, (queue) => {
    queue.put([message({ topic: "a", qos: 0, timeMs: 5, text: "é" }), message({ topic: "b" })]);
    const [first, second] = queue.take(10);
    assertEquals(first, {
      ...{ seq: 1, topic: "a", qos: 0, timeMs: 5, payload: "é" },
      ...{ payloadBytes: 2, bytes: 3 },
    });
    assertEquals(second?.topic, "b");
  });

  test("counts the bytes of topics and payloads as UTF-8", {}, (queue) => {
    queue.put([message({ topic: "tö", text: "1 ü" })]);
    assertEquals(queue.stats().bytes, 3 + 4);
  });

  test("tells when its oldest message was sampled", {}, (queue) => {
    assertEquals(queue.stats().oldestMs, undefined);
    queue.put([message({ timeMs: 70 }), message({ timeMs: 60 })]);
    assertEquals(queue.stats().oldestMs, 70);
    queue.accept(seqs(queue.take(1)));
    assertEquals(queue.stats().oldestMs, 60);
  });

  test(
    "drops exactly as many of the oldest as are too many (Q7)",
    { maxMessages: 100 },
    (queue) => {
      const results = Array.from({ length: 6 }, () => queue.put(messages(100)));
      assertEquals(results.reduce((sum, { dropped }) => sum + dropped, 0), 500);
      assertEquals(queue.stats().dropped, 500);
      assertEquals(queue.take(1)[0]?.seq, 501);
    },
  );

  test("gives a seq to what it drops, so that the gap tells the loss (Q7)", {
    maxMessages: 1,
    full: "drop-newest",
  }, (queue) => {
    queue.put(messages(2));
    queue.accept(seqs(queue.take(1)));
    queue.put(messages(1));
    assertEquals(seqs(queue.take(1)), [3]);
  });

  test("refuses what has no room instead of dropping it, where that is asked", {
    maxMessages: 2,
    full: "drop-newest",
  }, (queue) => {
    const { firstSeq, lastSeq, stored, dropped } = queue.put(messages(5), { refuse: true });
    assertEquals({ firstSeq, lastSeq, stored, dropped }, {
      ...{ firstSeq: 1, lastSeq: 2, stored: 2, dropped: 0 },
    });
  });

  test("never drops what is in flight (Q7)", { maxMessages: 3 }, (queue) => {
    queue.put(messages(3));
    queue.take(2);
    assertEquals(queue.put(messages(2)).dropped, 2);
    queue.release();
    assertEquals(seqs(queue.take(9)), [1, 2, 5]);
  });

  const DAY_2027_MS = Date.UTC(2027, 0, 1);
  let nowMs = 0;
  const aged: number[] = [];
  test("drops what is too old, on a put and before it is handed out, and counts it (Q7)", {
    maxAgeMs: 1000,
    now: () => nowMs,
    onAged: (messages) => aged.push(messages),
  }, (queue) => {
    aged.length = 0;
    nowMs = DAY_2027_MS;
    queue.put([0, 500].map((ms) => message({ timeMs: nowMs + ms })));
    nowMs += 1400;
    const { dropped, stored } = queue.put([message({ timeMs: nowMs })]);
    assertEquals({ dropped, stored }, { dropped: 1, stored: 1 });
    nowMs += 500;
    assertEquals(seqs(queue.take(9)), [3]);
    assertEquals([aged, queue.stats().dropped], [[1], 2]);
  });

  test("gives no age to what was sampled before the clock was set", {
    maxAgeMs: 1000,
    now: () => DAY_2027_MS,
  }, (queue) => {
    queue.put([message({ timeMs: 1000 })]);
    assertEquals(seqs(queue.take(9)), [1]);
  });

  test("adopts messages under the seq they had, and what is there stays", {}, (queue) => {
    queue.put(messages(3));
    const other = { seq: 2, topic: "other", qos: 1 as const, timeMs: 0, payload: "other" };
    queue.adopt({ messages: [other, { ...other, seq: 9 }], inFlight: new Map([[9, 10]]) });
    assertEquals(queue.take(9).map(({ seq, payload }) => [seq, payload]), [
      [1, "x"],
      [2, "x"],
      [3, "x"],
    ]);
    queue.accept([9]);
    assertEquals(queue.put(messages(1)).lastSeq, 10);
    assertEquals(queue.waiting.messages, 4);
  });

  test("moves all it has to another queue, in flight or not", { maxMessages: 100 }, (queue) => {
    queue.put(messages(120));
    const [first, second] = seqs(queue.take(3));
    queue.quarantine(first!, "refused");
    const other = new SqliteQueue(":memory:", OPTIONS);
    queue.moveTo(other);
    assertEquals(queue.waiting.messages, 0);
    const { waiting, quarantined, dropped, lastSeq } = other.stats();
    assertEquals({ waiting, quarantined, dropped, lastSeq }, {
      ...{ waiting: 99, quarantined: 1, dropped: 20, lastSeq: 120 },
    });
    assertEquals(other.take(1)[0]?.seq, 24);
    other.accept([second!]);
    assertEquals(other.waiting.messages, 98);
    other.close();
  });

  test("takes large messages a few at a time, in order", {}, (queue) => {
    queue.put(messages(40, "x".repeat(100_000)));
    const taken: number[] = [];
    for (let some = queue.take(1000); some.length > 0; some = queue.take(1000)) {
      assert(some.length <= 3, `${some.length} at once`);
      taken.push(...seqs(some));
    }
    assertEquals(taken, Array.from({ length: 40 }, (_, index) => index + 1));
  });

  test("keeps a bounded quarantine, drops its oldest, and counts them (Q17)", {}, (queue) => {
    const more = 50;
    queue.put(messages(QUARANTINE.messages + more));
    for (let some = queue.take(500); some.length > 0; some = queue.take(500)) {
      for (const { seq } of some) queue.quarantine(seq, "refused");
    }
    queue.flush();
    const { waiting, quarantined, dropped } = queue.stats();
    assertEquals({ waiting, quarantined, dropped }, {
      ...{ waiting: 0, quarantined: QUARANTINE.messages, dropped: more },
    });
  });

  test("counts rows whatever the order of PUBACKs and refusals (Q16)", {}, (queue) => {
    queue.put(messages(400));
    const sent: number[] = [];
    for (let some = queue.take(20); some.length > 0; some = queue.take(20)) {
      sent.push(...seqs(some));
      queue.accept(seqs(some).filter((seq) => seq % 5 !== 0));
    }
    assertEquals([sent.length, queue.waiting.messages], [400, 80]);
    queue.flush();
    queue.release();
    const again = seqs(queue.take(400));
    assertEquals(again, Array.from({ length: 80 }, (_, index) => 5 * (index + 1)));
    queue.accept(again);
    queue.accept(again);
    assertEquals(queue.waiting, { messages: 0, bytes: 0 });
  });

  test("discards all when cleared, and goes on with seq", {}, (queue) => {
    queue.put(messages(3));
    queue.quarantine(queue.take(1)[0]!.seq, "refused");
    assertEquals(queue.clear(), 3);
    const { waiting, bytes, quarantined } = queue.stats();
    assertEquals({ waiting, bytes, quarantined }, { waiting: 0, bytes: 0, quarantined: 0 });
    assertEquals(queue.put(messages(1)).lastSeq, 4);
  });

  test("delivers 70,000 messages (Q8)", {}, (queue) => {
    for (let i = 0; i < 7; i++) queue.put(messages(10_000));
    let next = 1;
    for (let batch = queue.take(5000); batch.length > 0; batch = queue.take(5000)) {
      for (const { seq } of batch) assertEquals(seq, next++);
      queue.accept(seqs(batch));
    }
    assertEquals(next, 70_001);
  });
}
