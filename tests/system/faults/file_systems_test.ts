/** A full disk of each kind that gateways have: at the start, in a run, at SIGTERM and at kill -9. */

import { assert, assertEquals } from "@std/assert";
import { canMount } from "../../support/mounting.ts";
import {
  makeRig,
  openInput,
  queueOffline,
  range,
  type Rig,
  seqsOf,
} from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";
import {
  countsOf,
  type Disk,
  exfat,
  ext4,
  feeder,
  fill,
  fuse,
  inImage,
  inMemory,
  isHealed,
  overlay,
} from "../../support/small_disks.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** With the programs that each needs. */
const DISKS: Readonly<Record<string, { disk: Disk; needs: string[] }>> = {
  "ext4 with blocks of 1 KiB and a journal": {
    disk: ext4(["-b", "1024"], 8 * 1024),
    needs: ["mkfs.ext4"],
  },
  "ext4 with blocks of 4 KiB and no journal": {
    disk: ext4(["-b", "4096", "-O", "^has_journal"], 8 * 1024),
    needs: ["mkfs.ext4"],
  },
  xfs: { disk: inImage("xfs", 320), needs: ["mkfs.xfs"] },
  btrfs: { disk: inImage("btrfs", 128), needs: ["mkfs.btrfs"] },
  "overlay in memory": { disk: overlay, needs: [] },
  "ext4 by FUSE": { disk: fuse, needs: ["mkfs.ext4", "fuse2fs"] },
  exFAT: { disk: exfat, needs: ["mkfs.exfat", "mount.exfat-fuse", "losetup"] },
};

for (const [what, { disk, needs }] of Object.entries(DISKS)) {
  const onDisk = (name: string, fn: (rig: Rig, state: string) => Promise<void>) =>
    Deno.test({
      name: `publisher on ${what} ${name} (Q19; needs root and mount)`,
      ignore: !canMount || !needs.every(hasProgram),
      async fn() {
        await using rig = await makeRig();
        using _mounted = disk(rig);
        await fn(rig, `${rig.folder}/state`);
      },
    });

  onDisk(
    "that is full at its start delivers what is on it, and live messages",
    async (rig, state) => {
      await queueOffline(rig, 300);
      fill(state);
      const { stream, write } = openInput();
      const run = rig.publish(["--source", "stdin"], { input: stream });
      await rig.endpoint.waitFor(300);
      for (let n = 301; n <= 320; n++) write(JSON.stringify({ n }));
      await rig.endpoint.waitFor(320);
      run.signal();
      assertEquals(await run.code, 0);
      assertEquals(seqsOf(rig.endpoint.received), range(1, 320));
      assertEquals((await countsOf(rig)).waiting, 0);
    },
  );

  onDisk("that fills in a run heals, and a kill then loses nothing", async (rig, state) => {
    rig.endpoint.pause();
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin"], { input: stream });
    const feed = feeder(run, write);
    await feed(50);
    fill(state);
    while (!run.log.some(inMemory)) await feed(20);
    const sent = await feed(50);
    Deno.removeSync(`${state}/other`);
    await run.said("queued", isHealed);
    run.signal("SIGKILL");
    await run.code;
    await rig.endpoint.resume();
    const again = rig.publish(["--source", "stdin"], { input: openInput().stream });
    await rig.endpoint.waitFor(sent);
    again.signal();
    assertEquals(await again.code, 0);
    assertEquals(seqsOf(rig.endpoint.received), range(1, sent));
  });

  onDisk(
    "that is full at SIGTERM tells what ends with it, and keeps the rest",
    async (rig, state) => {
      rig.endpoint.pause();
      const { stream, write } = openInput();
      const run = rig.publish(["--source", "stdin"], { input: stream });
      const feed = feeder(run, write);
      await feed(50);
      fill(state);
      while (!run.log.some(inMemory)) await feed(20);
      const sent = await feed(10);
      run.signal();
      await run.code;
      const { queued, dropped } = await run.said("stopped");
      assertEquals(Number(queued) + Number(dropped), sent);
      assert(Number(queued) >= 50, `${queued}`);
      const counts = await countsOf(rig);
      assertEquals([counts.waiting, counts.dropped], [queued, dropped]);
    },
  );
}
