/** The queue of a run: mended when its file is damaged, and telemetry goes on (Q5). */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { openStateQueue, type StateQueue } from "../../lib/queue/mod.ts";
import type { Logger } from "../../lib/core/log.ts";
import { holdStateDirectory } from "../../lib/queue/state_directory.ts";
import type { Settings } from "../../lib/settings/types.ts";
import { volatileWarning } from "../../lib/queue/volatile.ts";
import { realWorld } from "../../lib/core/process.ts";
import { draft, inStateFolder, isSame, seqs } from "../support/queueing.ts";

const PAGE_BYTES = 2048;
const MESSAGES = 200;

interface Said {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Opens the queue of a folder; what it says is collected. */
function open(folder: string, more: Partial<Settings> = {}): StateQueue & { said: Said[] } {
  const said: Said[] = [];
  const say = (event: string, fields = {}) => void said.push({ event, fields });
  const log: Logger = { debug() {}, info: say, warn: say, error: say };
  const settings = {
    endpoint: "gw.example",
    port: 443,
    clientId: "gw-7",
    topic: "t",
    state: folder,
    queueMaxMessages: 10_000,
    queueMaxBytes: 64 * 1024 ** 2,
    queueMaxAge: undefined,
    queueFull: "drop-oldest",
    durability: "power",
    ...more,
  } as Settings;
  return { ...openStateQueue(settings, log, realWorld()), said };
}

/** Makes a queue of 200 messages, and damages its file. */
function damaged(folder: string, damage: (bytes: Uint8Array) => Uint8Array): void {
  const { queue, close } = open(folder);
  queue.put(Array.from({ length: MESSAGES }, () => draft({ text: "x".repeat(200) })));
  close();
  const path = `${folder}/queue.db`;
  Deno.writeFileSync(path, damage(Deno.readFileSync(path)));
}

function asideOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    // SQLite leaves its own two files beside it, as it was read.
    .filter((name) => name.startsWith("queue.db.damaged-") && !/-(wal|shm)$/.test(name));
}

const DAMAGES: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  "a junk header": (bytes) => bytes.fill(0x5a, 0, 100),
  "nothing but junk": (bytes) => bytes.fill(0x5a),
  "its tail cut off": (bytes) => bytes.slice(0, bytes.length - 6 * PAGE_BYTES),
  "a page of zeros": (bytes) => bytes.fill(0, 5 * PAGE_BYTES, 6 * PAGE_BYTES),
  "its last page of zeros": (bytes) => bytes.fill(0, bytes.length - PAGE_BYTES),
  "a flipped byte in the head of a page": (bytes) => {
    bytes[6 * PAGE_BYTES]! ^= 0xff;
    return bytes;
  },
  "half a page at its end": (bytes) => bytes.slice(0, bytes.length - PAGE_BYTES / 2),
};

for (const [what, damage] of Object.entries(DAMAGES)) {
  Deno.test(`queue with ${what} is moved aside, and telemetry goes on (Q5)`, () => {
    inStateFolder((folder) => {
      damaged(folder, damage);
      const { queue, close, said } = open(folder);
      assertEquals(asideOf(folder).length, 1);
      const [warning] = said;
      assertMatch(String(warning?.fields.cause), /it is damaged/);
      assertMatch(String(warning?.fields.hint), /it is moved to .*queue\.db\.damaged-/);
      const { lastSeq } = queue.put([draft()]);
      assert(lastSeq > MESSAGES, `seq goes on after ${MESSAGES}, not at ${lastSeq}`);
      assert(lastSeq <= MESSAGES + 5000);
      const found = seqs(queue.take(1000));
      assertEquals(found.at(-1), lastSeq);
      assertEquals(found.length - 1, warning?.fields.saved, "what was saved is there, and counted");
      assertEquals(found, found.toSorted((a, b) => a - b));
      close();
    });
  });
}

