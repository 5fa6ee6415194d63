/** What real brokers refuse, and what the program says then. */

import { assertEquals, assertMatch } from "@std/assert";
import { type Brokers, startBrokers } from "./brokers.ts";
import { type Program, type RunOptions, runProgram } from "./program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Tries to deliver one message for a second, without a disk: the exit code is that of the cause. */
function attempt(brokers: Brokers, flags: readonly string[], options: RunOptions): Program {
  return runProgram(brokers, [
    ...["publish", "--topic", "a", "--message", "never", "--durability", "none"],
    ...["--give-up-after", "1s", ...flags],
  ], options);
}

Deno.test("publish names ALPN when HAProxy does not know the protocol asked for", async () => {
  await using brokers = await startBrokers();
  await using program = attempt(brokers, ["--alpn", "mqtt"], { to: brokers.front });
  const { step, cause, hint } = await program.event("retrying");
  assertEquals(step, "alpn");
  assertMatch(`${cause}`, /answered without protocol "mqtt"|does not offer protocol "mqtt"/);
  assertMatch(`${hint}`, /--alpn/);
  assertEquals(await program.ended, 69);
});

Deno.test("publish says that HAProxy hung up when it asks for no protocol there", async () => {
  await using brokers = await startBrokers();
  await using program = attempt(brokers, ["--alpn", "none"], { to: brokers.front });
  const { step, cause } = await program.event("retrying");
  assertEquals(step, "mqtt");
  assertMatch(`${cause}`, /hung up before CONNACK/);
  assertEquals(await program.ended, 69);
});

Deno.test("publish asks for ALPN on any port but 8883, and says how to do without", async () => {
  await using brokers = await startBrokers();
  await using program = attempt(brokers, [], { to: brokers.plainTls });
  const { step, cause, hint } = await program.event("retrying");
  assertEquals(step, "alpn");
  assertMatch(`${cause}`, /answered without protocol "x-amzn-mqtt-ca"/);
  assertMatch(`${hint}`, /--alpn none/);
  assertEquals(await program.ended, 69);
});

for (const to of ["front", "plainTls"] as const) {
  const by = to === "front" ? "HAProxy" : "mosquitto";
  Deno.test(`publish with a device certificate of another CA is refused by ${by}, and says so`, async () => {
    await using brokers = await startBrokers();
    const certs = await brokers.foreignCerts();
    const flags = to === "front" ? [] : ["--alpn", "none"];
    await using program = attempt(brokers, flags, { to: brokers[to], certs });
    const { step, cause } = await program.event("retrying");
    assertEquals(step, "tls");
    assertMatch(`${cause}`, /refused the device certificate \(TLS alert UnknownC[Aa]\)/);
    assertEquals(await program.ended, 77);
  });
}
