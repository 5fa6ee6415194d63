/** What a second client of mosquitto sees of a device: killed, stopped, cut off, taken over, and refused. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { startForwarder } from "../../../tools/endpoint/forwarder.ts";
import { type Brokers, startBrokers, type Witness } from "./brokers.ts";
import { type Program, runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const TOPIC = "st/gw-7";
const OFFLINE = { device: "gw-7", online: false };

type Said = { readonly online: boolean; readonly reason?: string; readonly time?: string };

/** All that was said on the status topic so far. */
function saidTo(witness: Witness): Said[] {
  return witness.seen().filter(({ topic }) => topic === TOPIC)
    .map(({ payload }) => JSON.parse(payload));
}

/** Settles when so many statuses have been said; returns whether each was online. */
async function onlineTo(witness: Witness, times: number): Promise<boolean[]> {
  await witness.until(() => saidTo(witness).length >= times, `${times} statuses`);
  return saidTo(witness).map(({ online }) => online);
}

function start(brokers: Brokers, version: string, to = brokers.front): Program {
  return runProgram(brokers, [
    ...["publish", "--status-topic", "st/{clientId}", "--mqtt-version", version],
    ...["--source", "clock", "--interval", "200ms", "--backoff-max", "1s", "--topic", "dt/gw-7"],
  ], { to });
}

/** What it said of a status that was refused, as soon as it has. */
async function toldBy(program: Program) {
  const told = () => program.log().filter(({ code }) => code === "status-refused");
  await program.stderr.until(() => told().length > 0, "a refused status");
  return told();
}

function telemetry(witness: Witness): Promise<unknown> {
  const count = () => witness.seen().filter(({ topic }) => topic === "dt/gw-7").length;
  const before = count();
  return witness.until(() => count() > before, "telemetry");
}

for (const version of ["5", "3.1.1"]) {
  const by = `over MQTT ${version}`;

  Deno.test(`mosquitto tells that a device is online, that it was killed, and keeps both, ${by} (O1)`, async () => {
    await using brokers = await startBrokers();
    await using witness = await brokers.witness();
    await using program = start(brokers, version);
    await onlineTo(witness, 1);
    await telemetry(witness);
    const startMs = performance.now();
    program.signal("SIGKILL");
    assertEquals(await onlineTo(witness, 2), [true, false]);
    assert(performance.now() - startMs > (version === "5" ? 4000 : 0));
    assertEquals(saidTo(witness)[1], OFFLINE);
    await using later = await brokers.witness();
    assertEquals(await onlineTo(later, 1), [false]);
  });

  Deno.test(`mosquitto tells that a device was stopped, ${by} (O1)`, async () => {
    await using brokers = await startBrokers();
    await using witness = await brokers.witness();
    await using program = start(brokers, version);
    await onlineTo(witness, 1);
    program.signal("SIGTERM");
    assertEquals(await program.ended, 0);
    assertEquals(await onlineTo(witness, 2), [true, false]);
    assertEquals(saidTo(witness)[1]!.reason, "stopped");
  });

  Deno.test(`mosquitto tells of a link that is cut for a moment what MQTT ${version} allows (O1)`, async () => {
    await using brokers = await startBrokers();
    await using link = await startForwarder(brokers.front.port);
    await using witness = await brokers.witness();
    await using program = start(brokers, version, { endpoint: "localhost", port: link.port });
    await onlineTo(witness, 1);
    await telemetry(witness);
    link.cut("rst");
    await program.event("connected", 1);
    await telemetry(witness);
    // With MQTT 5 it was back before the will was due.
    const wanted = version === "5" ? [true, true] : [true, false, true];
    assertEquals(await onlineTo(witness, wanted.length), wanted);
  });

  Deno.test(`mosquitto tells of a client id that was taken over, and of its device that is back, ${by} (O1)`, async () => {
    await using brokers = await startBrokers();
    await using witness = await brokers.witness();
    await using program = start(brokers, version);
    await onlineTo(witness, 1);
    await brokers.publish("other", "x", { clientId: "gw-7" });
    await program.event("connected", 1);
    // With MQTT 5 mosquitto 2.0 sends no will that is delayed: the device is back before it would have been due.
    const wanted = version === "5" ? [true, true] : [true, false, true];
    assertEquals(await onlineTo(witness, wanted.length), wanted);
  });

  Deno.test(`mosquitto that allows no status topic gets telemetry all the same, ${by} (O2)`, async () => {
    await using brokers = await startBrokers({
      acl: "topic read #\ntopic write dt/#\n",
    });
    await using witness = await brokers.witness();
    await using program = start(brokers, version);
    await telemetry(witness);
    await telemetry(witness);
    assertEquals(saidTo(witness), []);
    // With MQTT 3.1.1 it acknowledges what it does not take, as the standard has it.
    if (version === "5") assertEquals((await toldBy(program)).length, 1);
    program.signal("SIGTERM");
    assertEquals(await program.ended, 0);
    const told = program.log().filter(({ code }) => code === "status-refused");
    assertEquals(told.length, version === "5" ? 1 : 0);
  });
}

Deno.test("mosquitto that keeps no messages gets telemetry all the same, and the log names the reason (O2)", async () => {
  await using brokers = await startBrokers({ more: "retain_available false" });
  await using witness = await brokers.witness();
  await using program = start(brokers, "5");
  await telemetry(witness);
  const told = await toldBy(program);
  assertEquals(told.length, 1);
  assertStringIncludes(`${told[0]!.cause}`, "0x9a retain not supported");
});