Deno.test("queue with one damaged page saves the messages on all others (Q5)", () => {
  inStateFolder((folder) => {
    damaged(folder, DAMAGES["a page of zeros"]!);
    const { queue, close } = open(folder);
    const found = queue.take(1000);
    // A page holds fewer than twenty of them.
    assert(found.length >= MESSAGES - 20, `${found.length} saved`);
    for (const { seq, payload } of found) assertEquals(payload, `${seq} ${"x".repeat(200)}`);
    close();
  });
});

Deno.test("queue of a version before, with pages of 4 KiB, is used as it is, and saved behind a junk header (Q5)", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.db`;
    {
      using made = new DatabaseSync(path);
      made.exec("PRAGMA page_size = 4096; VACUUM");
    }
    damaged(folder, (bytes) => {
      assertEquals(new DataView(bytes.buffer).getUint16(16), 4096);
      return DAMAGES["a junk header"]!(bytes);
    });
    const { queue, close } = open(folder);
    assertEquals(queue.stats().waiting, MESSAGES);
    close();
  });
});

Deno.test("queue with a junk header is saved whole, but for what was delivered (Q5)", () => {
  inStateFolder((folder) => {
    damaged(folder, DAMAGES["a junk header"]!);
    const state = holdStateDirectory(folder);
    state.delivered.write(50);
    state.release();
    const { queue, close } = open(folder);
    assertEquals([queue.stats().waiting, queue.take(1)[0]?.seq], [MESSAGES - 50, 51]);
    close();
  });
});

for (const what of ["removed", "emptied"]) {
  Deno.test(`queue file that is ${what} is noticed by what was delivered of it, and no seq is given again (Q5)`, () => {
    inStateFolder((folder) => {
      const first = open(folder);
      first.queue.put(Array(100).fill(draft()));
      first.queue.accept(first.queue.take(50));
      first.close();
      if (what === "removed") Deno.removeSync(`${folder}/queue.db`);
      else Deno.truncateSync(`${folder}/queue.db`);
      const { queue, close, said } = open(folder);
      assertMatch(String(said[0]?.fields.cause), /ends at seq 0, but more were given/);
      assert(queue.put([draft()]).lastSeq > 100);
      close();
    });
  });
}

Deno.test("queue file of another device is delivered whole, whatever was delivered of ours (Q5)", () => {
  inStateFolder((folder) => {
    const ours = open(`${folder}/ours`);
    ours.queue.put(Array(100).fill(draft()));
    ours.queue.accept(ours.queue.take(70));
    ours.close();
    const theirs = open(`${folder}/theirs`);
    theirs.queue.put(Array(60).fill(draft()));
    theirs.close();
    Deno.renameSync(`${folder}/theirs/queue.db`, `${folder}/ours/queue.db`);
    for (let start = 1; start <= 2; start++) {
      const { queue, close } = open(`${folder}/ours`);
      assertEquals(queue.take(100).length, 60, `start ${start}`);
      close();
    }
  });
});

Deno.test("queue keeps the damaged file as it was (Q5)", () => {
  inStateFolder((folder) => {
    damaged(folder, DAMAGES["nothing but junk"]!);
    const before = Deno.readFileSync(`${folder}/queue.db`);
    open(folder).close();
    assert(isSame(Deno.readFileSync(`${folder}/${asideOf(folder)[0]}`), before));
  });
});

Deno.test("queue that was mended is sound when opened again (Q5)", () => {
  inStateFolder((folder) => {
    damaged(folder, DAMAGES["its tail cut off"]!);
    const first = open(folder);
    const { waiting, lastSeq } = first.queue.stats();
    first.close();
    const second = open(folder);
    assertEquals(second.said, []);
    assertEquals(second.queue.stats().waiting, waiting);
    assertEquals(second.queue.stats().lastSeq, lastSeq);
    second.close();
  });
});

Deno.test("queue is damaged twice: both files are kept, and seq still goes on (Q5)", () => {
  inStateFolder((folder) => {
    damaged(folder, DAMAGES["nothing but junk"]!);
    const first = open(folder);
    const { lastSeq } = first.queue.put([draft()]);
    first.close();
    Deno.writeTextFileSync(`${folder}/queue.db`, "junk again");
    const second = open(folder);
    assert(second.queue.put([draft()]).lastSeq > lastSeq);
    assertEquals(asideOf(folder).length, 2);
    second.close();
  });
});

Deno.test("queue with durability none touches no directory", () => {
  inStateFolder((folder) => {
    const { queue, close } = open(`${folder}/state`, { durability: "none" });
    queue.put([draft()]);
    close();
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("queue gives its directory free when it is closed", () => {
  inStateFolder((folder) => {
    open(folder).close();
    open(folder).close();
  });
});

Deno.test({
  name: "opening a queue in memory with durability power says what a power cut would cost",
  ignore: !isWritable("/dev/shm"),
  async fn() {
    const state = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "mqtt443-test-" });
    try {
      assertMatch(
        String(await volatileWarning({ state, durability: "power" })),
        /is in memory \(tmpfs\)/,
      );
      assertEquals(await volatileWarning({ state, durability: "crash" }), undefined);
      assertEquals(await volatileWarning({ state: "/", durability: "power" }), undefined);
    } finally {
      Deno.removeSync(state);
    }
  },
});

function isWritable(path: string): boolean {
  try {
    Deno.removeSync(Deno.makeTempDirSync({ dir: path }));
    return true;
  } catch {
    return false;
  }
}

/** What is said at the start of what waits. */
function told(folder: string, more: Partial<Settings>): string[] {
  const { said, close } = open(folder, more);
  close();
  return said.map(({ fields }) => String(fields.cause));
}

Deno.test("messages that wait for other topics are told at the start (F22)", () =>
  inStateFolder((folder) => {
    const { queue, close, said } = open(folder);
    queue.put([2000, 3000, 4000].map((timeMs) => draft({ timeMs })));
    close();
    assertEquals([said, told(folder, {})], [[], []]);
    assertEquals(told(folder, { topic: "dt/b" }), [
      '3 messages wait for topic "t" since 1970-01-01T00:00:02.000Z; this run sends them there, ' +
      'and its own to "dt/b"',
    ]);
    const more = open(folder, { topic: "dt/b" });
    more.queue.put([draft({ topic: "dt/b", timeMs: 5000 })]);
    more.close();
    assertEquals(told(folder, { topic: "dt/b" }).length, 1);
    assertEquals(told(folder, { topic: "dt/c" }), [
      '4 messages wait for 2 topics ("t", …) since 1970-01-01T00:00:02.000Z; this run sends them ' +
      'there, and its own to "dt/c"',
    ]);
  }));

Deno.test("messages that wait from a run for another endpoint or client are told at the start (F22)", () =>
  inStateFolder((folder) => {
    assertEquals(told(folder, { endpoint: "old.example" }), []);
    assertEquals(told(folder, {}), [], "nothing waits");
    const { queue, close } = open(folder);
    queue.put([draft({ timeMs: 2000 })]);
    close();
    assertEquals(told(folder, { endpoint: "new.example", port: 8883 }), [
      '1 message waits since 1970-01-01T00:00:02.000Z; the run before was "gw-7" at ' +
      'gw.example:443; this run, "gw-7" at new.example:8883, sends them',
    ]);
    assertEquals(told(folder, { endpoint: "new.example", port: 8883 }), [], "said once");
    assertMatch(told(folder, { clientId: "gw-8" })[0]!, /"gw-7" at .*; this run, "gw-8" at /);
  }));

Deno.test("a note of the run before that is damaged is passed over (F22)", () =>
  inStateFolder((folder) => {
    const { queue, close } = open(folder);
    queue.put([draft()]);
    close();
    const path = `${folder}/queue.lock`;
    for (const note of ["{", '{"clientId":7}', "\0\0", "null", ""]) {
      const marks = Deno.readTextFileSync(path).slice(0, 60);
      Deno.writeTextFileSync(path, marks + note);
      assertEquals(told(folder, { endpoint: "new.example" }), [], note);
    }
  }));
