/** Links that die, silently or not: how it is found out, what is kept, how soon it is tried again. */

import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import { openConnection } from "../../lib/connection/open.ts";
import { startForwarder } from "../../tools/endpoint/forwarder.ts";
import { identityOf, reasonOf, settingsFor, start } from "../support/connecting.ts";
import {
  countsOf,
  firsts,
  makeRig,
  numbered,
  openInput,
  range,
  replaced,
  seqsOf,
} from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

for (const qos of [0, 1] as const) {
  Deno.test(`connection finds out by keep-alive that its link is silent, though it publishes all the time at QoS ${qos} (L1)`, async () => {
    await using endpoint = await start({ limits: { keepAliveMinS: 1 } });
    await using link = await startForwarder(endpoint.port);
    const settings = settingsFor(link.port, { keepAlive: 1000, ackTimeout: 500 });
    const connection = await openConnection(settings, identityOf(endpoint.certificates));
    let sent = 0;
    const timer = setInterval(() => {
      // Ten times as often as a PINGREQ would be due: what is sent must not put it off.
      connection.publish({ topic: "t", payload: `${++sent}`, qos }, () => {});
    }, 100);
    // Then it has not found out.
    const deadline = setTimeout(() => connection.abort(), 10_000);
    try {
      await endpoint.waitFor(3);
      link.freeze();
      const { message, step } = await reasonOf(connection);
      assertMatch(message, /^No PINGRESP from localhost:\d+ within 0.5 s$/);
      assertEquals(step, "mqtt");
      assertLessOrEqual(endpoint.counts.received, sent - 5);
    } finally {
      clearInterval(timer);
      clearTimeout(deadline);
      connection.abort();
    }
  });
}

Deno.test("publisher whose link falls silent finds out by --ack-timeout, queues, and loses nothing (L1)", async () => {
  await using rig = await makeRig();
  await using link = await startForwarder(rig.endpoint.port);
  const flags = replaced(rig.flags, { "--port": `${link.port}` });
  const { stream, write, end } = openInput();
  const run = rig.run(["publish", ...flags, "--source", "stdin", "--ack-timeout", "1s"], {
    input: stream,
  });
  write(`{"n":1}`);
  await run.said("published");
  link.freeze();
  for (const line of numbered(2, 40)) write(line);
  const { cause, step } = await run.said("disconnected");
  assertEquals(step, "publish");
  assertMatch(String(cause), /^No PUBACK from localhost:\d+ within 1 s$/);
  end();
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 40));
  assertEquals(await countsOf(rig), { waiting: 0, quarantined: 0 });
});

const ENDS = {
  "by FIN": (end: Ends) => end.link.cut("fin"),
  "by RST": (end: Ends) => end.link.cut("rst"),
  "saying that the server shuts down": (end: Ends) => end.endpoint.disconnect(0x8b),
};

interface Ends {
  readonly link: { cut(how: "rst" | "fin"): void };
  readonly endpoint: { disconnect(reasonCode: number): void };
}

for (const [how, act] of Object.entries(ENDS)) {
  Deno.test(`publisher whose long session ends ${how} tries again within 2 s, and loses nothing (L4)`, async () => {
    await using rig = await makeRig({ faults: { closeAtConnect: 1 } });
    await using link = await startForwarder(rig.endpoint.port);
    const flags = replaced(rig.flags, { "--port": `${link.port}`, "--backoff-max": "2m" });
    let random = 0;
    let passedMs = 0;
    const { stream, write, end } = openInput();
    const run = rig.runHere(["publish", ...flags, "--source", "stdin"], {
      input: stream,
      random: () => random,
      monotonicMs: () => performance.now() + passedMs,
    });
    // After a failure: without a good session the wait could be 3 s.
    await run.said("connected");
    write(`{"n":1}`);
    await run.said("published");
    passedMs = 31_000;
    random = 0.999;
    act({ link, endpoint: rig.endpoint });
    for (const line of numbered(2, 10)) write(line);
    const { in: wait } = await run.said("disconnected");
    assertEquals(wait, "2.0s");
    await rig.endpoint.waitFor(10);
    end();
    assertEquals(await run.code, 0);
    assertEquals(firsts(seqsOf(rig.endpoint.received)), range(1, 10));
    assert(rig.endpoint.connects.length === 3, `${rig.endpoint.connects.length} CONNECTs`);
  });
}
