/** Servers restarted in the middle of a run: nothing is lost, and little comes twice. */

import { assert, assertEquals } from "@std/assert";
import { type Brokers, type Place, type Seen, startBrokers } from "./brokers.ts";
import { runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Messages in flight at most, so as many may come twice after a loss of the link. */
const INFLIGHT = 20;

function seqs(seen: readonly Seen[]): number[] {
  return seen.map(({ payload }) => JSON.parse(payload).seq);
}

/** Publishes ten messages a second while `interrupt` does its work; the witness must see every one of them. */
async function publishThrough(
  brokers: Brokers,
  to: Place,
  interrupt: { down(): Promise<void>; up(): Promise<void> },
): Promise<void> {
  await using witness = await brokers.witness({ persistent: true });
  await using program = runProgram(brokers, [
    ...["publish", "--source", "clock", "--interval", "100ms", "--inflight", `${INFLIGHT}`],
    ...["--log-level", "debug", ...(to === brokers.front ? [] : ["--alpn", "none"])],
  ], { to });
  await witness.until((seen) => seen.length >= 5, "five messages");
  await interrupt.down();
  await program.event("disconnected");
  const queuedBefore = program.log().filter(({ event }) => event === "queued").length;
  await program.event("queued", queuedBefore + 5);
  await interrupt.up();
  await program.event("connected", 1);
  const { seq } = await program.event("queued", queuedBefore + 10);
  await witness.until((seen) => seqs(seen).includes(Number(seq)), `message ${seq}`);
  program.signal("SIGTERM");
  assertEquals(await program.ended, 0);

  const last = program.log().findLast(({ event }) => event === "queued")?.seq;
  const seen = seqs(await witness.until((all) => seqs(all).includes(Number(last)), "the last one"));
  const distinct = [...new Set(seen)];
  assertEquals(distinct, Array.from({ length: Number(last) }, (_, index) => index + 1));
  assert(seen.length - distinct.length <= INFLIGHT, `${seen.length - distinct.length} repeats`);
  assertEquals(program.log().at(-1)?.queued, 0);
}

Deno.test("publish loses nothing when HAProxy is stopped and started again (L2)", async () => {
  await using brokers = await startBrokers();
  await publishThrough(brokers, brokers.front, {
    down: brokers.stopFront,
    up: brokers.startFront,
  });
});

Deno.test("publish loses nothing when the broker behind HAProxy is restarted (L2)", async () => {
  await using brokers = await startBrokers();
  await publishThrough(brokers, brokers.front, {
    down: brokers.stopMosquitto,
    up: brokers.startMosquitto,
  });
});

Deno.test("publish loses nothing when mosquitto is restarted (L2)", async () => {
  await using brokers = await startBrokers();
  await publishThrough(brokers, brokers.plainTls, {
    down: brokers.stopMosquitto,
    up: brokers.startMosquitto,
  });
});
