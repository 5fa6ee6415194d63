/** The queue as a file: what survives, who may read beside it, what it costs the disk. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { UserError } from "../../lib/core/errors.ts";
import { openQueue } from "../../lib/queue/sqlite_queue.ts";
import { DamagedQueueError } from "../../lib/queue/errors.ts";
import type { DeliveredMark } from "../../lib/queue/types.ts";
import {
  draft,
  hasProgram,
  inStateFolder,
  isRoot,
  isSame,
  makeMark,
  OPTIONS,
  seqs,
} from "../support/queueing.ts";

Deno.test("queue keeps unacknowledged messages across a restart, and nothing else", () => {
  inStateFolder((folder) => {
    const first = openQueue(`${folder}/queue.db`, OPTIONS);
    first.put([draft({ topic: "a" }), draft({ topic: "b", text: 'é\n"' }), draft()]);
    const [taken] = first.take(2);
    first.accept([taken!]);
    first.close();
    const second = openQueue(`${folder}/queue.db`, OPTIONS);
    assertEquals(second.take(9).map(({ topic, payload }) => [topic, payload]), [
      ["b", '2 é\n"'],
      ["t", "3 x"],
    ]);
    second.close();
  });
});

Deno.test("queue goes on with seq and its counts across restarts, drops and clear", () => {
  inStateFolder((folder) => {
    let last = 0;
    for (let round = 1; round <= 3; round++) {
      const queue = openQueue(`${folder}/queue.db`, { ...OPTIONS, maxMessages: 2 });
      assertEquals(queue.stats().lastSeq, last);
      assertEquals(queue.stats().dropped, (round - 1) * 3);
      last = queue.put([draft(), draft(), draft(), draft(), draft()]).lastSeq;
      assertEquals(last, round * 5);
      queue.clear();
      queue.close();
    }
  });
});

Deno.test("queue counts what waits anew when it is opened", () => {
  inStateFolder((folder) => {
    const first = openQueue(`${folder}/queue.db`, OPTIONS);
    first.put([draft({ topic: "ü" }), draft()]);
    first.quarantine(first.take(1)[0]!, "refused");
    const before = first.stats();
    first.close();
    const second = openQueue(`${folder}/queue.db`, OPTIONS);
    assertEquals(second.stats(), before);
    second.close();
  });
});

Deno.test("queue makes an empty file its own (Q5)", () => {
  inStateFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/queue.db`, "");
    const queue = openQueue(`${folder}/queue.db`, OPTIONS);
    assertEquals(queue.put([draft()]).lastSeq, 1);
    queue.close();
  });
});

Deno.test("queue refuses a file that a newer version wrote, and leaves it as it is", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    openQueue(path, OPTIONS).close();
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
    db.close();
    const before = Deno.readFileSync(path);
    const error = assertThrows(() => openQueue(path, OPTIONS), UserError);
    assertEquals(error.exitCode, 73);
    assertMatch(error.message, /a newer mqtt443 wrote it \(schema 99/);
    assert(!(error instanceof DamagedQueueError));
    assert(isSame(Deno.readFileSync(path), before));
  });
});

Deno.test("queue that is cleared gives its space back", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    const queue = openQueue(path, OPTIONS);
    queue.put(Array(2000).fill(draft({ text: "x".repeat(1000) })));
    queue.clear();
    queue.close();
    assert(Deno.statSync(path).size < 100_000);
  });
});

Deno.test("queue that drains does not grow without end", () => {
  inStateFolder((folder) => {
    const queue = openQueue(`${folder}/queue.db`, OPTIONS);
    let largest = 0;
    for (let round = 0; round < 60; round++) {
      queue.put(Array(100).fill(draft({ text: "x".repeat(1000) })));
      queue.accept(queue.take(100));
      largest = [...Deno.readDirSync(folder)]
        .reduce((sum, { name }) => sum + Deno.statSync(`${folder}/${name}`).size, 0);
    }
    queue.close();
    assert(largest < 8 * 1024 ** 2, `${largest} bytes`);
  });
});

Deno.test("queue can be read beside a running publisher", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    const writer = openQueue(path, OPTIONS);
    writer.put([draft(), draft()]);
    const reader = openQueue(path, { ...OPTIONS, readOnly: true });
    assertEquals(reader.stats().waiting, 2);
    reader.close();
    assertEquals(writer.put([draft()]).lastSeq, 3);
    writer.close();
  });
});

Deno.test("queue can be read after its publisher has ended", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    const writer = openQueue(path, OPTIONS);
    writer.put([draft(), draft()]);
    writer.close();
    const reader = openQueue(path, { ...OPTIONS, readOnly: true });
    assertEquals(reader.stats().waiting, 2);
    reader.close();
  });
});

Deno.test({
  name: "queue can be read where nothing can be written (needs root and mount)",
  ignore: !isRoot || !hasProgram("mount"),
  fn() {
    inStateFolder((folder) => {
      const writer = openQueue(`${folder}/queue.db`, OPTIONS);
      writer.put([draft(), draft()]);
      writer.close();
      const isMounted = command("mount", "--bind", folder, folder) === 0 &&
        command("mount", "-o", "remount,ro,bind", folder) === 0;
      try {
        if (!isMounted) return;
        const reader = openQueue(`${folder}/queue.db`, { ...OPTIONS, readOnly: true });
        assertEquals(reader.stats().waiting, 2);
        reader.close();
      } finally {
        command("umount", folder);
      }
    });
  },
});

for (
  const [durability, syncs] of [["power", 20], ["crash", 0]] as const
) {
  Deno.test({
    name:
      `queue with durability ${durability} syncs ${syncs} times for 20 puts, and never for an accept` +
      " (needs strace)",
    ignore: !hasProgram("strace"),
    fn() {
      const trace = traced(
        durability,
        "trace=fsync,fdatasync,statx,stat,newfstatat",
        `queue.put([draft]);
        Deno.statSync("begin-puts");
        for (let n = 0; n < 20; n++) queue.put([draft]);
        Deno.statSync("begin-accepts");
        for (let n = 0; n < 20; n++) queue.accept(queue.take(1));
        Deno.statSync("end");`,
      );
      const between = (from: string, to: string) =>
        trace.slice(trace.indexOf(`"${from}"`), trace.indexOf(`"${to}"`))
          .match(/\bf(?:data)?sync\(/g)?.length ?? 0;
      assertEquals(between("begin-puts", "begin-accepts"), syncs);
      assertEquals(between("begin-accepts", "end"), 0);
    },
  });
}

Deno.test({
  name:
    "queue writes at most 250 bytes for a message of 150 that comes and goes with others (needs strace)",
  ignore: !hasProgram("strace"),
  fn() {
    const messages = 30_000;
    const trace = traced(
      "power",
      "trace=pwrite64",
      `for (let n = 0; n < ${messages / 1000}; n++) {
        queue.put(Array(1000).fill({ ...draft, payload: () => "x".repeat(140) }));
        for (let some = queue.take(75); some.length > 0; some = queue.take(75)) queue.accept(some);
      }`,
    );
    const written = [...trace.matchAll(/= (\d+)$/gm)].reduce(
      (sum, [, bytes]) => sum + Number(bytes),
      0,
    );
    assert(written / messages > 150, "not less than what was put");
    assert(written / messages <= 250, `${written / messages} bytes`);
  },
});

/** The system calls of a process that opens a queue with a mark and does something with it. */
function traced(durability: string, calls: string, action: string): string {
  return inStateFolder((folder) => {
    const script = `
      import { openQueue } from ${
      JSON.stringify(new URL("../../lib/queue/sqlite_queue.ts", import.meta.url))
    };
      import { holdStateDirectory } from ${
      JSON.stringify(new URL("../../lib/queue/state_directory.ts", import.meta.url))
    };
      const { queuePath, delivered } = holdStateDirectory("${folder}/state");
      const options = { maxMessages: 1e5, maxBytes: 1e8, full: "drop-oldest", delivered };
      const queue = openQueue(queuePath, { ...options, durability: "${durability}" });
      const draft = { topic: "t", qos: 1, timeMs: 0, payload: String };
      ${action}
      queue.close();`;
    for (const name of ["begin-puts", "begin-accepts", "end", "main.ts"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, name === "main.ts" ? script : "");
    }
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const run = ["run", "-A", "--no-check", "--no-lock", "--config", config, `${folder}/main.ts`];
    const args = ["-f", "-qq", "-y", "-e", calls, "-o", `${folder}/trace`, Deno.execPath(), ...run];
    const { code, stderr } = new Deno.Command("strace", { args, cwd: folder }).outputSync();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    const trace = Deno.readTextFileSync(`${folder}/trace`);
    return calls.includes("pwrite64") ? trace.match(/^.*queue\.db.*$/gm)!.join("\n") : trace;
  });
}

