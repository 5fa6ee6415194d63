/**
 * AWS's Device Advisor: an endpoint that misbehaves in the ways of its test cases, on MQTT 3.1.1 as it speaks it, and
 * its written criteria. Times are shortened by the settings; what they are at full length is pinned in outage_test.ts.
 *
 * Its other cases: ClientHello and large certificates in transport_test.ts, wrong certificates in tls_test.ts. Not
 * passed, and not wanted: sessions that the broker keeps (the queue redelivers instead), and a second PUBLISH on one
 * connection (MQTT 5 forbids it; a new connection takes its place).
 */

import { assert, assertEquals, assertGreaterOrEqual, assertLess, assertMatch } from "@std/assert";
import type { Endpoint, Faults } from "../../../tools/endpoint/mod.ts";
import { assertAllClosed, connectTo, reasonOf, start } from "../../support/connecting.ts";
import { makeRig, pki, replaced, type Rig, type Run } from "../../support/publishing.ts";
import { seeded } from "../../../tools/shared/seeded.ts";
import { judgeWaits } from "../../support/waits.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const TIMEOUT_MS = 1000;
/** With this one the waits sum up to 20 s. */
const SEED = 29;
const SHORT = { "--backoff-max": "4s" };
const V3 = ["--mqtt-version", "3.1.1"];

/** Runs the program as Device Advisor asks, against an endpoint with these faults. */
function publish(rig: Rig): Run {
  const flags = [...replaced(rig.flags, SHORT), ...V3, "--connect-timeout", `${TIMEOUT_MS}ms`];
  const source = ["--source", "clock", "--interval", "1s"];
  return rig.runHere(["publish", ...flags, ...source], { random: seeded(SEED) });
}

/** The waits before each CONNECT but the first, seen from the endpoint, which knows how long it kept each one. */
function waitsSeen({ connects }: Endpoint, keptMs: (connection: number) => number): number[] {
  return connects.slice(1).map(({ atMs }, index) =>
    atMs - connects[index]!.atMs - keptMs(connects[index]!.connection)
  );
}

/** What is seen of a wait may be some ms less than it was. */
const SEEN_MS = 20;

function assertJitter(waitsMs: readonly number[]): void {
  assertEquals(judgeWaits(waitsMs.map((ms) => ms + SEEN_MS)), "jitter", `${waitsMs}`);
}

