/**
 * A link as slow as an old modem by satellite: 9.6 kbit/s, 2 s from end to end each way, byte by byte. The handshake
 * alone takes 11 s, a window of messages longer than --ack-timeout.
 */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { openConnection } from "../../../lib/connection/open.ts";
import { type Shape, startForwarder } from "../../../tools/endpoint/forwarder.ts";
import { identityOf, settingsFor, start } from "../../support/connecting.ts";
import { makeRig, openInput, range, replaced, seqsOf } from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const SLOW: Shape = { bytesPerS: 1200, delayMs: 2000, pieceBytes: 1 };

/** A line whose message has 1 KB. */
const LINE = JSON.stringify({ text: "x".repeat(930) });
/** Messages that are queued at once: more than a window, so 40 s of the link. */
const BACKLOG = 40;

/** The program with its own settings: connects, sends one message, then a backlog. */
async function publishSlowly(): Promise<void> {
  await using rig = await makeRig();
  await using link = await startForwarder(rig.endpoint.port, SLOW);
  const { stream, write } = openInput();
  const flags = replaced(rig.flags, { "--port": `${link.port}` });
  const run = rig.run(["publish", ...flags, "--source", "stdin"], { input: stream });
  write(LINE);
  const connected = await run.said("connected");
  assertLessOrEqual(Number(connected.ms), 15_000);
  const { bytes, ms } = await run.said("published");
  assert(Number(bytes) >= 1000, `${bytes} bytes`);
  assertLessOrEqual(Number(ms), 30_000);
  for (let n = 0; n < BACKLOG; n++) write(LINE);
  await rig.endpoint.waitFor(1 + BACKLOG, { deadlineMs: 90_000 });
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 1 + BACKLOG), "once each");
  assertEquals(rig.endpoint.connects.length, 1);
  const said = run.log.map(({ event }) => event);
  assertEquals(said.filter((event) => event === "disconnected" || event === "retrying"), []);
}

/** A connection with a fifth of the usual keep-alive and nothing to send but five PINGREQ. */
async function idleSlowly(): Promise<void> {
  await using endpoint = await start({ limits: { keepAliveMinS: 1 } });
  await using link = await startForwarder(endpoint.port, SLOW);
  const settings = settingsFor(link.port, { keepAlive: 12_000, connectTimeout: 15_000 });
  const connection = await openConnection(settings, identityOf(endpoint.certificates));
  let ended = false;
  void connection.closed.then(() => ended = true);
  await endpoint.until(() => endpoint.counts.pings >= 5 || endpoint.open === 0, {
    deadlineMs: 120_000,
  });
  assertEquals([endpoint.counts.pings, ended], [5, false]);
  connection.abort();
}

Deno.test("publisher on a link of 9.6 kbit/s and 2 s delay connects within --connect-timeout, delivers, and never takes it for a dead one (L3)", async () => {
  await Promise.all([publishSlowly(), idleSlowly()]);
});
