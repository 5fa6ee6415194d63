/** What a publisher does on a disk that is full: at the start, in a run, at SIGTERM and at kill -9. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { canMount } from "./mounting.ts";
import { makeRig, openInput, queueOffline, range, type Rig, seqsOf } from "./publishing.ts";
import { hasProgram } from "./queueing.ts";
import { countsOf, type Disk, feeder, fill, inMemory, isHealed } from "./small_disks.ts";

/**
 * Registers the tests of a full disk on one file system.
 *
 * @param needs Programs without which the tests are ignored.
 */
export function testFullDisk(what: string, disk: Disk, needs: readonly string[] = []): void {
  const onDisk = (name: string, fn: (rig: Rig, state: string) => Promise<void>) =>
    Deno.test({
      name: `publisher on ${what} ${name}; needs root and mount)`,
      ignore: !canMount || !needs.every(hasProgram),
      async fn() {
        await using rig = await makeRig();
        using _mounted = disk(rig);
        await fn(rig, `${rig.folder}/state`);
      },
    });

  onDisk(
    "that is full at its start delivers what is on it, and live messages (Q12, Q19",
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

  onDisk(
    "that fills in a run heals, and a kill then loses nothing (Q4, Q19",
    async (rig, state) => {
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
    },
  );

  onDisk(
    "that is full at SIGTERM tells what ends with it, and keeps the rest (Q15, Q19",
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
      assertEquals(await run.code, 73);
      const stopped = await run.said("stopped");
      const [queued, dropped] = [Number(stopped.queued), Number(stopped.dropped)];
      assert(dropped >= 10 && queued >= 50, JSON.stringify(stopped));
      assertEquals(queued + dropped, sent);
      assertMatch(String((await run.said("dropped")).cause), /end with this process/);
      const counts = await countsOf(rig);
      assertEquals([counts.waiting, counts.dropped], [queued, dropped]);
      await rig.endpoint.resume();
      const again = rig.publish(["--source", "stdin"], { input: openInput().stream });
      await rig.endpoint.waitFor(queued);
      again.signal();
      assertEquals(await again.code, 0);
      assertEquals(seqsOf(rig.endpoint.received), range(1, queued));
    },
  );
}
