/** Queue files that are not exactly ours, opened as a run opens them: mended, with all that can be read (Q5, Q18). */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import {
  fill,
  flipHeaderBits,
  keptIn,
  MESSAGES,
  openAndDrain,
  PAGE_BYTES,
} from "../support/damaging.ts";
import { drain, inStateFolder, isSame, messages, openState } from "../support/queueing.ts";

const DAMAGES: Record<string, [least: number, damage: (bytes: Uint8Array) => Uint8Array]> = {
  "a junk header": [MESSAGES, (bytes) => bytes.fill(0x5a, 0, 100)],
  "a junk first page": [MESSAGES, (bytes) => bytes.fill(0x5a, 0, PAGE_BYTES)],
  "nothing but junk": [0, (bytes) => bytes.fill(0x5a)],
  "its tail cut off": [MESSAGES - 50, (bytes) => bytes.slice(0, bytes.length - 6 * PAGE_BYTES)],
  "half a page at its end": [MESSAGES - 10, (bytes) => bytes.slice(0, bytes.length - 512)],
  "a page of zeros": [MESSAGES - 10, (bytes) => bytes.fill(0, 8 * PAGE_BYTES, 9 * PAGE_BYTES)],
  "its last page of zeros": [MESSAGES - 10, (bytes) => bytes.fill(0, bytes.length - PAGE_BYTES)],
};

for (const [what, [least, damage]] of Object.entries(DAMAGES)) {
  Deno.test(`queue with ${what} is moved aside as it was, and what can be read goes on (Q5)`, () => {
    inStateFolder((folder) => {
      const path = fill(folder);
      const bytes = damage(Deno.readFileSync(path));
      Deno.writeFileSync(path, bytes);
      const { seqs, kept, cause } = openAndDrain(folder);
      assert(seqs.length >= least, `${seqs.length} saved`);
      assertEquals(kept, 1);
      assertMatch(cause, /it is damaged/);
      assert(isSame(Deno.readFileSync(`${folder}/${keptIn(folder)[0]}`), bytes));
      using again = openState(folder);
      assertEquals([again.said, again.queue.waiting.messages], [[], 0]);
    });
  });
}

Deno.test("queue loses nothing to a flipped bit in its header: every ninth bit (Q18)", () => {
  flipHeaderBits(9);
});

Deno.test("queue loses no more than the message it is in to a flipped bit anywhere (Q5, Q18)", () => {
  inStateFolder((folder) => {
    const path = fill(`${folder}/one`);
    const sound = Deno.readFileSync(path);
    for (let at = 100; at < sound.length; at += 397) {
      const state = `${folder}/${at}`;
      Deno.mkdirSync(state, { mode: 0o700 });
      const bytes = sound.slice();
      bytes[at]! ^= 1 << (at & 7);
      Deno.writeFileSync(`${state}/queue.db`, bytes, { mode: 0o600 });
      const { seqs } = openAndDrain(state);
      // A page of rows, or the branch that leads to some, may be lost; an interior page leads to 100 of them.
      assert(
        seqs.length >= MESSAGES - 4 || at % PAGE_BYTES < 100 || at < 8 * PAGE_BYTES,
        `at ${at}: ${seqs.length}`,
      );
      Deno.removeSync(state, { recursive: true });
    }
  });
});

const PLANTED: Record<string, string> = {
  "a trigger": "CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM message; END",
  "a table": "CREATE TABLE other(x)",
  "a view": "CREATE VIEW v AS SELECT load_extension('x') FROM message",
  "an index": "CREATE INDEX i ON message(topic)",
  "another column": "ALTER TABLE message ADD COLUMN more INT",
  "no quarantine": "DROP TABLE quarantine",
  "no counters": "DELETE FROM counter",
  "counters without their checksum": "UPDATE counter SET seq = 9007199254740991",
  "counters beyond 2^53": "UPDATE counter SET seq = 9223372036854775807",
  "another version": "PRAGMA user_version = 2",
  "a newer version": "PRAGMA user_version = 99",
  "no mark of ours": "PRAGMA application_id = 0",
};

for (const [what, sql] of Object.entries(PLANTED)) {
  Deno.test(`queue with ${what} is damaged, and mended without a loss (Q18)`, () => {
    inStateFolder((folder) => {
      const path = fill(folder);
      const db = new DatabaseSync(path);
      db.exec(sql);
      db.close();
      const { seqs, kept, cause } = openAndDrain(folder);
      assertEquals(seqs.length, MESSAGES);
      assertEquals(kept, 1);
      assertMatch(cause, /it is damaged/);
      if (what === "a newer version") assertMatch(cause, /a newer mqtt443 wrote it: schema 99/);
    });
  });
}

