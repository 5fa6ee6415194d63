/** The queue and the mark beside it, of what was delivered in its turn. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { queueCommand } from "../../lib/commands/queue.ts";
import { UserError } from "../../lib/core/errors.ts";
import { openQueue } from "../../lib/queue/sqlite_queue.ts";
import type { Queue } from "../../lib/queue/types.ts";
import { holdStateDirectory } from "../../lib/queue/state_directory.ts";
import { realWorld } from "../../lib/core/process.ts";
import { makeEnv } from "../support/command_line.ts";
import { draft, inStateFolder, makeMark, OPTIONS, seqs } from "../support/queueing.ts";

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

Deno.test("command queue counts beside a running publisher without what is delivered and has its row still", () => {
  inStateFolder((folder) => {
    const directory = holdStateDirectory(folder);
    const queue = openQueue(directory.queuePath, { ...OPTIONS, delivered: directory.delivered });
    queue.put(Array(5).fill(draft()));
    queue.accept(queue.take(3));
    assertEquals(rowsOf(directory.queuePath), 5);
    let said = "";
    const world = { ...realWorld(), env: makeEnv(), out: (text: string) => void (said += text) };
    queueCommand(parseCommand(["queue", "--json", "--state", folder]), world);
    assertEquals(JSON.parse(said).waiting, 2);
    queue.close();
    directory.release();
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

Deno.test("queue whose mark is above its last seq takes nothing for delivered, and gives no seq up to the mark again (Q3)", () => {
  withMark(5, ({ mark, open }) => {
    mark.through = 8;
    const queue = open();
    assertEquals([mark.through, queue.stats().waiting, queue.stats().lastSeq], [0, 5, 5]);
    assertEquals(queue.put([draft()]).lastSeq, 9);
    queue.close();
    const next = open();
    assertEquals(seqs(next.take(9)), [1, 2, 3, 4, 5, 9]);
    next.close();
  });
});

Deno.test("queue counts rightly when a message in flight is found damaged, and is accepted after that", () => {
  withMark(4, ({ open, path }) => {
    const queue = open();
    const taken = queue.take(4);
    {
      using db = new DatabaseSync(path);
      db.exec("UPDATE message SET payload = 'other' WHERE seq = 2");
    }
    queue.rewind();
    assertEquals(seqs(queue.take(9)), [1, 3, 4]);
    queue.accept(taken.slice(0, 3));
    assertEquals([queue.stats().waiting, queue.stats().quarantined], [1, 1]);
    queue.rewind();
    assertEquals(seqs(queue.take(9)), [4]);
    queue.close();
  });
});

Deno.test("queue leaves nothing behind of a put that failed half way", () => {
  withMark(2, ({ open, path }) => {
    const queue = open();
    // The file takes no such thing for a number.
    const broken = { ...draft(), qos: "1.5" as unknown as 1 };
    assertThrows(() => queue.put([draft(), draft(), broken]), UserError, "message.qos");
    assertEquals([queue.stats().waiting, queue.stats().oldestMs, rowsOf(path)], [2, 1000, 2]);
    assertEquals(queue.put([draft()]).lastSeq, 3);
    assertEquals(seqs(queue.take(9)), [1, 2, 3]);
    queue.close();
  });
});

Deno.test("queue that is never empty keeps nothing in memory of what has left", () => {
  withMark(0, ({ open }) => {
    const queue = open();
    queue.accept(queue.take(1));
    const text = "x".repeat(200);
    const turn = () => {
      queue.put(Array.from({ length: 100 }, () => draft({ text })));
      queue.accept(queue.take(100));
    };
    queue.put(Array(50).fill(draft({ text })));
    turn();
    const before = Deno.memoryUsage().heapUsed;
    for (let n = 0; n < 2000; n++) turn();
    const mib = (Deno.memoryUsage().heapUsed - before) / 1024 ** 2;
    assertEquals(queue.stats().waiting, 50);
    // Of 200,000 messages: some 80 MiB.
    assert(mib < 30, `${mib} MiB`);
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
