/** Lines of input as messages: none lost, in order, and never many in memory. Real processes. */

import { assert, assertEquals, assertLess } from "@std/assert";
import {
  flagsFor,
  inputOf,
  makeRig,
  numbered,
  openInput,
  range,
  seqsOf,
} from "../support/publishing.ts";
import { startChild } from "../support/children.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const LINES = 60_000;
const MOST_RSS_KIB = 200 * 1024;

/** The most memory a process ever had, in KiB. */
function peakKib(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
}

Deno.test("60,000 lines of input are delivered in order, with flat memory", async () => {
  let next = 1;
  let wrong = 0;
  await using rig = await makeRig({
    keep: "counts",
    onMessage: ({ payload }) => {
      const { seq, metrics } = JSON.parse(payload);
      if (seq !== next || metrics.n !== next) wrong++;
      next++;
    },
  });
  const flags = ["--source", "stdin", "--queue-max-messages", "10000", "--inflight", "1000"];
  const child = startChild([
    "publish",
    ...flagsFor(rig.folder, rig.endpoint.port, "info"),
    ...flags,
  ]);
  const writing = (async () => {
    for (let n = 1; n <= LINES; n += 1000) await child.write([...numbered(n, n + 999)]);
  })();
  await rig.endpoint.waitFor(LINES - 5000, { deadlineMs: 60_000 });
  const peak = peakKib(child.pid);
  await writing;
  await child.end();
  const { code, words } = await child.ended;
  assertEquals(code, 0, words);
  assertEquals([next - 1, wrong], [LINES, 0]);
  assert(peak > 0);
  assertLess(peak, MOST_RSS_KIB);
});

Deno.test("input larger than the queue waits instead of being dropped", async () => {
  await using rig = await makeRig();
  const flags = ["--source", "stdin", "--queue-max-messages", "10"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 500), 500) });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 500));
  assertEquals((await run.said("stopped")).dropped, 0);
});

Deno.test("input of large lines waits for room in bytes", async () => {
  await using rig = await makeRig();
  const lines = Array.from({ length: 12 }, (_, n) => `${n} ${"x".repeat(60_000)}`);
  const flags = ["--source", "stdin", "--queue-max-bytes", "128KiB"];
  const run = rig.publish(flags, { input: inputOf(lines, 12) });
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.counts.received, 12);
  assertEquals((await run.said("stopped")).dropped, 0);
});

Deno.test("input that waits for room ends at once when it is stopped (X2)", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const flags = ["--source", "stdin", "--queue-max-messages", "10"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 1000), 500) });
  await run.said("queued", ({ seq }) => Number(seq) >= 4);
  await run.said("retrying");
  run.signal();
  assertEquals(await run.code, 0);
  const { queued, dropped } = await run.said("stopped");
  assertEquals(dropped, 0);
  assert(Number(queued) > 0);
});

Deno.test("input of more than one kind: objects become metrics, the rest text", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--source", "stdin"], {
    input: inputOf(['{"flow":1.5}', "pump started", "[1,2]", ""]),
  });
  assertEquals(await run.code, 0);
  const metrics = rig.endpoint.received.map(({ payload }) => JSON.parse(payload).metrics);
  assertEquals(metrics, [{ flow: 1.5 }, { text: "pump started" }, { text: "[1,2]" }]);
});

Deno.test("input ends with --count, and what follows is not read", async () => {
  await using rig = await makeRig();
  const { stream, write } = openInput();
  for (const line of numbered(1, 9)) write(line);
  const run = rig.publish(["--source", "stdin", "--count", "4"], { input: stream });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 4));
});
