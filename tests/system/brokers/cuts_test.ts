/** A link to real brokers that is cut at random, with restarts of both in the middle: nothing is lost. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { startForwarder } from "../../../tools/endpoint/forwarder.ts";
import { seeded } from "../../../tools/shared/seeded.ts";
import { startBrokers } from "./brokers.ts";
import { runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const INFLIGHT = 20;
const CUTS = 12;

/** Waits; the times of the cuts are what is tested. */
function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("publish loses nothing over a link to HAProxy and mosquitto that is cut at random while each is restarted, and repeats at most a window for each cut (L2)", async () => {
  await using brokers = await startBrokers();
  await using link = await startForwarder(brokers.front.port);
  await using witness = await brokers.witness({ persistent: true });
  const seqsSeen = () => witness.seen().map(({ payload }) => Number(JSON.parse(payload).seq));
  await using program = runProgram(brokers, [
    ...["publish", "--source", "clock", "--interval", "100ms", "--inflight", `${INFLIGHT}`],
    ...["--ack-timeout", "1s", "--backoff-max", "2s", "--log-level", "debug"],
  ], { to: { endpoint: "localhost", port: link.port } });
  await witness.until((seen) => seen.length >= 5, "five messages");

  const random = seeded(3);
  for (let cut = 1; cut <= CUTS; cut++) {
    await pass(200 + random() * 1800);
    const how = (["rst", "fin", "silence"] as const)[Math.floor(random() * 3)]!;
    link.pause();
    if (how === "silence") link.freeze();
    else link.cut(how);
    if (cut === 4) await brokers.stopFront();
    if (cut === 8) await brokers.stopMosquitto();
    await pass(50 + random() * 1500);
    if (cut === 4) await brokers.startFront();
    if (cut === 8) await brokers.startMosquitto();
    const before = seqsSeen().length;
    await link.resume();
    // Else the next cut might meet no session.
    await witness.until((seen) => seen.length > before, "a message after the cut");
  }
  // The link is well: until the last message of this moment has come over it.
  const queued = () => Number(program.log().findLast(({ event }) => event === "queued")?.seq);
  const some = queued();
  await witness.until(() => seqsSeen().includes(some), `message ${some}`);
  program.signal("SIGTERM");
  assertEquals(await program.ended, 0);

  const last = queued();
  await witness.until(() => seqsSeen().includes(last), `message ${last}, the last one`);
  const seqs = seqsSeen();
  const distinct = [...new Set(seqs)];
  assertEquals(distinct, Array.from({ length: last }, (_, index) => index + 1));
  assertLessOrEqual(seqs.length - last, CUTS * INFLIGHT, "repeats");
  const lost = program.log().filter(({ event }) => event === "disconnected");
  assert(lost.length >= CUTS / 2, `${lost.length} sessions were lost`);
  assertEquals(program.log().filter(({ event }) => event === "quarantined"), []);
  assertEquals(program.log().at(-1)?.queued, 0);
});
