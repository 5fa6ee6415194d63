/**
 * Links and servers that fall silent, at the real length of the waits that notice it. All at once: they wait side by
 * side.
 */

import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import { startForwarder } from "../../../tools/endpoint/forwarder.ts";
import {
  countsOf,
  firsts,
  makeRig,
  openInput,
  range,
  replaced,
  seqsOf,
} from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** What noticing a silence may take longer than it is set to, on a machine with other work. */
const SPARE_MS = 3000;

interface Silence {
  readonly flags: readonly string[];
  /** From the silence to when it is known, in ms. */
  readonly knownMs: number;
  readonly cause: RegExp;
  readonly qos?: 0;
}

const SILENCES: Record<string, Silence> = {
  "the time-out for PUBACK first": {
    flags: ["--keep-alive", "30s"],
    knownMs: 20_500,
    cause: /^No PUBACK from localhost:\d+ within 20 s$/,
  },
  "nothing but keep-alive at QoS 0": {
    flags: ["--keep-alive", "30s", "--qos", "0"],
    knownMs: 45_000,
    cause: /^No PINGRESP from localhost:\d+ within 20 s$/,
    qos: 0,
  },
};

/** Publishes each half second, lets the link fall silent both ways, and sees what comes of it. */
async function fallSilent({ flags, knownMs, cause, qos }: Silence): Promise<void> {
  await using rig = await makeRig();
  await using link = await startForwarder(rig.endpoint.port);
  const run = rig.run([
    ...["publish", ...replaced(rig.flags, { "--port": `${link.port}` })],
    ...["--source", "clock", "--interval", "500ms", ...flags],
  ]);
  await rig.endpoint.waitFor(3);
  link.freeze();
  const sinceMs = performance.now();
  // Longer than the helpers of tests wait for a line.
  const timer = setTimeout(() => run.signal(), knownMs + 10_000);
  const line = await run.said("disconnected").finally(() => clearTimeout(timer));
  const tookMs = performance.now() - sinceMs;
  assertLessOrEqual(tookMs, knownMs + SPARE_MS);
  assertMatch(String(line.cause), cause);
  if (qos !== 0) {
    const { waiting } = await countsOf(rig);
    assert(waiting >= tookMs / 500 - 5, `${waiting} on disk after ${tookMs} ms`);
  }
  const at = (event: string) => run.log.findLastIndex((line) => line.event === event);
  await run.until(() => at("drained") > at("disconnected"), "the drain of what was kept");
  run.signal();
  assertEquals(await run.code, 0);
  const last = Number(run.log.findLast(({ event }) => event === "queued")!.seq);
  const seqs = seqsOf(rig.endpoint.received);
  if (qos === 0) assertEquals(seqs.at(-1), last);
  else assertEquals(firsts(seqs), range(1, last));
}

/** A server that answers PINGREQ, and from some message on no PUBLISH. */
async function stopAcknowledging(): Promise<void> {
  await using rig = await makeRig({ limits: { keepAliveMaxS: 5 } });
  const { stream, write, end } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  write("{}");
  await run.said("published");
  rig.endpoint.faults.forgetPuback = true;
  for (let n = 0; n < 30; n++) write("{}");
  await rig.endpoint.waitFor(21);
  const sentMs = rig.endpoint.received[1]!.atMs;
  await rig.endpoint.until(() => rig.endpoint.closes.length === 1, { deadlineMs: 30_000 });
  const tookMs = rig.endpoint.closes[0]!.atMs - sentMs;
  assert(tookMs >= 19_000 && tookMs <= 20_000 + SPARE_MS, `${tookMs} ms`);
  assert(rig.endpoint.counts.pings >= 2, `${rig.endpoint.counts.pings} pings`);
  rig.endpoint.faults.forgetPuback = false;
  end();
  assertEquals(await run.code, 0);
  assertEquals(firsts(seqsOf(rig.endpoint.received)), range(1, 31));
}

Deno.test("publisher knows of a silent link in 1.5 keep-alives or --ack-timeout, whichever is first, of a server without PUBACKs in --ack-timeout, and loses nothing (L1, P2)", async () => {
  await Promise.all([...Object.values(SILENCES).map(fallSilent), stopAcknowledging()]);
});
