/** What another client of the broker sees of a device: killed, stopped, cut off, taken over, and refused. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { VERSION } from "../../../lib/core/build.ts";
import { makeRig, queueOffline, type Rig, type Run } from "../../support/publishing.ts";
import { dialMqtt } from "../../support/raw_client.ts";
import { STATUS_TOPIC, witnessStatus } from "../../support/status_watching.ts";

const FLAGS = ["--status-topic", "dt/{clientId}/status", "--interval", "100ms"];
const VERSIONS = ["5", "3.1.1"] as const;
const OFFLINE = { device: "gw-7", online: false };

/** Starts a device that says its status, and waits until it has delivered something. */
async function online(rig: Rig, version: string, flags: readonly string[] = []): Promise<Run> {
  const run = rig.publish(["--mqtt-version", version, ...FLAGS, ...flags]);
  await telemetry(rig);
  return run;
}

/** Waits for one more message of telemetry than there is. */
function telemetry({ endpoint }: Rig): Promise<void> {
  const count = () => endpoint.received.filter(({ topic }) => topic !== STATUS_TOPIC).length;
  const before = count();
  return endpoint.until(() => count() > before, { what: "telemetry", deadlineMs: 30_000 });
}

/** What was said of a status that was refused, as soon as something was. */
async function told(run: Run) {
  await run.said("warning", ({ code }) => code === "status-refused");
  return run.log.filter(({ code }) => code === "status-refused");
}

