import { assert, assertEquals } from "@std/assert";
import { openSources, readAll } from "../../lib/sources/mod.ts";
import { READINGS } from "../../lib/sources/table.ts";
import type { Reading } from "../../lib/core/message.ts";
import { MACHINES, makeMachine } from "../support/machines.ts";
import { makeRig } from "../support/publishing.ts";

/** Names in the table, each with the pattern of the names of readings that it stands for. */
const NAMES = READINGS.flatMap(({ name, type }) =>
  name.split(", ").map((each) => ({
    ...{ each, type },
    pattern: new RegExp(`^${each.replace(/\{[A-Z]+\}/, "[a-z0-9_]+")}$`),
  }))
);

Deno.test("each reading of each machine is in the table, and each name of the table is read somewhere", async () => {
  const seen = new Set<string>();
  for (const machine of Object.keys(MACHINES)) {
    using made = makeMachine(machine);
    const sources = openSources(["system", "clock", "disk:tmp=/tmp"], { root: made.root });
    await readAll(sources);
    // In the second reading there is what needs one before.
    Deno.writeTextFileSync(`${made.root}/proc/stat`, "cpu  99 9 9 999 0 0 0 0 0 0\ncpu0 1 1 1 1\n");
    for (const { name, value } of (await readAll(sources)).readings) {
      const rows = NAMES.filter(({ pattern }) => pattern.test(name));
      assert(rows.length > 0, `${name} of ${machine} is not in the table`);
      for (const { each } of rows) seen.add(each);
      assertEquals(typeof value === "string", rows[0]!.type === "text", name);
      assertEquals(name.endsWith("_total"), rows[0]!.type === "counter", name);
    }
  }
  const unseen = NAMES.map(({ each }) => each).filter((each) => !seen.has(each));
  const own = (await selfReadings()).map(({ name }) => name);
  assertEquals(unseen, own);
});

/** What `self` reads of a run with a PUBACK and a certificate. */
async function selfReadings(): Promise<readonly Reading[]> {
  await using rig = await makeRig();
  rig.publish(["--source", "self", "--interval", "100ms"]);
  const { endpoint: { received, until } } = rig;
  const last = (): Record<string, number> => JSON.parse(received.at(-1)?.payload ?? "{}").metrics;
  await until(() => last()?.published_total! > 0 && last().queue_messages === 0);
  const metrics = last();
  assertEquals([metrics.reconnects_total, metrics.dropped_total], [0, 0]);
  assertEquals([metrics.queue_bytes, metrics.queue_oldest_seconds], [0, 0]);
  assert(metrics.puback_p50_seconds! > 0 && metrics.puback_p50_seconds! < 10);
  return Object.entries(metrics).map(([name, value]) => ({ name, value }));
}

Deno.test("units of the table are in the names", () => {
  const words: Record<string, string> = {
    ...{ bytes: "bytes", inodes: "inodes", seconds: "seconds", "°C": "celsius", volts: "volts" },
    ...{ amperes: "amperes", "turns a minute": "rpm", "0 to 1": "ratio" },
  };
  for (const { name, unit } of READINGS) {
    const word = words[unit];
    if (word === undefined) continue;
    for (const each of name.split(", ")) {
      assert(each.replace(/_total$/, "").endsWith(`_${word}`), each);
    }
  }
});
