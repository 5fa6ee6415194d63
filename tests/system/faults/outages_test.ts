/**
 * A server that takes nothing for a long time, message by message. With --backoff-max of a second, 40 sessions take
 * the place of an hour: by default the waits grow to 2 min, and an hour has some 40 of them. All at once: they wait
 * side by side.
 */

import { assert, assertEquals } from "@std/assert";
import type { Faults } from "../../../tools/endpoint/mod.ts";
import {
  countsOf,
  firsts,
  makeRig,
  openInput,
  queueOffline,
  range,
  replaced,
  seqsOf,
} from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const MESSAGES = 30;

interface ServerOutage {
  readonly faults: Partial<Faults>;
  readonly version: "5" | "3.1.1";
  readonly sessions: number;
}

const OUTAGES: readonly ServerOutage[] = [
  { faults: { closeAtPublish: true }, version: "3.1.1", sessions: 40 },
  { faults: { closeAfterPublishes: 1 }, version: "5", sessions: 40 },
  { faults: { refusePublish: true, pubackCode: 0x87 }, version: "5", sessions: 40 },
  // Each of these takes a second longer.
  { faults: { forgetPuback: true }, version: "5", sessions: 20 },
];

/** Lives through an outage, and sees that it left no trace. */
async function outlast({ faults, version, sessions }: ServerOutage): Promise<void> {
  await using rig = await makeRig({ faults });
  await queueOffline(rig, MESSAGES);
  const { stream } = openInput();
  const flags = ["--source", "stdin", "--mqtt-version", version, "--ack-timeout", "1s"];
  const run = rig.publish(flags, { input: stream });
  await rig.endpoint.until(() => rig.endpoint.connects.length > sessions, {
    deadlineMs: sessions * 4000,
  });
  assertEquals(await countsOf(rig), { waiting: MESSAGES, quarantined: 0 });

  const taken = rig.endpoint.received.length;
  Object.assign(
    rig.endpoint.faults,
    Object.fromEntries(
      Object.entries(faults).map(([name, value]) => [name, typeof value === "number" ? 0 : false]),
    ),
  );
  await rig.endpoint.until(
    () => firsts(seqsOf(rig.endpoint.received.slice(taken))).length === MESSAGES,
    { deadlineMs: 30_000, what: "all that was queued" },
  );
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
  const after = seqsOf(rig.endpoint.received.slice(taken)).toSorted((a, b) => a - b);
  assertEquals(firsts(after), range(1, MESSAGES));
  assert(run.log.every(({ event }) => event !== "quarantined"));
}

Deno.test("publisher sets nothing aside in an hour in which the server takes nothing, however it does that, and then delivers all (P4)", async () => {
  await Promise.all(OUTAGES.map(outlast));
});

Deno.test("publisher with its own waits is past a message that ends each session, and has delivered all others, within a minute (P4)", async () => {
  await using rig = await makeRig({ policy: { publish: ["dt/#"] } });
  await queueOffline(rig, 1, ["--topic", "deny/a"]);
  await queueOffline(rig, 30, ["--topic", "dt/a"]);
  const flags = replaced(rig.flags, { "--backoff-max": "2m" });
  // The longest waits that chance can give.
  const run = rig.runHere(["publish", ...flags, "--source", "stdin", "--mqtt-version", "3.1.1"], {
    input: openInput().stream,
    random: () => 0.999,
  });
  await rig.endpoint.until(() => firsts(seqsOf(rig.endpoint.received)).length === 30, {
    deadlineMs: 60_000,
  });
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 1 });
});
