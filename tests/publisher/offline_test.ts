/** The whole publisher while the link is bad: what is kept, what is sent again, how a run ends. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  inputOf,
  makeRig,
  numbered,
  openInput,
  pki,
  range,
  seqsOf,
  writeIdentity,
} from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const CLOCK = ["--source", "clock", "--interval", "100ms"];

Deno.test("publisher queues while the endpoint is away, and drains when it is back", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  for (const line of numbered(1, 300)) write(line);
  await run.said("queued", ({ seq }) => seq === 300);
  await run.said("retrying");
  await rig.endpoint.resume();
  await run.said("drained");
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 300));
  assertEquals((await run.said("draining")).messages, 300);
});

Deno.test("publisher whose queue is full drops exactly what is too much, and counts it (Q7)", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const offline = rig.publish([...CLOCK, "--queue-max-messages", "5"]);
  await offline.said("queued", ({ seq }) => seq === 12);
  offline.signal();
  assertEquals(await offline.code, 0);
  const told = offline.log.filter(({ event }) => event === "dropped");
  const counted = told.reduce((sum, { messages }) => sum + Number(messages), 0);
  assertEquals(told.length, 2, "at once, and the rest at the end");
  const { dropped, queued } = await offline.said("stopped");
  assertEquals({ dropped, queued }, { dropped: counted, queued: 5 });

  await rig.endpoint.resume();
  const online = rig.publish(["--source", "stdin"], { input: inputOf([]) });
  assertEquals(await online.code, 0);
  const seqs = seqsOf(rig.endpoint.received);
  assertEquals(seqs, range(counted + 1, counted + 5), "the gap is the loss");
});

Deno.test("publisher waits at least a second before it connects again (C1)", async () => {
  await using rig = await makeRig({ faults: { closeAtConnect: true } });
  const run = rig.publish(CLOCK);
  await rig.endpoint.until(() => rig.endpoint.connects.length === 3);
  run.signal();
  await run.code;
  const times = rig.endpoint.connects.map(({ atMs }) => atMs);
  const gaps = times.slice(1).map((atMs, index) => atMs - times[index]!);
  assert(gaps.every((gap) => gap >= 1000), gaps.join(", "));
});

Deno.test("publisher says the same no more than once a minute while offline", async () => {
  await using rig = await makeRig({ faults: { closeAtConnect: true } });
  const run = rig.publish(CLOCK);
  await rig.endpoint.until(() => rig.endpoint.connects.length === 3);
  run.signal();
  await run.code;
  const said = run.log.filter(({ level }) => level !== "debug").map(({ event }) => event);
  assertEquals(said, ["start", "connecting", "retrying", "stopping", "stopped"]);
});

const REFUSED = { refuseConnect: true, connackCode: 0x87 };
for (
  const [what, flags, faults, code] of [
    ["--message to nobody", ["--message", "x"], undefined, 75],
    [
      "--message to nobody, kept nowhere",
      ["--message", "x", "--durability", "none"],
      undefined,
      69,
    ],
    ["--message that is refused", ["--message", "x"], REFUSED, 75],
    [
      "--message that is refused, kept nowhere",
      ["--message", "x", "--durability", "none"],
      REFUSED,
      77,
    ],
    [
      "--message whose PUBLISH is refused, kept nowhere",
      ["--message", "x", "--durability", "none"],
      { refusePublish: true, pubackCode: 0x87 },
      77,
    ],
    ["--count to nobody", [...CLOCK, "--count", "2"], undefined, 75],
    ["end of input to nobody", ["--source", "stdin"], undefined, 75],
  ] as const
) {
  Deno.test(`publisher gives ${what} up in its time, with exit code ${code}`, async () => {
    await using rig = await makeRig({ ...(faults && { faults }) });
    if (faults === undefined) rig.endpoint.pause();
    const run = rig.publish([...flags, "--give-up-after", "1s"], { input: inputOf(["{}", "{}"]) });
    assertEquals(await run.code, code);
    const { queued, dropped, level, cause } = await run.said("stopped");
    const isKept = code === 75;
    assertEquals([Number(queued) > 0, Number(dropped) > 0], [isKept, !isKept]);
    assertEquals(level, "warn");
    assertMatch(
      String(cause),
      faults === undefined ? /connection refused|cannot reach/ : /0x87 not authorized/,
    );
  });
}

Deno.test("publisher sends in the next run what an earlier one kept", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const first = rig.publish(["--message", "kept", "--give-up-after", "1s"]);
  assertEquals(await first.code, 75);
  await rig.endpoint.resume();
  assertEquals(await rig.publish(["--message", "new"]).code, 0);
  assertEquals(rig.endpoint.received.map(({ payload }) => payload), ["kept", "new"]);
});

Deno.test("publisher uses a renewed certificate at its next attempt, without a restart (X3)", async () => {
  await using rig = await makeRig();
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin"], { input: stream });
  await run.said("connected");
  const device = await pki.authority.issue("gw-7 renewed");
  await writeIdentity(`${rig.folder}/new`, { ca: pki.ca, device });
  for (const name of ["cert.pem", "key.pem"]) {
    await Deno.rename(`${rig.folder}/new/${name}`, `${rig.folder}/certs/${name}`);
  }
  rig.endpoint.cut();
  write("{}");
  await rig.endpoint.waitFor(1);
  assertEquals(rig.endpoint.connects.map(({ certName }) => certName), ["gw-7", "gw-7 renewed"]);
  await run.said("start", ({ certificate }) => certificate === "CN=gw-7 renewed");
  run.signal();
  assertEquals(await run.code, 0);
});