function command(name: string, ...args: string[]): number {
  return new Deno.Command(name, { args, stdout: "null", stderr: "null" }).outputSync().code;
}

for (const what of ["", " with a mark"]) {
  Deno.test(`queue${what} gives back nothing but what it took, after many random steps`, () => {
    inStateFolder((folder) => playWith(folder, what === "" ? undefined : makeMark()));
  });
}

function playWith(folder: string, delivered: DeliveredMark | undefined): void {
  const open = () => openQueue(`${folder}/queue.db`, { ...OPTIONS, delivered });
  let queue = open();
  const model: number[] = [];
  let random = 12345;
  const next = (below: number) => (random = (random * 48271) % 2147483647) % below;
  let last = 0;
  for (let step = 0; step < 300; step++) {
    const kind = next(4);
    if (kind === 0) {
      const size = 1 + next(10);
      queue.put(Array(size).fill(draft()));
      for (let n = 0; n < size; n++) model.push(++last);
    } else if (kind === 1) {
      const some = queue.take(1 + next(8)).filter(() => next(3) > 0);
      queue.accept(some);
      for (const { seq } of some) model.splice(model.indexOf(seq), 1);
    } else if (kind === 2) {
      queue.rewind();
    } else if (next(5) === 0) {
      queue.close();
      queue = open();
    }
    assertEquals(queue.stats().waiting, model.length);
  }
  queue.rewind();
  assertEquals(seqs(queue.take(10_000)), model);
  queue.close();
}
