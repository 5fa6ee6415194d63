/** `watch` against real brokers. */

import { assertEquals } from "@std/assert";
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

Deno.test("watch ends with 0 on SIGTERM", async () => {
  await using brokers = await startBrokers();
  await brokers.publish("plant/pump", "first", { retain: true });
  await using program = runProgram(brokers, ["watch", "plant/#"], { to: brokers.front });
  await program.stdout.until((lines) => lines.length === 1, "a line");
  program.signal("SIGTERM");
  assertEquals(await program.ended, 0);
});
