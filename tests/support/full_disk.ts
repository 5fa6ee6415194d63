/** What a publisher does on a disk that is full: at the start, in a run, at SIGTERM and at kill -9. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { canMount } from "./mounting.ts";
import { makeRig, openInput, queueOffline, range, type Rig, seqsOf } from "./publishing.ts";
import { hasProgram } from "./queueing.ts";
import { countsOf, type Disk, feeder, fill, inMemory, isHealed } from "./small_disks.ts";

/** Registers a test on a disk, ignored where the disk cannot be made. @param needs Programs that make it. */
export function onDisk(
  name: string,
  disk: Disk,
  fn: (rig: Rig, state: string) => Promise<void>,
  needs: readonly string[] = [],
): void {
  Deno.test({
    name,
    ignore: !canMount || !needs.every(hasProgram),
    async fn() {
      await using rig = await makeRig();
      using _mounted = disk(rig);
      await fn(rig, `${rig.folder}/state`);
    },
  });
}

/** What is on the disk is delivered, and live messages. */
export async function fullAtStart(rig: Rig, state: string): Promise<void> {
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
}

/** It heals, and a kill then loses nothing. */
export async function fillsInRun(rig: Rig, state: string): Promise<void> {
  const { run, feed } = await outgrow(rig, state);
  const sent = await feed(50);
  Deno.removeSync(`${state}/other`);
  await run.said("queued", isHealed);
  run.signal("SIGKILL");
  await run.code;
  await deliversAfterwards(rig, sent);
}

/** It tells what ends with it, and keeps the rest. */
export async function fullAtEnd(rig: Rig, state: string): Promise<void> {
  const { run, feed } = await outgrow(rig, state);
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
  await deliversAfterwards(rig, queued);
}

/** Starts a run without a link, and fills its disk until it takes no more. */
async function outgrow(rig: Rig, state: string) {
  rig.endpoint.pause();
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  const feed = feeder(run, write);
  await feed(50);
  fill(state);
  while (!run.log.some(inMemory)) await feed(20);
  return { run, feed };
}

/** With the link back another run delivers so many messages, each once and in order. */
async function deliversAfterwards(rig: Rig, messages: number): Promise<void> {
  await rig.endpoint.resume();
  const again = rig.publish(["--source", "stdin"], { input: openInput().stream });
  await rig.endpoint.waitFor(messages);
  again.signal();
  assertEquals(await again.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, messages));
}