Deno.test("queue with a view in place of its table runs nothing of it, and telemetry goes on (Q18)", () => {
  inStateFolder((folder) => {
    const path = fill(folder);
    const db = new DatabaseSync(path);
    db.exec("DROP TABLE message; CREATE VIEW message AS SELECT 1 AS seq, 't' AS topic");
    db.close();
    assertEquals(openAndDrain(folder).seqs, []);
  });
});

Deno.test("queue with rows of 20 MB keeps the others, in bounded memory (Q18)", () => {
  inStateFolder((folder) => {
    const path = fill(folder);
    const db = new DatabaseSync(path);
    db.exec("UPDATE message SET payload = printf('%.20000000c', 'x') WHERE seq IN (7, 50)");
    db.close();
    const { seqs, kept } = openAndDrain(folder);
    assertEquals([seqs.length, kept], [MESSAGES - 2, 1]);
  });
});

Deno.test("a message whose bytes changed on disk is quarantined, and said (Q5)", () => {
  inStateFolder((folder) => {
    const db = new DatabaseSync(fill(folder));
    db.exec("UPDATE message SET payload = 'y' WHERE seq = 50");
    db.close();
    using state = openState(folder);
    assertEquals(drain(state.queue).length, MESSAGES - 1);
    assertEquals(state.queue.stats().quarantined, 1);
    assertMatch(String(state.said[0]?.fields.cause), /their checksum does not agree/);
  });
});

for (const junk of ["junk", "junk behind a sound header"]) {
  Deno.test(`queue beside a log of ${junk} loses nothing that is in the file (Q18)`, () => {
    inStateFolder((folder) => {
      const path = fill(folder);
      const log = crypto.getRandomValues(new Uint8Array(40_000));
      if (junk !== "junk") log.set([0x37, 0x7f, 6, 0x82, 0, 0x2d, 0xe2, 0x18, 0, 0, 4, 0]);
      Deno.writeFileSync(`${path}-wal`, log, { mode: 0o600 });
      assertEquals(openAndDrain(folder).seqs.length, MESSAGES);
    });
  });
}

Deno.test("queue keeps the last two damaged files, and seq goes on each time (Q17)", () => {
  inStateFolder((folder) => {
    let last = 0;
    for (let round = 0; round < 4; round++) {
      const { queue } = openState(folder);
      const { lastSeq } = queue.put(messages(1));
      assert(lastSeq > last);
      last = lastSeq;
      queue.close();
      Deno.writeTextFileSync(`${folder}/queue.db`, `junk ${round}`, { mode: 0o600 });
    }
    openState(folder).queue.close();
    assertEquals(keptIn(folder).length, 2);
  });
});

for (const what of ["removed", "emptied"]) {
  Deno.test(`queue file that is ${what} is noticed, and no seq is given again (Q5)`, () => {
    inStateFolder((folder) => {
      const path = fill(folder);
      if (what === "removed") Deno.removeSync(path);
      else Deno.truncateSync(path);
      using state = openState(folder);
      assertMatch(String(state.said[0]?.fields.cause), /ends at seq 0, but more were given/);
      assertEquals(state.queue.put(messages(1)).lastSeq, MESSAGES + 1);
    });
  });
}

Deno.test("queue that is damaged while it is used is mended, and goes on with what is in flight (Q5, Q16)", () => {
  inStateFolder((folder) => {
    const path = fill(folder);
    using state = openState(folder);
    const taken = state.queue.take(10).map(({ seq }) => seq);
    state.queue.accept(taken.slice(0, 4));
    const size = Deno.statSync(path).size;
    using file = Deno.openSync(path, { write: true });
    // All but the first pages: the branches among them.
    for (let at = 5 * PAGE_BYTES; at < size; at += PAGE_BYTES) {
      file.seekSync(at, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(8));
    }
    const rest = drain(state.queue).map(({ seq }) => seq);
    state.queue.put(messages(1));
    state.queue.release();
    const after = drain(state.queue).map(({ seq }) => seq);
    assertEquals(new Set([...rest, ...after]).has(taken[1]!), false, "what was accepted stays so");
    assert(after.length >= 1);
    assertEquals(state.queue.waiting.messages, 0);
  });
});