for (const version of VERSIONS) {
  const by = `over MQTT ${version}`;

  Deno.test(`online status is kept by the broker, and its will is sent after kill -9, ${by} (O1)`, async () => {
    await using rig = await makeRig();
    const run = await online(rig, version);
    using witness = await witnessStatus(rig.endpoint);
    const { isKept, said: { time, ...said } } = await witness.next();
    assert(isKept);
    assertEquals(said, { device: "gw-7", online: true, version: VERSION });
    assertMatch(time!, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    const startMs = performance.now();
    run.signal("SIGKILL");
    assertEquals(await witness.next(), { isKept: false, said: OFFLINE });
    // MQTT 5 gives it 5 s to come back.
    assert(performance.now() - startMs > (version === "5" ? 4900 : 0));
    using later = await witnessStatus(rig.endpoint, "later");
    assertEquals(await later.next(), { isKept: true, said: OFFLINE });
  });

  Deno.test(`online status ends with a word of its own at SIGTERM, ${by} (O1)`, async () => {
    await using rig = await makeRig();
    const run = await online(rig, version);
    using witness = await witnessStatus(rig.endpoint);
    await witness.next();
    run.signal();
    assertEquals(await run.code, 0);
    const { said: { time, ...said } } = await witness.next();
    assertEquals(said, { ...OFFLINE, reason: "stopped" });
    assert(time !== undefined);
    await rig.endpoint.until(() => rig.endpoint.closes.length === 1);
    assertEquals(rig.endpoint.closes[0]!.reason, "DISCONNECT 0");
    using later = await witnessStatus(rig.endpoint, "later");
    assertEquals((await later.next()).said.reason, "stopped");
  });

  Deno.test(`online status after a link that is cut and comes back, ${by} (O1)`, async () => {
    await using rig = await makeRig();
    await online(rig, version);
    using witness = await witnessStatus(rig.endpoint);
    assertEquals((await witness.next()).said.online, true);
    const device = rig.endpoint.connects.length;
    // The device alone: the witness sees on.
    rig.endpoint.faults.closeAtPublish = ({ topic }) =>
      topic !== STATUS_TOPIC && rig.endpoint.connects.length === device;
    if (version !== "5") assertEquals((await witness.next()).said, OFFLINE);
    assertEquals((await witness.next()).said.online, true);
    await telemetry(rig);
    assertEquals(rig.endpoint.connects.at(-1)!.clean, version !== "5");
  });

  Deno.test(`online status after another client took the client id, ${by} (O1)`, async () => {
    await using rig = await makeRig();
    await online(rig, version);
    using witness = await witnessStatus(rig.endpoint);
    assertEquals((await witness.next()).said.online, true);
    using _other = await dialMqtt(rig.endpoint, { clientId: "gw-7" });
    assertEquals((await witness.next()).said, OFFLINE);
    assertEquals((await witness.next()).said.online, true);
  });

  Deno.test(`online status whose will the policy refuses is left out, told once, and all else goes on, ${by} (O2)`, async () => {
    await using rig = await makeRig({ policy: { retain: [] } });
    const run = await online(rig, version);
    await telemetry(rig);
    assertEquals(rig.endpoint.connects.at(-1)!.willTopic, undefined);
    const [line, ...others] = await told(run);
    assertEquals(others, []);
    assertStringIncludes(String(line!.hint), `iot:RetainPublish on topic/${STATUS_TOPIC}`);
    run.signal();
    assertEquals(await run.code, 0);
  });

  Deno.test(`online status at which the server hangs up is left out after two sessions, ${by} (O2)`, async () => {
    await using rig = await makeRig({
      faults: { closeAtPublish: ({ topic }) => topic === STATUS_TOPIC },
    });
    const run = await online(rig, version);
    assertEquals(rig.endpoint.connects.map(({ willTopic }) => willTopic), [
      ...[STATUS_TOPIC, STATUS_TOPIC, undefined],
    ]);
    assertEquals((await told(run)).length, 1);
  });
}

Deno.test("online status that a PUBACK refuses ends no session (O2)", async () => {
  await using rig = await makeRig({
    faults: { refusePublish: ({ topic }) => topic === STATUS_TOPIC, pubackCode: 0x87 },
  });
  const run = await online(rig, "5");
  await telemetry(rig);
  assertEquals(rig.endpoint.connects.length, 1);
  const [line] = await told(run);
  assertEquals(line!.reason, "0x87");
  assertStringIncludes(String(line!.hint), "iot:Publish and iot:RetainPublish");
  run.signal();
  assertEquals(await run.code, 0);
  // It says nothing where it may not.
  assertEquals(rig.endpoint.counts.refused, 1);
});

Deno.test("online status that is never acknowledged delays no message for longer than it waits (O2)", async () => {
  await using rig = await makeRig({
    faults: { forgetPuback: ({ topic }) => topic === STATUS_TOPIC },
  });
  const run = await online(rig, "5", ["--ack-timeout", "1s"]);
  await telemetry(rig);
  assertEquals(rig.endpoint.connects.length, 1);
  assertStringIncludes(String((await told(run))[0]!.cause), "No PUBACK");
  using witness = await witnessStatus(rig.endpoint);
  assertEquals((await witness.next()).said.online, true);
  run.signal();
  // It may have been taken, so it is taken back.
  assertEquals((await witness.next()).said.online, false);
});

Deno.test("online status stays as it is over a planned reconnect (O1, X3)", async () => {
  await using rig = await makeRig();
  const run = await online(rig, "5");
  using witness = await witnessStatus(rig.endpoint);
  await witness.next();
  // The same certificate once more in the file is another file to it.
  const cert = `${rig.folder}/certs/cert.pem`;
  await Deno.writeTextFile(cert, await Deno.readTextFile(cert) + rig.endpoint.certificates.ca);
  run.signal("SIGHUP");
  await run.said("disconnected", ({ cause }) => String(cause).startsWith("planned"));
  assertEquals((await witness.next()).said.online, true);
  assertEquals(rig.endpoint.closes[0]!.reason, "DISCONNECT 4");
});

Deno.test("without statusTopic nothing is said and no will is left", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--interval", "100ms", "--count", "2"]);
  assertEquals(await run.code, 0);
  assertEquals(rig.endpoint.connects[0]!.willTopic, undefined);
  assertEquals(rig.endpoint.received.length, 2);
  assert(!rig.endpoint.received.some(({ retain }) => retain));
});

Deno.test("online status that is never acknowledged counts as one message in flight (O2, P6)", async () => {
  await using rig = await makeRig({
    limits: { receiveMaximum: 3 },
    faults: { forgetPuback: ({ topic }) => topic === STATUS_TOPIC, pubackDelayMs: 300 },
  });
  await queueOffline(rig, 20);
  await online(rig, "5", ["--ack-timeout", "1s", "--inflight", "10"]);
  await rig.endpoint.waitFor(20);
  // The endpoint ends a session in which there are more.
  assertEquals(rig.endpoint.connects.map(({ maxInFlight }) => maxInFlight), [3]);
});
