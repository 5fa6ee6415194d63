/** The publisher on a link or with a server that fails: what is sent again, what is set aside, what is said. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  firsts,
  inputOf,
  makeRig,
  numbered,
  openInput,
  queueOffline,
  range,
  type Rig,
  seqsOf,
} from "./publishing.ts";

async function queueOf(rig: Rig): Promise<{ waiting: number; quarantined: number }> {
  const run = rig.run(["queue", "--json", "--state", `${rig.folder}/state`]);
  await run.code;
  return JSON.parse(run.out.join(""));
}

Deno.test("publisher sends again what was not acknowledged in time (P2)", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: 1 } });
  const run = rig.publish(["--source", "stdin", "--ack-timeout", "1s"], {
    input: inputOf(numbered(1, 3)),
  });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received).filter((seq) => seq === 1).length, 2);
  assertEquals(firsts(seqsOf(rig.endpoint.received)).toSorted(), [1, 2, 3]);
  assertMatch(String((await run.said("disconnected")).cause), /No PUBACK .* within 1 s/);
});

Deno.test("publisher sends again what a cut took between PUBLISH and PUBACK (P3)", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: 1 } });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 1)) });
  await rig.endpoint.waitFor(1);
  rig.endpoint.cut("rst");
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), [1, 1]);
  assertEquals((await queueOf(rig)).waiting, 0);
});

Deno.test("publisher queues while the link is down, and drains in order when it is back", async () => {
  await using rig = await makeRig();
  const { stream, write, end } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  write(`{"n":1}`);
  await rig.endpoint.waitFor(1);
  rig.endpoint.pause();
  rig.endpoint.cut("rst");
  for (const line of numbered(2, 60)) write(line);
  await run.said("retrying");
  await rig.endpoint.resume();
  end();
  assertEquals(await run.code, 0);
  assertEquals(firsts(seqsOf(rig.endpoint.received)), range(1, 60));
});

Deno.test("publisher sets aside the one message that ends each session, and delivers the rest (P4)", async () => {
  await using rig = await makeRig({
    faults: { closeAtPublish: ({ payload }) => JSON.parse(payload).metrics.n === 2 },
  });
  const flags = ["--source", "stdin", "--give-up-after", "20s"];
  const run = rig.publish(flags, { input: inputOf(numbered(1, 6)) });
  assertEquals(await run.code, 0);
  assertEquals(firsts(seqsOf(rig.endpoint.received)).filter((seq) => seq !== 2), [1, 3, 4, 5, 6]);
  const { waiting, quarantined } = await queueOf(rig);
  assertEquals({ waiting, quarantined }, { waiting: 0, quarantined: 1 });
  assertEquals((await run.said("quarantined")).seq, 2);
});

Deno.test("publisher sets nothing aside when the server hangs up on everything for a while (P4)", async () => {
  await using rig = await makeRig({ faults: { closeAtPublish: 5 } });
  const run = rig.publish(["--source", "stdin", "--give-up-after", "20s"], {
    input: inputOf(numbered(1, 4)),
  });
  assertEquals(await run.code, 0);
  assertEquals(firsts(seqsOf(rig.endpoint.received)).toSorted(), [1, 2, 3, 4]);
  assertEquals((await queueOf(rig)).quarantined, 0);
});

Deno.test("publisher sets aside a message that is refused again after another was taken (P5)", async () => {
  await using rig = await makeRig({
    faults: {
      refusePublish: ({ payload }) => JSON.parse(payload).metrics.n === 1,
      pubackCode: 0x90,
    },
  });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 4)) });
  assertEquals(await run.code, 0);
  const { cause, seq } = await run.said("quarantined");
  assertEquals(seq, 1);
  assertMatch(String(cause), /PUBACK 0x90 topic name invalid/);
});

Deno.test("publisher keeps a message that was refused for a passing reason, and sends it again (P5)", async () => {
  await using rig = await makeRig({ faults: { refusePublish: 1, pubackCode: 0x97 } });
  const run = rig.publish(["--message", "hello"]);
  assertEquals(await run.code, 0);
  assertEquals([rig.endpoint.counts.refused, rig.endpoint.counts.received], [1, 1]);
  assertMatch(String((await run.said("disconnected")).cause), /0x97 quota exceeded/);
});

Deno.test("publisher says a missing iot:Publish when each PUBLISH is answered with a hang-up", async () => {
  await using rig = await makeRig({ policy: { publish: [] } });
  const flags = ["--mqtt-version", "3.1.1", "--message", "hello", "--give-up-after", "5s"];
  const run = rig.publish(flags);
  assertEquals(await run.code, 75);
  const told = run.log.filter(({ event }) => event === "disconnected");
  assert(told.some(({ hint }) => /lacks iot:Publish/.test(String(hint))));
});

Deno.test("publisher with a message to deliver and no link gives up with 75, and keeps it", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const run = rig.publish(["--message", "hello", "--give-up-after", "1s"]);
  assertEquals(await run.code, 75);
  const { level, queued, cause } = await run.said("stopped");
  assertEquals([level, queued], ["warn", 1]);
  assertMatch(String(cause), /connection refused/);
  assertEquals((await queueOf(rig)).waiting, 1);
});

Deno.test("publisher that keeps nothing gives up with the cause's code: 69 unreachable", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const run = rig.publish(["--message", "x", "--durability", "none", "--give-up-after", "1s"]);
  assertEquals(await run.code, 69);
  const { queued, dropped } = await run.said("stopped");
  assertEquals([queued, dropped], [0, 1]);
});

Deno.test("publisher that keeps nothing gives up with the cause's code: 77 refused", async () => {
  await using rig = await makeRig({ policy: { connect: [] } });
  const run = rig.publish(["--message", "x", "--durability", "none", "--give-up-after", "1s"]);
  assertEquals(await run.code, 77);
});

Deno.test("publisher that is stopped while offline exits 0 and keeps all (X2)", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  write("{}");
  await run.said("retrying");
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await queueOf(rig)).waiting, 1);
});

Deno.test("publisher that is stopped in the middle of a handshake exits 0 (X2)", async () => {
  await using rig = await makeRig({ faults: { silentAtAccept: true } });
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  write("{}");
  await run.said("queued");
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await queueOf(rig)).waiting, 1);
});

Deno.test("publisher delivers what an earlier run left, before its own", async () => {
  await using rig = await makeRig();
  await queueOffline(rig, 5);
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(6, 8)) });
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 8));
});

Deno.test("watch prints what arrives, harmless to a terminal, and ends after the count", async () => {
  let isSubscribed = false;
  const subscribe = () => isSubscribed = true;
  await using rig = await makeRig({ policy: { subscribe } });
  const flags = rig.flags.map((flag) => flag === "gw-7" ? "viewer" : flag);
  const watching = rig.run(["watch", "a/+", ...flags, "--count", "1"]);
  await rig.endpoint.until(() => isSubscribed);
  assertEquals(await rig.publish(["--topic", "a/b", "--message", "hello\u001b[2J"]).code, 0);
  assertEquals(await watching.code, 0);
  assertMatch(watching.out.join(""), /^\S+ a\/b hello\uFFFD\[2J\n$/);
});

Deno.test("watch says which subscription the policy lacks, with exit code 77", async () => {
  await using rig = await makeRig({ policy: { subscribe: [] } });
  const watching = rig.run(["watch", "a/+", ...rig.flags]);
  assertEquals(await watching.code, 77);
  assertMatch(watching.errors.join("\n"), /iot:Subscribe on topicfilter\/a\/\+/);
});
