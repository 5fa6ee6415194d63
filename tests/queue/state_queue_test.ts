/** The queue of a run: what it tells of what waits, and that it holds its directory. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { volatileWarning } from "../../lib/queue/volatile.ts";
import type { Settings } from "../../lib/settings/types.ts";
import { drain, inStateFolder, message, messages, openState } from "../support/queueing.ts";

Deno.test("queue with durability none touches no directory", () => {
  inStateFolder((folder) => {
    using state = openState(`${folder}/state`, { durability: "none" });
    state.queue.put(messages(1));
    assertEquals(state.queue.finish(), 1);
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("queue deletes rows with the next put, when as many wait as may be in flight, and at the end (Q1)", () => {
  inStateFolder((folder) => {
    const { queue } = openState(folder, { inflight: 5 });
    queue.put(messages(20));
    const take = (most: number) => queue.take(most).map(({ seq }) => seq);
    queue.accept(take(4));
    assertEquals(queue.disk?.pending, 4);
    queue.accept(take(1));
    assertEquals(queue.disk?.pending, 0);
    queue.accept(take(4));
    queue.put(messages(1));
    assertEquals(queue.disk?.pending, 0);
    queue.accept(take(2));
    queue.close();
    using again = openState(folder);
    assertEquals(drain(again.queue).map(({ seq }) => seq).slice(0, 2), [12, 13]);
  });
});

Deno.test("queue deletes rows after a second where nothing else comes", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "mqtt443-test-" });
  try {
    const { queue } = openState(folder);
    queue.put(messages(1));
    queue.accept(queue.take(1).map(({ seq }) => seq));
    while (queue.disk!.pending > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(queue.stats().waiting, 0);
    queue.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test({
  name: "opening a queue in memory with durability power says what a power cut would cost (Q19)",
  ignore: !isWritable("/dev/shm"),
  async fn() {
    const state = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "mqtt443-test-" });
    try {
      const warning = await volatileWarning({ state, durability: "power" });
      assertMatch(String(warning), /is in memory \(tmpfs\)/);
      assertEquals(await volatileWarning({ state, durability: "crash" }), undefined);
      assertEquals(await volatileWarning({ state: "/", durability: "power" }), undefined);
    } finally {
      Deno.removeSync(state);
    }
  },
});

function isWritable(path: string): boolean {
  try {
    Deno.removeSync(Deno.makeTempDirSync({ dir: path }));
    return true;
  } catch {
    return false;
  }
}

/** What is said at the start of what waits. */
function told(folder: string, more: Partial<Settings>): string[] {
  using state = openState(folder, more);
  return state.said.map(({ fields }) => String(fields.cause));
}

Deno.test("messages that wait for other topics are told at the start (F22)", () =>
  inStateFolder((folder) => {
    const { queue } = openState(folder);
    queue.put([2000, 3000, 4000].map((timeMs) => message({ timeMs })));
    queue.close();
    assertEquals(told(folder, {}), []);
    assertEquals(told(folder, { topic: "dt/b" }), [
      '3 messages wait for topic "t" since 1970-01-01T00:00:02.000Z; this run sends them there, ' +
      'and its own to "dt/b"',
    ]);
    const more = openState(folder, { topic: "dt/b" });
    more.queue.put([message({ topic: "dt/b", timeMs: 5000 })]);
    more.queue.close();
    assertEquals(told(folder, { topic: "dt/b" }).length, 1);
    assertEquals(told(folder, { topic: "dt/c" }), [
      '4 messages wait for 2 topics ("t", …) since 1970-01-01T00:00:02.000Z; this run sends them ' +
      'there, and its own to "dt/c"',
    ]);
  }));

Deno.test("messages that wait from a run for another endpoint or client are told at the start (F22)", () =>
  inStateFolder((folder) => {
    assertEquals(told(folder, { endpoint: "old.example" }), []);
    assertEquals(told(folder, {}), [], "nothing waits");
    const { queue } = openState(folder);
    queue.put([message({ timeMs: 2000 })]);
    queue.close();
    assertEquals(told(folder, { endpoint: "new.example", port: 8883 }), [
      '1 message waits since 1970-01-01T00:00:02.000Z; the run before was "gw-7" at ' +
      'gw.example:443; this run, "gw-7" at new.example:8883, sends them',
    ]);
    assertEquals(told(folder, { endpoint: "new.example", port: 8883 }), [], "said once");
    assertMatch(told(folder, { clientId: "gw-8" })[0]!, /"gw-7" at .*; this run, "gw-8" at /);
    assert(told(folder, { clientId: "gw-8" }).length === 0);
  }));
