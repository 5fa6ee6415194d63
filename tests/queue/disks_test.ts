/**
 * Disks that are full, without inodes, read-only or damaged without room, below the program as it ships: at its start, in
 * a run, in a drain, at SIGTERM and at kill -9. The disks are small file systems that root mounts.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { fillsInRun, fullAtEnd, fullAtStart, onDisk } from "../support/full_disk.ts";
import { mountAt, succeeds } from "../support/mounting.ts";
import {
  firsts,
  inputOf,
  numbered,
  openInput,
  queueOffline,
  range,
  seqsOf,
} from "../support/publishing.ts";
import { countsOf, feeder, fill, inMemory, isHealed, memory } from "../support/small_disks.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const TMPFS = memory("1m");

onDisk(
  "publisher whose disk is full at its start sends what is on it, and live messages (Q12; needs root and mount)",
  TMPFS,
  fullAtStart,
);

onDisk(
  "publisher whose disk fills in a run loses nothing, and heals (Q4; needs root and mount)",
  TMPFS,
  fillsInRun,
);

onDisk(
  "publisher that is stopped with messages in memory counts them as dropped, and says so (Q15; needs root and mount)",
  TMPFS,
  fullAtEnd,
);

onDisk(
  "publisher that fills its own disk in an outage sends all after a restart, and gives the space back (Q12, Q17; needs root and mount)",
  TMPFS,
  async (rig, state) => {
    rig.endpoint.pause();
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin"], { input: stream });
    const feed = feeder(run, write);
    while (!run.log.some(inMemory)) await feed(40);
    run.signal("SIGKILL");
    await run.code;
    await rig.endpoint.resume();
    const again = rig.publish(["--source", "stdin"], { input: openInput().stream });
    const { queued } = await again.said("start");
    await rig.endpoint.waitFor(Number(queued));
    again.signal();
    assertEquals(await again.code, 0);
    assertEquals(seqsOf(rig.endpoint.received), range(1, Number(queued)));
    assert(Number(queued) > 300, `${queued}`);
    const size = Deno.statSync(`${state}/queue.db`).size;
    assert(size < 200_000, `${size} bytes`);
    const third = rig.publish(["--message", "after"]);
    assertEquals(await third.code, 0);
    assertEquals(third.log.some(inMemory), false);
  },
);

onDisk(
  "publisher on a disk without inodes publishes from memory, and says so (Q12; needs root and mount)",
  (rig) => {
    // One for the directory, and none for a file.
    return mountAt(
      `${rig.folder}/state`,
      "-t",
      "tmpfs",
      "-o",
      "nr_inodes=1,size=1m,mode=0700",
      "tmpfs",
    );
  },
  async (rig, state) => {
    const run = rig.publish(["--message", "x"]);
    assertEquals(await run.code, 0);
    assertMatch(String((await run.said("warning", inMemory)).hint), /df -i/);
    assertEquals(rig.endpoint.counts.received, 1);
    assertEquals([...Deno.readDirSync(state)], []);
  },
);

onDisk(
  "publisher on a read-only disk sends what is on it, and live messages, and heals (Q6, Q12; needs root and mount)",
  TMPFS,
  async (rig, state) => {
    await queueOffline(rig, 100);
    assert(succeeds("mount", "-o", "remount,ro", state));
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin"], { input: stream });
    await rig.endpoint.waitFor(100);
    write("{}");
    await rig.endpoint.waitFor(101);
    assertMatch(String((await run.said("warning", inMemory)).hint), /mount it writable/);
    assert(succeeds("mount", "-o", "remount,rw", state));
    await run.said("queued", isHealed);
    write("{}");
    await rig.endpoint.waitFor(102);
    run.signal();
    assertEquals(await run.code, 0);
    assertEquals(seqsOf(rig.endpoint.received), range(1, 102));
    assertEquals((await countsOf(rig)).waiting, 0);
  },
);

onDisk(
  "input waits for the room there is, on a small disk with the link down (Q14; needs root and mount)",
  TMPFS,
  async (rig) => {
    rig.endpoint.pause();
    const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 20_000)) });
    await run.said("warning", inMemory);
    await rig.endpoint.resume();
    assertEquals(await run.code, 0);
    const { published, dropped, queued } = await run.said("stopped");
    assertEquals({ published, dropped, queued }, { published: 20_000, dropped: 0, queued: 0 });
    assertEquals(firsts(seqsOf(rig.endpoint.received)), range(1, 20_000));
  },
);

onDisk(
  "a damaged queue without room to mend it is left where it is, delivered, and mended when there is room (Q13; needs root and mount)",
  TMPFS,
  async (rig, state) => {
    await queueOffline(rig, 300);
    const bytes = Deno.readFileSync(`${state}/queue.db`);
    bytes[19]! ^= 4;
    bytes.fill(0, bytes.length - 1024);
    // The header is one that SQLite reads.
    bytes[19]! ^= 4;
    Deno.writeFileSync(`${state}/queue.db`, bytes);
    Deno.removeSync(`${state}/queue.reserve`);
    fill(state);
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin"], { input: stream });
    await rig.endpoint.until(() => rig.endpoint.counts.received >= 290);
    assertEquals(Deno.readFileSync(`${state}/queue.db`).length, bytes.length);
    Deno.removeSync(`${state}/other`);
    const { lost } = await run.said("warning", ({ lost }) => lost !== undefined);
    assert(lost !== undefined);
    write("{}");
    await run.said("queued", isHealed);
    await rig.endpoint.until(() => seqsOf(rig.endpoint.received).some((seq) => seq > 300));
    run.signal();
    assertEquals(await run.code, 0);
    const seqs = seqsOf(rig.endpoint.received);
    assertEquals(seqs.length, new Set(seqs).size, "each once");
    assertEquals((await countsOf(rig)).waiting, 0);
  },
);
