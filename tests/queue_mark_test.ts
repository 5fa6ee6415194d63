/** The queue and the mark beside it, of what was delivered in its turn. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { UserError } from "../lib/errors.ts";
import { openQueue, type Queue } from "../lib/queue.ts";
import { draft, inStateFolder, makeMark, OPTIONS, seqs } from "./queueing.ts";

/** Runs an action on a queue that holds these messages and has a mark. */
function withMark(
  messages: number,
  action: (tools: {
    readonly mark: ReturnType<typeof makeMark>;
    readonly open: () => Queue;
    readonly path: string;
  }) => void,
): void {
  inStateFolder((folder) => {
    const mark = makeMark();
    const path = `${folder}/queue.db`;
    const open = () => openQueue(path, { ...OPTIONS, delivered: mark });
    const queue = open();
    queue.put(Array(messages).fill(draft()));
    queue.close();
    action({ mark, open, path });
  });
}

/** The rows that are in a file beside an open queue. */
function rowsOf(path: string): number {
  using db = new DatabaseSync(path, { readOnly: true });
  return Number(db.prepare("SELECT count(*) AS n FROM message").get()!.n);
}

Deno.test("queue with a mark makes no commit for what is delivered in its turn, and deletes it with the next one", () => {
  withMark(5, ({ mark, open, path }) => {
    const queue = open();
    for (let n = 0; n < 3; n++) queue.accept(queue.take(1));
    assertEquals([mark.through, rowsOf(path), queue.stats().waiting], [3, 5, 2]);
    queue.put([draft()]);
    assertEquals(rowsOf(path), 3);
    assertEquals(seqs(queue.take(9)), [4, 5, 6]);
    queue.close();
  });
});

Deno.test("queue with a mark gives nothing that was delivered again when it is opened, though its row is still there (Q1)", () => {
  withMark(5, ({ open, path }) => {
    const killed = open();
    killed.accept(killed.take(3));
    const next = open();
    assertEquals(rowsOf(path), 5);
    assertEquals([next.stats().waiting, next.find(3), seqs(next.take(9))], [2, undefined, [4, 5]]);
    next.close();
    killed.close();
  });
});

Deno.test("queue with a mark keeps what waits before a message that was delivered out of its turn", () => {
  withMark(5, ({ mark, open }) => {
    const queue = open();
    const [, second, third] = queue.take(3);
    queue.accept([second!, third!]);
    assertEquals(mark.through, 0);
    queue.close();
    const next = open();
    assertEquals(seqs(next.take(9)), [1, 4, 5]);
    next.rewind();
    for (let n = 0; n < 2; n++) next.accept(next.take(1));
    assertEquals(mark.through, 4, "what is gone already does not hold it up");
    next.close();
  });
});

Deno.test("queue with a mark deletes what is delivered, however long nothing is put", () => {
  withMark(5000, ({ open, path }) => {
    const queue = open();
    for (let n = 0; n < 40; n++) queue.accept(queue.take(100));
    assert(rowsOf(path) < 4500, `${rowsOf(path)} rows`);
    assertEquals(queue.stats().waiting, 1000);
    queue.close();
  });
});

Deno.test("queue with a mark gives no seq again that a power cut has taken from the file and not from the mark (Q3)", () => {
  withMark(5, ({ mark, open }) => {
    mark.through = 8;
    const queue = open();
    assertEquals([queue.stats().waiting, queue.stats().lastSeq], [0, 8]);
    assertEquals(queue.put([draft()]).lastSeq, 9);
    assertEquals(seqs(queue.take(9)), [9]);
    queue.close();
  });
});

Deno.test("queue whose mark cannot be written says so, and forgets nothing", () => {
  withMark(3, ({ mark, open }) => {
    const queue = open();
    const taken = queue.take(2);
    mark.fail = true;
    assertThrows(() => queue.accept(taken), UserError, "Input/output error");
    assertEquals(queue.stats().waiting, 3);
    mark.fail = false;
    queue.accept(taken);
    assertEquals([queue.stats().waiting, mark.through], [1, 2]);
    queue.close();
  });
});