Deno.test("publisher whose CONNECT goes unanswered five times, twice over, waits with jitter (C1; Device Advisor MQTT_Connect_Jitter_Backoff_Retries)", async () => {
  const isAnswered = (connection: number) => connection % 6 === 0;
  await using rig = await makeRig({
    faults: {
      noConnack: ({ connection }) => !isAnswered(connection),
      closeAfterConnack: ({ connection }) => connection === 6,
    },
  });
  const run = publish(rig);
  const { endpoint } = rig;
  await endpoint.until(() => endpoint.connects.length === 12, { deadlineMs: 90_000 });
  assertJitter(waitsSeen(endpoint, (connection) => isAnswered(connection) ? 0 : TIMEOUT_MS));
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("publisher whose sessions end right after CONNACK, ten times, waits longer and longer (C2; Device Advisor MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection)", async () => {
  const openMs = 100;
  await using rig = await makeRig({
    faults: { closeAfterConnack: 10, closeAfterConnackMs: openMs },
  });
  const run = publish(rig);
  const { endpoint } = rig;
  await endpoint.until(() => endpoint.connects.length === 10, { deadlineMs: 90_000 });
  assertJitter(waitsSeen(endpoint, () => openMs));
  run.signal();
  assertEquals(await run.code, 0);
});

/** Keep-alive in ms; the settings allow 30 s at least. */
const KEEP_ALIVE_MS = 2000;

for (const mqttVersion of ["5", "3.1.1"] as const) {
  Deno.test(`connection without any answer ends within 1.5 times its keep-alive though it goes on publishing, MQTT ${mqttVersion} (L1; Device Advisor MQTT_No_Ack_PingResp)`, async () => {
    await using endpoint = await start({
      certificates: pki,
      faults: { noPingresp: true, forgetPuback: true, noSuback: true },
      limits: { keepAliveMinS: 1 },
    });
    const connection = await connectTo(endpoint, {
      mqttVersion,
      keepAlive: KEEP_ALIVE_MS,
      ackTimeout: KEEP_ALIVE_MS / 2,
    });
    const sinceMs = performance.now();
    connection.subscribe("a/#", () => {}).catch(() => {});
    const send = () => connection.publish({ topic: "a", payload: "x", qos: 1 }, () => {});
    const timer = setInterval(send, 250);
    const { message } = await reasonOf(connection);
    clearInterval(timer);
    assertMatch(message, /^No PINGRESP /);
    const ms = performance.now() - sinceMs;
    // A second and a half for a busy machine.
    assert(ms >= KEEP_ALIVE_MS && ms < 1.5 * KEEP_ALIVE_MS + 1500, `${ms} ms`);
    assertGreaterOrEqual(endpoint.counts.pings, 1);
    await assertAllClosed(endpoint);
  });
}

/** Runs `watch` until it has printed so many messages. */
async function watch(
  faults: Partial<Faults>,
  play: (rig: Rig, run: Run) => Promise<void>,
  count = 1,
): Promise<string[]> {
  await using rig = await makeRig({ faults });
  const flags = [...rig.flags, ...V3, "--connect-timeout", `${TIMEOUT_MS}ms`];
  const run = rig.run(["watch", "a/+", ...flags, "--count", String(count)]);
  await play(rig, run);
  assertEquals(await run.code, 0);
  return [...run.out];
}

Deno.test("publisher sends QoS 0 where it is asked for (Device Advisor MQTT_Connect, MQTT_Publish)", async () => {
  await using rig = await makeRig();
  const run = rig.publish([...V3, "--qos", "0", "--topic", "a/b", "--message", "hello"]);
  assertEquals(await run.code, 0);
  const [message] = rig.endpoint.received;
  assertEquals([message?.topic, message?.payload, message?.qos], ["a/b", "hello", 0]);
  assertEquals(rig.endpoint.connects[0]?.protocolVersion, 4);
});

for (const mqttVersion of ["5", "3.1.1"]) {
  Deno.test(`publisher without PUBACK sends again on a new connection and never on the same one, MQTT ${mqttVersion} (D24; Device Advisor MQTT_Publish_Retry_No_Puback is not passed)`, async () => {
    await using rig = await makeRig({ faults: { forgetPuback: 1 } });
    const flags = ["--mqtt-version", mqttVersion, "--ack-timeout", "1s", "--message", "hello"];
    assertEquals(await rig.publish(flags).code, 0);
    const { received, connects } = rig.endpoint;
    assertEquals(received.map(({ payload }) => payload), ["hello", "hello"]);
    assertEquals(connects.length, 2);
    assertEquals(new Set(received.map(({ connection }) => connection)).size, 2);
  });
}

Deno.test("watch subscribes, and acknowledges messages of 0 and 131,072 bytes (Device Advisor MQTT_Subscribe, MQTT_Client_Puback_QoS1)", async () => {
  const out = await watch({}, async ({ endpoint }) => {
    await endpoint.until(() => endpoint.counts.subscribes === 1);
    endpoint.publish("a/b", "");
    endpoint.publish("a/c", "x".repeat(131_072));
    await endpoint.until(() => endpoint.counts.pubacks === 2, { what: "two PUBACKs" });
    endpoint.publish("a/d", "enough");
  }, 3);
  assertEquals(out.map((line) => line.split(" ")[1]), ["a/b", "a/c", "a/d"]);
});

Deno.test("watch whose SUBSCRIBE goes unanswered subscribes again on a new connection (Device Advisor MQTT_Subscribe_Retry_No_Suback)", async () => {
  await watch({ noSuback: 1 }, async ({ endpoint }) => {
    await endpoint.until(() => endpoint.counts.subscribes === 2, { what: "a second SUBSCRIBE" });
    assertEquals(endpoint.connects.length, 2);
    const [first, second] = endpoint.connects;
    const gapMs = second!.atMs - first!.atMs;
    assertGreaterOrEqual(gapMs, TIMEOUT_MS + 1000 - SEEN_MS);
    assertLess(gapMs, TIMEOUT_MS + 3000);
    endpoint.publish("a/b", "there");
  });
});

Deno.test("watch subscribes again when the broker has forgotten its session (Device Advisor MQTT_Expired_Persistent_Session)", async () => {
  await watch({}, async ({ endpoint }) => {
    await endpoint.until(() => endpoint.counts.subscribes === 1);
    endpoint.cut();
    await endpoint.until(() => endpoint.counts.subscribes === 2, { what: "a second SUBSCRIBE" });
    endpoint.publish("a/b", "there");
  });
});
