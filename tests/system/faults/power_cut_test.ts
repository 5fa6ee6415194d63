/** A power cut at any point: what was reported as queued is there after it, in order, and `seq` goes on. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { makeRig, range } from "../../support/publishing.ts";
import { hasProgram, isSame, seqs } from "../../support/queueing.ts";
import {
  cutAndLook,
  type Found,
  queuedSeq,
  record,
  reopen,
  type Scenario,
  writeInParts,
} from "./power_cuts.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const ignore = !hasProgram("strace");
const PAGE_BYTES = 2048;

Deno.test({
  name:
    "publish reports a message as queued when its bytes and all names on the way to it are synced (Q3; needs strace)",
  ignore,
  async fn() {
    await using rig = await makeRig();
    rig.endpoint.pause();
    const { calls, model } = await record(rig, { drive: (child) => writeInParts(child, [1, 10]) });
    let reported = 0;
    for (const call of calls) {
      model.apply(call);
      if (call.kind !== "say" || queuedSeq(call.text) === 0) continue;
      reported++;
      // The lock's status is a note; a reserve that is gone is made again.
      assertEquals(model.unsynced(["queue.reserve"]), ["/a/state/queue.lock"], call.text);
    }
    assertEquals(reported, 10);
  },
});

/** How often the file itself is synced: when the log is moved into it, at the end of a run too. */
type Moves = { readonly isOnline?: boolean; readonly moves?: number };

const SCENARIOS: Readonly<Record<string, Scenario & Moves>> = {
  "while a new state directory is made and filled": {
    drive: (child) => writeInParts(child, [1, 30]),
  },
  "while a queue is opened again, filled and closed": {
    async prepare(start) {
      const child = start();
      await writeInParts(child, [1, 20], { part: 5 });
      await child.end();
      await child.ended;
    },
    drive: (child) => writeInParts(child, [21, 40]),
  },
  "while what kill -9 left is drained and filled": {
    isOnline: true,
    async prepare(start) {
      const child = start();
      await writeInParts(child, [1, 400], { part: 50 });
      await child.kill();
    },
    drive: (child) => writeInParts(child, [401, 500], { part: 10 }),
  },
  "while the log is moved into the file and begun anew": {
    moves: 2,
    // A message is almost two pages, and two thousand pages end the log.
    drive: (child) => writeInParts(child, [1, 1300], { part: 50, bytes: 3000 }),
  },
};

for (const [when, { isOnline = false, moves = 0, prepare, drive }] of Object.entries(SCENARIOS)) {
  Deno.test({
    name: `a power cut ${when} loses nothing that was reported as queued (Q3; needs strace)`,
    ignore,
    async fn() {
      await using rig = await makeRig();
      rig.endpoint.pause();
      const recording = await record(rig, {
        async prepare(...tools) {
          await prepare?.(...tools);
          if (isOnline) await rig.endpoint.resume();
        },
        drive,
      });
      const syncs = recording.calls.filter((call) =>
        call.kind === "sync" && call.path.endsWith("/queue.db")
      );
      assert(syncs.length >= moves, `moved ${syncs.length} times`);
      const cuts = cutAndLook(recording, assertNothingLost);
      assert(cuts >= 100, `${cuts} cuts`);
    },
  });
}

Deno.test({
  name:
    "a power cut with durability crash costs the last messages at most, and leaves the others in order (Q3; needs strace)",
  ignore,
  async fn() {
    await using rig = await makeRig();
    rig.endpoint.pause();
    const recording = await record(rig, {
      flags: ["--durability", "crash"],
      drive: (child) => writeInParts(child, [1, 1300], { part: 50, bytes: 3000 }),
    });
    let most = 0;
    let lost = 0;
    cutAndLook(recording, ({ messages, warnings }, { reported }) => {
      assertEquals(warnings.filter((text) => text.includes("damaged")), []);
      assertEquals(seqs(messages), range(1, messages.length));
      most = Math.max(most, messages.length);
      lost = Math.max(lost, reported - messages.length);
    });
    // Else this would be the proof that it need not be the lesser durability.
    assert(most >= 1000 && lost > 0, `${most} kept, ${lost} lost`);
  },
});

/** That all is there that was reported and had not arrived, without a gap. */
function assertNothingLost(
  { messages, nextSeq, warnings }: Found,
  { reported, arrived }: { reported: number; arrived: number },
): void {
  // That a copy lies in memory is warned of, and meant.
  assertEquals(warnings.filter((warning) => !/is in memory \(tmpfs\)/.test(warning)), []);
  assertEquals(gaps([...seqs(messages), nextSeq]), []);
  assertLessOrEqual(reported + 1, nextSeq, "all that was reported is there, and seq goes on");
  const first = messages[0]?.seq ?? nextSeq;
  assertLessOrEqual(first, arrived + 1, "nothing that had not arrived is missing");
  for (const { seq, payload } of messages) assertEquals(JSON.parse(payload).metrics.n, seq);
}

/** Pairs of neighbours that do not follow one another. */
function gaps(list: readonly number[]): string[] {
  return list.flatMap((seq, index) =>
    index > 0 && seq !== list[index - 1]! + 1 ? [`${list[index - 1]} ${seq}`] : []
  );
}

Deno.test({
  name:
    "a power cut while a damaged queue is mended loses nothing that could be saved, nor the damaged file (Q3, Q5; needs strace)",
  ignore,
  async fn() {
    await using rig = await makeRig();
    rig.endpoint.pause();
    let damaged = new Uint8Array();
    let saved: number[] = [];
    const recording = await record(rig, {
      async prepare(start, path) {
        const child = start();
        await writeInParts(child, [1, 300], { part: 50, bytes: 200 });
        await child.end();
        await child.ended;
        damaged = Deno.readFileSync(path).fill(0, 5 * PAGE_BYTES, 6 * PAGE_BYTES);
        Deno.writeFileSync(path, damaged);
        const copy = `${rig.folder}/copy`;
        Deno.mkdirSync(copy, { mode: 0o700 });
        Deno.copyFileSync(path, `${copy}/queue.db`);
        saved = seqs(reopen(copy).messages);
      },
      drive: (child) => writeInParts(child, [301, 320]),
    });
    assert(saved.length >= 280 && saved.length < 300, `${saved.length} can be saved`);
    const cuts = cutAndLook(recording, ({ state, messages, nextSeq }, { reported }) => {
      const found = seqs(messages);
      assertEquals(found.filter((seq) => seq <= 300), saved);
      // Where the last seq was not noted, seq goes on with a jump: a gap tells of a loss, a repeat would hide one.
      assertEquals(gaps([...found.filter((seq) => seq > 300), nextSeq]), []);
      assert(nextSeq > 300, `seq goes on at ${nextSeq}`);
      assertLessOrEqual(reported + 1, nextSeq);
      const kept = [...Deno.readDirSync(state)].map(({ name }) => name)
        .filter((name) => /\.damaged-.*Z$/.test(name));
      assertEquals(kept.length, 1);
      assert(isSame(Deno.readFileSync(`${state}/${kept[0]}`), damaged), "the damaged file is kept");
    });
    assert(cuts >= 100, `${cuts} cuts`);
  },
});
