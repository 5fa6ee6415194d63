/** A hundred publishers that lose their endpoint in one moment, at the waits of the default settings. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { inputOf, makeRig, replaced, type Run } from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const DEVICES = 100;
/** By then the waits of nearly all are past their fifth. */
const AWAY_MS = 45_000;
/** A device may just have begun its sixth or seventh wait: 1 s + 64 s, or 1 s + 119 s. */
const BACK_MS = 125_000;
/** CONNECTs in one second, at most. */
const MOST = DEVICES / 5;

Deno.test("a fleet of 100 comes back after an outage without a stampede, and loses nothing (C10)", async () => {
  await using rig = await makeRig({ keep: "headers" });
  const connected = () => new Set(rig.endpoint.connects.map(({ clientId }) => clientId)).size;
  const runs: Run[] = [];
  for (let device = 1; device <= DEVICES; device++) {
    const flags = replaced(rig.flags, {
      "--client-id": `gw-${device}`,
      "--state": `${rig.folder}/state-${device}`,
      "--backoff-max": "2m",
      "--log-level": "info",
    });
    const more = ["--durability", "none", "--source", "clock", "--interval", "10s"];
    const around = { input: inputOf([]), random: Math.random };
    runs.push(rig.run(["publish", ...flags, ...more], around));
    await rig.endpoint.until(() => connected() === device, { what: `device ${device}` });
  }
  rig.endpoint.pause();
  rig.endpoint.cut();
  await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
  const before = rig.endpoint.connects.length;
  await rig.endpoint.resume();
  const back = () => rig.endpoint.connects.slice(before);
  await rig.endpoint.until(() => new Set(back().map(({ clientId }) => clientId)).size === DEVICES, {
    deadlineMs: BACK_MS,
    what: "all devices",
  });
  const perSecond = new Map<number, number>();
  for (const { atMs } of back()) {
    const second = Math.floor(atMs / 1000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  const most = Math.max(...perSecond.values());
  assertLessOrEqual(most, MOST, `${most} CONNECTs in one second`);
  assert(perSecond.size >= 10, `all came within ${perSecond.size} s`);
  // What was measured meanwhile is delivered too: each stops with nothing waiting and nothing dropped.
  for (const { log, until } of runs) {
    await until(() => log.filter(({ event }) => event === "connected").length === 2, "CONNACK");
  }
  for (const run of runs) run.signal();
  for (const run of runs) {
    assertEquals(await run.code, 0);
    const { queued, dropped } = await run.said("stopped");
    assertEquals({ queued, dropped }, { queued: 0, dropped: 0 });
  }
});
