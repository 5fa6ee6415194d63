/** A link that is cut at random, again and again, for a minute; the program is a process of its own. */

import { assert, assertEquals, assertLess, assertLessOrEqual } from "@std/assert";
import { median, rssKib } from "../../../tools/bench/process.ts";
import { type Forwarder, startForwarder } from "../../../tools/endpoint/forwarder.ts";
import { startChild } from "../../support/children.ts";
import {
  countsOf,
  firsts,
  makeRig,
  numbered,
  range,
  replaced,
  seqsOf,
} from "../../support/publishing.ts";
import { seeded } from "../../../tools/shared/seeded.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const DURATION_MS = 60_000;
const INFLIGHT = 20;
/** Resident memory may differ by so much between the second quarter of the run and the last. */
const MOST_GROWTH_KIB = 12 * 1024;

/** Milliseconds between two lots of lines, and lines in a lot. */
const LOT_MS = 100;
const LOT = 10;

/** Waits; the times of the cuts are what is tested. */
function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Cuts the link at random until the time is up; returns how often. */
async function cutAtRandom(link: Forwarder, random: () => number, endMs: number): Promise<number> {
  let cuts = 0;
  while (performance.now() < endMs) {
    await pass(200 + random() * 2800);
    const how = (["rst", "fin", "silence"] as const)[Math.floor(random() * 3)]!;
    link.pause();
    if (how === "silence") link.freeze();
    else link.cut(how);
    cuts++;
    await pass(50 + random() * 2000);
    await link.resume();
  }
  return cuts;
}

Deno.test("publisher loses nothing in a minute of random cuts, repeats at most a window for each, and grows no larger (L2)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 30 } });
  await using link = await startForwarder(rig.endpoint.port);
  const flags = replaced(rig.flags, {
    "--port": `${link.port}`,
    "--log-level": "info",
    "--backoff-max": "2s",
  });
  const child = startChild([
    ...["publish", ...flags, "--source", "stdin"],
    ...["--inflight", `${INFLIGHT}`, "--ack-timeout", "1s"],
  ]);
  try {
    const endMs = performance.now() + DURATION_MS;
    const cutting = cutAtRandom(link, seeded(1), endMs);
    const memory: number[] = [];
    let lines = 0;
    while (performance.now() < endMs) {
      await child.write([...numbered(lines + 1, lines + LOT)]);
      lines += LOT;
      memory.push(rssKib(child.pid));
      await pass(LOT_MS);
    }
    const cuts = await cutting;
    await child.end();
    const { code, words } = await child.ended;
    assertEquals(code, 0, words);

    const seqs = seqsOf(rig.endpoint.received);
    assertEquals(firsts(seqs), range(1, lines));
    assert(cuts >= 12, `${cuts} cuts`);
    assertLessOrEqual(seqs.length - lines, cuts * INFLIGHT, "repeats");
    assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
    const quarter = Math.floor(memory.length / 4);
    const before = median(memory.slice(quarter, 2 * quarter));
    const after = median(memory.slice(-quarter));
    assertLess(after - before, MOST_GROWTH_KIB, `from ${before} KiB to ${after} KiB`);
  } finally {
    await child.kill();
  }
});
