/** `watch` against real brokers. */

import { assertEquals, assertMatch } from "@std/assert";
import { startBrokers } from "./brokers.ts";
import { runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

for (const version of ["5", "3.1.1"]) {
  Deno.test(`watch prints what mosquitto_pub publishes, over MQTT ${version}`, async () => {
    await using brokers = await startBrokers();
    // A retained message tells when the subscription stands.
    await brokers.publish("plant/pump", "first", { retain: true });
    await using program = runProgram(
      brokers,
      ["watch", "plant/#", "--count", "3", "--mqtt-version", version],
      { to: brokers.front },
    );
    await program.stdout.until((lines) => lines.length === 1, "a line");
    await brokers.publish("other/pump", "not asked for");
    await brokers.publish("plant/fan", '{"rpm":900}');
    await brokers.publish("plant/fan", "größer");
    assertEquals(await program.ended, 0);
    assertEquals(program.stdout.all.map((line) => line.replace(/^\S+Z /, "")), [
      "plant/pump first",
      'plant/fan {"rpm":900}',
      "plant/fan größer",
    ]);
  });
}

for (const version of ["5", "3.1.1"]) {
  Deno.test(`watch shows the rest beside messages that are too long, over MQTT ${version} (D21)`, async () => {
    await using brokers = await startBrokers();
    const long = "x".repeat(300_000);
    await brokers.publish("plant/dump", long, { retain: true });
    await brokers.publish("plant/pump", "first", { retain: true });
    await using program = runProgram(
      brokers,
      ["watch", "plant/#", "--count", "26", "--mqtt-version", version],
      { to: brokers.front },
    );
    await program.stdout.until((lines) => lines.length === 1, "a line");
    const wanted = ["plant/pump first"];
    // More than the broker sends without PUBACK: those that are left out here are acknowledged, too. Of those that it
    // leaves out itself, mosquitto 2.0 keeps each among its 20 in flight.
    const longs = version === "5" ? 10 : 25;
    for (let n = 1; n <= 25; n++) {
      if (n <= longs) await brokers.publish("plant/dump", long);
      await brokers.publish("plant/fan", `${n}`);
      wanted.push(`plant/fan ${n}`);
    }
    assertEquals(await program.ended, 0);
    assertEquals(program.stdout.all.map((line) => line.replace(/^\S+Z /, "")), wanted);
    const log = program.log();
    assertEquals(log.filter(({ event }) => event === "disconnected"), []);
    const told = log.filter(({ code }) => code === "packet-too-large");
    // With MQTT 5 the broker sends none; with 3.1.1 each is named.
    assertEquals(told.length > 0, version === "3.1.1");
    for (const { cause } of told) {
      assertMatch(String(cause), /^a message of 3000\d\d bytes on "plant\/dump" is not shown/);
    }
  });
}

Deno.test("watch ends with 0 on SIGTERM", async () => {
  await using brokers = await startBrokers();
  await brokers.publish("plant/pump", "first", { retain: true });
  await using program = runProgram(brokers, ["watch", "plant/#"], { to: brokers.front });
  await program.stdout.until((lines) => lines.length === 1, "a line");
  program.signal("SIGTERM");
  assertEquals(await program.ended, 0);
});
