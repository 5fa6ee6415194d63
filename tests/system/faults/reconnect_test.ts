/** Coming back: after a good session, in a fight over one client id, and after hours without the endpoint. */

import { assert, assertEquals, assertGreaterOrEqual, assertLess, assertMatch } from "@std/assert";
import { type Child, lastQueued, startChild } from "../../support/children.ts";
import {
  firsts,
  inputOf,
  makeRig,
  openInput,
  range,
  replaced,
  type Rig,
  seqsOf,
} from "../../support/publishing.ts";
import { announcedWaits } from "./pace.ts";

Deno.test.sanitizer({ ops: true, resources: true });

Deno.test("publisher waits 1 to 2 s after a session of 30 s with a delivery, however long it waited before (C3)", async () => {
  await using rig = await makeRig({ faults: { closeAfterConnack: 3 } });
  let random = 0;
  let asleepMs = 0;
  const { stream, write } = openInput();
  const flags = [...replaced(rig.flags, { "--backoff-max": "1m" }), "--source", "stdin"];
  const run = rig.runHere(["publish", ...flags], {
    input: stream,
    random: () => random,
    monotonicMs: () => performance.now() + asleepMs,
  });
  const ends = () => run.log.filter(({ event }) => event === "disconnected").length;
  await run.until(() => ends() === 3, "three short sessions");
  // From here on waits are as long as they can be: the fourth would be 9 s.
  random = 0.999;
  await rig.endpoint.until(() => rig.endpoint.connects.length === 4);
  write("{}");
  await run.said("published");
  asleepMs = 30_000;
  rig.endpoint.cut();
  await run.until(() => ends() === 4, "the end of the good session");
  assertEquals(announcedWaits(run), [1000, 1000, 1000, 2000]);
  run.signal();
  assertEquals(await run.code, 0);
});

/** How often each of two devices must be thrown out. */
const FIGHTS = 4;
/** Longest wait of theirs; by default it is 60 times as long. */
const CAP_MS = 2000;

/** A device with a state directory and a topic of its own, and the client id of the other. */
function startTwin(rig: Rig, name: string, mqttVersion: string): Child {
  const flags = replaced(rig.flags, {
    "--backoff-max": `${CAP_MS}ms`,
    "--state": `${rig.folder}/${name}`,
  });
  const source = ["--source", "clock", "--interval", "200ms", "--topic", `dt/${name}`];
  return startChild(["publish", ...flags, ...source, "--mqtt-version", mqttVersion]);
}

for (const mqttVersion of ["5", "3.1.1"]) {
  Deno.test(`two processes with one client id on MQTT ${mqttVersion} go slow, say why, and lose nothing (C6)`, async () => {
    await using rig = await makeRig();
    const names = ["a", "b"];
    const startMs = performance.now();
    const twins = names.map((name) => startTwin(rig, name, mqttVersion));
    try {
      const ends = ({ events }: Child) => events("disconnected");
      const wasThrown = (twin: Child) => ends(twin).length >= FIGHTS;
      await Promise.all(twins.map((twin) => twin.until(() => wasThrown(twin))));
      const seconds = (performance.now() - startMs) / 1000;
      // A wait is never under a second, so two of them have two attempts a second at most; as a rule far less.
      assertLess(rig.endpoint.connects.length, 2 + 2 * seconds);
      for (const twin of twins) {
        for (const { hint, in: wait } of ends(twin)) {
          assertMatch(String(hint), /another device.* client id/);
          assertGreaterOrEqual(Number.parseFloat(String(wait)), 1);
        }
        const slow = 0.75 * CAP_MS / 1000;
        const refused = mqttVersion === "5";
        if (refused) assert(ends(twin).every((end) => Number.parseFloat(String(end.in)) >= slow));
      }
      for (const { pid } of twins) Deno.kill(pid, "SIGTERM");
      for (const twin of twins) assertEquals((await twin.ended).code, 0);
    } finally {
      for (const twin of twins) await twin.kill();
    }
    // What one could not deliver in time lies on its disk.
    for (const [index, name] of names.entries()) {
      const flags = replaced(rig.flags, { "--state": `${rig.folder}/${name}` });
      const run = rig.run(["publish", ...flags, "--source", "stdin"], { input: inputOf([]) });
      assertEquals(await run.code, 0);
      const received = rig.endpoint.received.filter(({ topic }) => topic === `dt/${name}`);
      const seqs = firsts(seqsOf(received)).toSorted((a, b) => a - b);
      assertEquals(seqs, range(1, lastQueued(twins[index]!)));
    }
  });
}
