/** kill -9 again and again, at any instant: what was reported as queued is delivered, in order, and little comes twice. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { type Child, lastQueued, startChild } from "../../support/children.ts";
import { firsts, makeRig, numbered, type Rig, seqsOf } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";
import { seeded } from "../../../tools/shared/seeded.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const KILLS = 200;
const INFLIGHT = 20;
/** Most lines written at once, and in a round: input would wait for room if the queue were half full. */
const CHUNK = 20;
const ROUND = 200;
/** The latest kill after the first thing that a round waits for, in ms. */
const LATEST_MS = 100;

/** Writes lines as long as the child reads them, and no more than a round's. */
async function writeOn(child: Child, random: () => number): Promise<void> {
  for (let lines = 0, open = true; open && lines < ROUND;) {
    const chunk = Math.ceil(random() * CHUNK);
    open = await child.write([...numbered(1, chunk)]);
    lines += chunk;
    await after(random() * 5);
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Drains what is left, and looks at all that came: in order, without a gap, all that was reported. */
async function assertAllCame(rig: Rig, reported: number): Promise<{ repeats: number }> {
  await rig.endpoint.resume();
  const rest = rig.publish(["--source", "stdin"]);
  assertEquals(await rest.code, 0);
  const seqs = seqsOf(rig.endpoint.received);
  const first = firsts(seqs);
  assert(reported > 0 && first.length >= reported, `${first.length} of ${reported}`);
  assert(first.every((seq, index) => seq === index + 1), "in order, and without a gap");
  return { repeats: seqs.length - first.length };
}

Deno.test(`publish loses nothing that was queued in ${KILLS} kills at random instants, and repeats at most what was on its way (Q1, Q2)`, async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 2 } });
  const random = seeded(200);
  let reported = 0;
  let drains = 0;
  let slowestMs = 0;
  for (let round = 0; round < KILLS; round++) {
    // Two rounds fill, one fills and drains, one drains alone, one dies while it starts.
    const kind = (["fill", "fill", "both", "drain", "start"] as const)[round % 5]!;
    const isOnline = kind === "both" || kind === "drain";
    if (isOnline) await rig.endpoint.resume();
    else rig.endpoint.pause();
    if (isOnline) drains++;
    const startMs = performance.now();
    const child = startChild([
      ...["publish", ...rig.flags, "--source", "stdin", "--inflight", `${INFLIGHT}`],
    ]);
    const writing = kind === "drain" ? Promise.resolve() : writeOn(child, random);
    try {
      if (kind === "start") {
        await after(random() * 400);
      } else {
        await child.until(() => child.events("start").length > 0);
        slowestMs = Math.max(slowestMs, performance.now() - startMs);
        const awaited = isOnline ? "connected" : "queued";
        await child.until(() => child.events(awaited).length > 0);
        await after(random() * LATEST_MS);
      }
    } finally {
      await child.kill();
      await writing;
    }
    assertEquals(child.events("warning").filter(({ step }) => step === "queue"), []);
    reported = Math.max(reported, lastQueued(child));
  }
  const { repeats } = await assertAllCame(rig, reported);
  // The window, and as many that were acknowledged in the turn of the kill and had not left the disk.
  assertLessOrEqual(repeats, drains * 2 * INFLIGHT);
  // 2 s is the promise, which takes 0.4 s on an idle machine.
  assertLessOrEqual(slowestMs, 10_000);
});

/** Calls by which the files change, each in the middle of something: of a commit, of a checkpoint, of an end. */
const CALLS = [
  { file: "queue.db-wal", call: "pwrite64", most: 40 },
  { file: "queue.db-wal", call: "fsync", most: 9 },
  { file: "queue.db", call: "pwrite64", most: 4 },
  { file: "queue.db", call: "fsync", most: 1 },
  { file: "queue.db-wal", call: "unlink", most: 1 },
  { file: "queue.lock", call: "write", most: 9 },
] as const;
const CALL_KILLS = 30;

Deno.test({
  name:
    `publish loses nothing that was queued in ${CALL_KILLS} kills in the middle of a write or a sync (Q2; needs strace)`,
  ignore: !hasProgram("strace"),
  async fn() {
    await using rig = await makeRig();
    const random = seeded(40);
    let reported = 0;
    let killed = 0;
    for (let round = 0; round < CALL_KILLS; round++) {
      const { file, call, most } = CALLS[round % CALLS.length]!;
      const when = Math.ceil(random() * most);
      if (round % 2 === 0) rig.endpoint.pause();
      else await rig.endpoint.resume();
      const args = ["publish", ...rig.flags, "--source", "stdin", "--give-up-after", "1s"];
      const child = startChild(args, {
        within: [
          ...["strace", "-qq", "-o", "/dev/null", "-P", `${rig.folder}/state/${file}`],
          ...["-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=${when}`],
        ],
      });
      // Each line in a commit of its own. Where the call is not made so often, it ends well.
      for (let n = 1; n <= 10 && await child.write([...numbered(n, n)]); n++) {
        await child.until(() => child.events("queued").length >= n).catch(() => {});
      }
      await child.end();
      const { code } = await child.ended;
      if (code === 137) killed++;
      reported = Math.max(reported, lastQueued(child));
    }
    assert(killed >= CALL_KILLS / 2, `${killed} kills`);
    await assertAllCame(rig, reported);
  },
});
