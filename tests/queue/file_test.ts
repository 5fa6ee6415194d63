/** The queue as a file: what survives, what it costs the disk, and that it gives its space back. */

import { assert, assertEquals } from "@std/assert";
import { SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import {
  hasProgram,
  inStateFolder,
  message,
  messages,
  OPTIONS,
  seqs,
} from "../support/queueing.ts";

Deno.test("queue keeps unacknowledged messages across a restart, and nothing else", () => {
  inStateFolder((folder) => {
    const first = new SqliteQueue(`${folder}/queue.db`, OPTIONS);
    first.put([message({ topic: "a" }), message({ topic: "b", text: 'é\n"\0' }), message()]);
    first.take(2);
    first.accept([1]);
    first.close();
    const second = new SqliteQueue(`${folder}/queue.db`, OPTIONS);
    assertEquals(second.take(9).map(({ topic, payload }) => [topic, payload]), [
      ["b", 'é\n"\0'],
      ["t", "x"],
    ]);
    second.close();
  });
});

Deno.test("queue goes on with seq and its counts across restarts, drops and clear", () => {
  inStateFolder((folder) => {
    for (let round = 1; round <= 3; round++) {
      const queue = new SqliteQueue(`${folder}/queue.db`, { ...OPTIONS, maxMessages: 2 });
      assertEquals(queue.stats().dropped, (round - 1) * 3);
      assertEquals(queue.put(messages(5)).lastSeq, round * 5);
      queue.clear();
      queue.close();
    }
  });
});

Deno.test("queue makes an empty file its own (Q5)", () => {
  inStateFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/queue.db`, "");
    const queue = new SqliteQueue(`${folder}/queue.db`, OPTIONS);
    assertEquals(queue.put(messages(1)).lastSeq, 1);
    queue.close();
  });
});

Deno.test("queue needs no file of shared memory beside it, and can be read when its publisher has ended (Q12)", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    const writer = new SqliteQueue(path, OPTIONS);
    writer.put(messages(2));
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).toSorted();
    assertEquals(names, ["queue.db", "queue.db-wal"]);
    writer.close();
    const reader = new SqliteQueue(path, OPTIONS);
    assertEquals(reader.stats().waiting, 2);
    reader.close();
  });
});

Deno.test("queue gives its space back when a backlog is gone, and when it is cleared (Q17)", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    const queue = new SqliteQueue(path, OPTIONS);
    const size = () =>
      [path, `${path}-wal`].reduce((sum, name) => sum + Deno.statSync(name).size, 0);
    const backlog = () => {
      for (let n = 0; n < 10; n++) queue.put(messages(500, "x".repeat(1000)));
      assert(size() > 5_000_000, `${size()}`);
    };
    backlog();
    for (let some = queue.take(500); some.length > 0; some = queue.take(500)) {
      queue.accept(seqs(some));
    }
    queue.flush();
    assert(size() < 100_000, `${size()}`);
    backlog();
    queue.clear();
    assert(size() < 100_000, `${size()}`);
    queue.close();
  });
});

for (const [durability, syncs] of [["power", 20], ["crash", 0]] as const) {
  Deno.test({
    name:
      `queue with durability ${durability} syncs ${syncs} times for 20 puts, and never for what is accepted` +
      " (needs strace)",
    ignore: !hasProgram("strace"),
    fn() {
      const trace = traced(durability, "trace=fsync,fdatasync,statx,stat,newfstatat", [
        "queue.put([message]);",
        'Deno.statSync("begin-puts");',
        "for (let n = 0; n < 20; n++) queue.put([message]);",
        'Deno.statSync("begin-accepts");',
        "for (let n = 0; n < 20; n++) { queue.take(1); queue.accept([n + 1]); queue.flush(); }",
        'Deno.statSync("end");',
      ]);
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
    "queue writes one page for a message that comes when the last has gone, and 400 bytes for one of 150 in bulk" +
    " (needs strace)",
  ignore: !hasProgram("strace"),
  fn() {
    const bytesFor = (messages: number, ...action: string[]) => {
      const trace = traced("power", "trace=pwrite64", action);
      const written = [...trace.matchAll(/= (\d+)$/gm)]
        .reduce((sum, [, bytes]) => sum + Number(bytes), 0);
      return written / messages;
    };
    const one = bytesFor(
      500,
      'const sample = { ...message, payload: "x".repeat(430) };',
      "for (let n = 1; n <= 500; n++) { queue.put([sample]); queue.take(1); queue.accept([n]); }",
    );
    // A page and the 24 bytes of the log that lead it, and what making the file cost.
    assert(one < 1150, `${one} bytes`);
    const bulk = bytesFor(
      30_000,
      'const line = { ...message, payload: "x".repeat(140) };',
      "for (let n = 0; n < 50; n++) {",
      "  queue.put(Array(600).fill(line));",
      "  for (let some = queue.take(32); some.length > 0; some = queue.take(32)) {",
      "    queue.accept(some.map(({ seq }) => seq));",
      "    if (queue.pending >= 100) queue.flush();",
      "  }",
      "}",
    );
    assert(bulk > 150 && bulk < 400, `${bulk} bytes`);
  },
});

/** The system calls of a process that opens a queue and does something with it. */
function traced(durability: string, calls: string, action: readonly string[]): string {
  return inStateFolder((folder) => {
    const module = new URL("../../lib/queue/sqlite_queue.ts", import.meta.url);
    const script = [
      `import { SqliteQueue } from ${JSON.stringify(module)};`,
      `const options = { maxMessages: 1e5, maxBytes: 1e8, full: "drop-oldest", durability: "${durability}" };`,
      `const queue = new SqliteQueue("${folder}/queue.db", options);`,
      'const message = { topic: "t", qos: 1, timeMs: 0, payload: "x" };',
      ...action,
      "queue.close();",
    ];
    for (const name of ["begin-puts", "begin-accepts", "end", "main.ts"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, name === "main.ts" ? script.join("\n") : "");
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
