/** The queue of a run: what it holds, and what it says of where it lies. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { volatileWarning } from "../lib/volatile.ts";
import { draft, inStateFolder, openState } from "./queueing.ts";

Deno.test("queue with durability none touches no directory", () => {
  inStateFolder((folder) => {
    const { queue, close } = openState(`${folder}/state`, { durability: "none" });
    queue.put([draft()]);
    close();
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("queue gives its directory free when it is closed", () => {
  inStateFolder((folder) => {
    openState(folder).close();
    openState(folder).close();
  });
});

Deno.test("queue put back from some time ago gives no seq twice, and says what it lacks (Q5)", () => {
  inStateFolder((folder) => {
    const first = openState(folder);
    first.queue.put(Array(3000).fill(draft()));
    first.close();
    const old = Deno.readFileSync(`${folder}/queue.db`);
    const second = openState(folder);
    for (let n = 0; n < 5; n++) second.queue.put(Array(500).fill(draft()));
    second.close();
    Deno.writeFileSync(`${folder}/queue.db`, old);
    const third = openState(folder);
    assertMatch(String(third.said[0]?.fields.cause), /ends at seq 3000, but more were given/);
    assert(third.queue.put([draft()]).lastSeq > 5500);
    third.close();
  });
});

Deno.test({
  name: "opening a queue in memory with durability power says what a power cut would cost",
  ignore: !isWritable("/dev/shm"),
  fn() {
    const state = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "mqtt443-test-" });
    try {
      assertMatch(
        String(volatileWarning({ state, durability: "power" })),
        /is in memory \(tmpfs\)/,
      );
      assertEquals(volatileWarning({ state, durability: "crash" }), undefined);
      assertEquals(volatileWarning({ state: "/", durability: "power" }), undefined);
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
