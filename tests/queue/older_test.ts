/** A queue file as an earlier release left it, with messages that waited, one set aside, and drops. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { checksumOf } from "../../lib/queue/row.ts";
import type { QueuedMessage } from "../../lib/queue/types.ts";
import { makeRig, range, seqsOf } from "../support/publishing.ts";

/** Schema 1, word by word: it does not change when the program's own does. */
const SCHEMA_1 = `
PRAGMA journal_mode = WAL;
CREATE TABLE message (
  seq     INTEGER PRIMARY KEY,
  topic   TEXT NOT NULL,
  qos     INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  payload TEXT NOT NULL
) STRICT;
CREATE TABLE quarantine (
  seq     INTEGER PRIMARY KEY,
  topic   TEXT NOT NULL,
  qos     INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  payload TEXT NOT NULL,
  reason  TEXT NOT NULL
) STRICT;
CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('seq', 120), ('dropped', 7);
INSERT INTO quarantine VALUES (20, 't', 1, 0, '{"seq":20}', 'refused');
PRAGMA user_version = 1;
`;

/** Null in messages from before. */
const ADDED_BY_2 = {
  checksum: `ALTER TABLE message ADD COLUMN checksum INTEGER;
    INSERT INTO counter SELECT 'waiting', count(*) FROM message;`,
};

async function writeOlder(state: string, version = 1): Promise<void> {
  await Deno.mkdir(state, { mode: 0o700 });
  await Deno.writeTextFile(`${state}/queue.db`, "", { mode: 0o600 });
  const db = new DatabaseSync(`${state}/queue.db`);
  db.exec(SCHEMA_1);
  const insert = db.prepare("INSERT INTO message VALUES (?, 'dt/older', 1, 1770000000000, ?)");
  for (const seq of range(21, 120)) insert.run(seq, `{"device":"gw-7","seq":${seq}}`);
  if (version === 2) {
    const { checksum } = ADDED_BY_2;
    db.exec(checksum);
    const all = db.prepare("SELECT * FROM message").all() as unknown as QueuedMessage[];
    const set = db.prepare("UPDATE message SET checksum = ? WHERE seq = ?");
    for (const row of all.slice(50)) {
      const { seq, topic, qos, payload } = row;
      set.run(checksumOf({ seq, topic, qos, payload, timeMs: 1770000000000 }), seq);
    }
  }
  db.exec(`PRAGMA user_version = ${version}`);
  db.close();
  for (const { name } of Deno.readDirSync(state)) Deno.chmodSync(`${state}/${name}`, 0o600);
}

Deno.test("publish carries a queue of schema 1 over, delivers what waits in it, and goes on with seq and counts (Q11)", async () => {
  await using rig = await makeRig();
  await writeOlder(`${rig.folder}/state`);
  const input = ReadableStream.from([new TextEncoder().encode('{"n":1}\n')]);
  const run = rig.publish(["--source", "stdin"], { input });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(21, 121));
  const after = rig.run(["queue", "--json", "--state", `${rig.folder}/state`]);
  assertEquals(await after.code, 0);
  const { waiting, quarantined, dropped } = JSON.parse(after.out.join(""));
  assertEquals({ waiting, quarantined, dropped }, { waiting: 0, quarantined: 1, dropped: 7 });
});

Deno.test("publish moves a queue of a newer schema aside, says so, and delivers what it can read (Q11)", async () => {
  await using rig = await makeRig();
  const state = `${rig.folder}/state`;
  await writeOlder(state, 1000);
  const run = rig.publish(["--message", "x"]);
  assertEquals(await run.code, 0);
  const { cause, code, saved } = await run.said("warning", ({ saved }) => saved !== undefined);
  assertMatch(String(cause), /a newer mqtt443 wrote it: schema 1000, this one knows \d+/);
  assertEquals([code, saved], ["queue-newer", 100]);
  assertEquals(rig.endpoint.counts.received, 101);
  const kept = [...Deno.readDirSync(state)].filter(({ name }) => name.includes(".damaged-"));
  assert(kept.length > 0);
});

Deno.test("publish carries a queue of schema 2 over, but for what its note says has left (Q11)", async () => {
  await using rig = await makeRig();
  const state = `${rig.folder}/state`;
  await writeOlder(state, 2);
  const mark = (seq: number) => `${seq}\n`.padStart(20);
  const lock = mark(2400) + mark(70) + mark(70);
  await Deno.writeTextFile(`${state}/queue.lock`, lock, { mode: 0o600 });
  const run = rig.publish(["--message", "x"]);
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received.slice(0, -1)), range(71, 120));
  const names = [...Deno.readDirSync(state)].map(({ name }) => name).toSorted();
  assertEquals(names.filter((name) => name.includes(".damaged-")), []);
});
