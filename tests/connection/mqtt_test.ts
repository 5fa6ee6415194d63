/** MQTT sessions against an endpoint that keeps the rules, and one that does not. */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import mqttPacket from "mqtt-packet";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createLengthWatch } from "../../lib/connection/length_watch.ts";
import { LongMessages } from "../../lib/connection/long_messages.ts";
import { EXIT } from "../../lib/core/errors.ts";
import { PublishRefusedError } from "../../lib/connection/reason_codes.ts";
import {
  type Endpoint,
  type EndpointOptions,
  HUGE_LENGTH,
  makePki,
} from "../../tools/endpoint/mod.ts";
import { seeded } from "../../tools/shared/seeded.ts";
import {
  assertAllClosed,
  connectTo,
  failureOf,
  reasonOf,
  start as startAny,
} from "../support/connecting.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();
const VERSIONS = ["5", "3.1.1"] as const;

function start(options: EndpointOptions = {}): Promise<Endpoint> {
  return startAny({ certificates: pki, ...options });
}

for (const mqttVersion of VERSIONS) {
  Deno.test(`connection delivers at PUBACK and ends with DISCONNECT, MQTT ${mqttVersion}`, async () => {
    await using endpoint = await start();
    const connection = await connectTo(endpoint, { mqttVersion });
    const { promise, resolve } = Promise.withResolvers<unknown>();
    connection.publish({ topic: "dt/a", payload: "héllo", qos: 1 }, resolve);
    assertEquals(await promise, undefined);
    const [message] = endpoint.received;
    assertEquals([message?.topic, message?.payload, message?.qos], ["dt/a", "héllo", 1]);
    await connection.end();
    assertEquals(await connection.closed, undefined);
    await endpoint.until(() => endpoint.closes.length === 1);
    assertEquals(endpoint.closes[0]?.by, "client");
  });
}

Deno.test("connection tells the server who it is: client id, keep-alive, clean session", async () => {
  await using endpoint = await start();
  const connection = await connectTo(endpoint, { clientId: "gw-8", keepAlive: 90_000 });
  const [seen] = endpoint.connects;
  assertEquals([seen?.clientId, seen?.keepAliveS, seen?.clean], ["gw-8", 90, true]);
  assertEquals(seen?.protocolVersion, 5);
  await connection.end();
});

Deno.test("connection knows the server's Receive Maximum", async () => {
  await using endpoint = await start({ limits: { receiveMaximum: 12 } });
  const v5 = await connectTo(endpoint);
  assertEquals(v5.facts.receiveMaximum, 12);
  await v5.end();
  const v3 = await connectTo(endpoint, { mqttVersion: "3.1.1" });
  assertEquals(v3.facts.receiveMaximum, 65_535);
  await v3.end();
});

// C4: code, and whether it may go away by itself.
const CONNACKS = {
  "3.1.1": { 1: false, 2: false, 3: true, 4: false, 5: false, 7: false, 200: false },
  "5": { 0x80: true, 0x85: false, 0x86: false, 0x87: false, 0x90: false, 0x97: true, 0x9b: false },
} as const;

for (const mqttVersion of VERSIONS) {
  for (const [code, isTransient] of Object.entries(CONNACKS[mqttVersion])) {
    const kind = isTransient ? "transient" : "a refusal";
    Deno.test(`connection takes CONNACK ${code} of MQTT ${mqttVersion} as ${kind}, and closes (C4)`, async () => {
      const faults = { refuseConnect: true, connackCode: Number(code), keepRefusedOpen: true };
      await using endpoint = await start({ faults });
      const { message, hint, exitCode } = await failureOf(connectTo(endpoint, { mqttVersion }));
      assertMatch(message, /refused the session: CONNACK/);
      assertNotMatch(`${message} ${hint}`, /undefined/);
      assertEquals(exitCode, isTransient ? EXIT.unavailable : EXIT.refused);
      await assertAllClosed(endpoint);
    });
  }
}

Deno.test("connection takes CONNACK codes that are in no standard for refusals (C4)", async () => {
  const faults = { refuseConnect: true, connackCode: 200, keepRefusedOpen: true };
  await using endpoint = await start({ faults });
  const { message } = await failureOf(connectTo(endpoint));
  assertNotMatch(message, /undefined/);
  await assertAllClosed(endpoint);
});

for (
  const [what, faults, said] of [
    ["garbage instead of CONNACK", { rawAtConnect: true }, /does not speak MQTT as it should/],
    [
      "a packet that claims 256 MB",
      { rawAtConnect: true, rawBytes: HUGE_LENGTH },
      /268435455 bytes/,
    ],
    ["a message before CONNACK", { publishBeforeConnack: true }, /a message before CONNACK/],
  ] as const
) {
  Deno.test(`connection is dropped at once after ${what} (C5)`, async () => {
    await using endpoint = await start({ faults });
    const { message, step, exitCode } = await failureOf(connectTo(endpoint));
    assertMatch(message, said);
    assertEquals([step, exitCode], ["mqtt", EXIT.unavailable]);
    await assertAllClosed(endpoint);
  });
}

for (
  const [what, faults, said] of [
    ["a second CONNACK", { secondConnack: true }, /it sent a second CONNACK/],
    ["a PUBACK for a message never sent", { strayPuback: true }, /acknowledged a message that was/],
  ] as const
) {
  Deno.test(`connection is dropped at once after ${what} (C5)`, async () => {
    await using endpoint = await start({ faults });
    const failure = await connectTo(endpoint).then(reasonOf, (error) => error);
    assertMatch(failure.message, said);
    await assertAllClosed(endpoint);
  });
}

for (
  const [what, bytes] of [
    ["garbage", new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["a packet that claims 256 MB", HUGE_LENGTH],
  ] as const
) {
  Deno.test(`connection that is open is dropped at once after ${what} (C5)`, async () => {
    await using endpoint = await start();
    const connection = await connectTo(endpoint);
    endpoint.send(bytes);
    assertMatch((await reasonOf(connection)).message, /does not speak MQTT as it should/);
    await assertAllClosed(endpoint);
  });
}

Deno.test("connection survives random bytes after CONNACK, and drops or outlives them (S5)", async () => {
  await using endpoint = await start();
  const random = seeded(5);
  for (let round = 0; round < 40; round++) {
    const connection = await connectTo(endpoint);
    endpoint.send(Uint8Array.from({ length: 1 + random() * 60 }, () => random() * 256));
    // What the bytes meant may be half a packet: then the session waits for the rest, as it must.
    endpoint.cut("fin");
    await reasonOf(connection);
  }
  await assertAllClosed(endpoint);
});

// C7: code, name, exit code.
for (
  const [code, name, exitCode] of [
    [0x8b, "server shutting down", EXIT.unavailable],
    [0x8d, "keep alive timeout", EXIT.unavailable],
    [0x8e, "session taken over", EXIT.refused],
    [0x97, "quota exceeded", EXIT.unavailable],
    [0x98, "administrative action", EXIT.unavailable],
  ] as const
) {
  Deno.test(`connection names the server's DISCONNECT "${name}" and closes (C7)`, async () => {
    await using endpoint = await start();
    const connection = await connectTo(endpoint);
    endpoint.disconnect(code);
    const reason = await reasonOf(connection);
    assertMatch(reason.message, new RegExp(`DISCONNECT 0x${code.toString(16)} ${name}$`));
    assertEquals(reason.exitCode, exitCode);
    await assertAllClosed(endpoint);
  });
}

Deno.test("connection says that the server hung up", async () => {
  await using endpoint = await start();
  for (const how of ["fin", "rst"] as const) {
    const connection = await connectTo(endpoint);
    endpoint.cut(how);
    const { message, step, exitCode } = await reasonOf(connection);
    assertMatch(message, /hung up/);
    assertEquals([step, exitCode], ["mqtt", EXIT.unavailable]);
  }
});

Deno.test("connection that is cut never calls back for what was not acknowledged", async () => {
  await using endpoint = await start({ faults: { forgetPuback: true } });
  const connection = await connectTo(endpoint);
  let calls = 0;
  connection.publish({ topic: "t", payload: "x", qos: 1 }, () => calls++);
  await endpoint.waitFor(1);
  endpoint.cut();
  await reasonOf(connection);
  assertEquals(calls, 0);
});

Deno.test("connection tells with which code a message was refused", async () => {
  await using endpoint = await start({ faults: { refusePublish: true, pubackCode: 0x87 } });
  const connection = await connectTo(endpoint);
  const { promise, resolve } = Promise.withResolvers<unknown>();
  connection.publish({ topic: "deny/a", payload: "x", qos: 1 }, resolve);
  const refused = await promise;
  assert(refused instanceof PublishRefusedError);
  assertMatch(refused.message, /PUBACK 0x87 not authorized/);
  await connection.end();
});

Deno.test("connection that is aborted closes without a word and without a reason", async () => {
  await using endpoint = await start();
  const connection = await connectTo(endpoint);
  connection.abort();
  assertEquals(await connection.closed, undefined);
  await assertAllClosed(endpoint);
});

Deno.test("connection ends in time although the server never closes", async () => {
  await using endpoint = await start();
  const connection = await connectTo(endpoint);
  endpoint.freeze();
  await connection.end();
  assertEquals(await connection.closed, undefined);
  endpoint.cut();
});

Deno.test("connection hands out the messages of its subscription", async () => {
  await using endpoint = await start();
  const connection = await connectTo(endpoint);
  const { promise, resolve } = Promise.withResolvers<[string, string]>();
  await connection.subscribe(
    "a/#",
    (topic, payload) => resolve([topic, new TextDecoder().decode(payload)]),
  );
  endpoint.publish("a/b", "x".repeat(131_072));
  const [topic, payload] = await promise;
  assertEquals([topic, payload.length], ["a/b", 131_072]);
  await connection.end();
});

Deno.test("connection says which subscription the policy refused", async () => {
  await using endpoint = await start({ policy: { subscribe: ["ok/#"] } });
  const connection = await connectTo(endpoint);
  const error = await connection.subscribe("deny/#", () => {}).catch((error) => error);
  assertMatch(error.message, /refused the subscription to "deny\/#"|ended the session|hung up/);
  connection.abort();
  await connection.closed;
});

Deno.test("long messages are left out of a stream however it is cut, and all else passes (D21)", async () => {
  const publish = (qos: 0 | 1, topic: string, length: number, messageId = 7) =>
    mqttPacket.generate({
      ...{ cmd: "publish", topic, payload: "x".repeat(length), qos, messageId },
      ...{ dup: false, retain: false },
    }, { protocolVersion: 4 });
  const pong = Uint8Array.of(0xd0, 0);
  const kept = [pong, publish(1, "a", 10), pong, publish(0, "b/c", 120), pong];
  const left = [publish(1, "dump/\u00fc", 1000, 0x1234), publish(0, "d", 20_000)];
  const all = [kept[0]!, left[0]!, kept[1]!, kept[2]!, left[1]!, kept[3]!, kept[4]!];
  const bytes = Buffer.concat(all);
  for (const size of [1, 2, 3, 7, 500, bytes.length]) {
    const told: unknown[] = [];
    const passed: Uint8Array[] = [];
    const filter = new LongMessages(500, (message) => told.push(message));
    filter.on("data", (part: Uint8Array) => passed.push(part));
    for (let at = 0; at < bytes.length; at += size) filter.write(bytes.subarray(at, at + size));
    filter.end();
    await once(filter, "end");
    assertEquals(Buffer.concat(passed), Buffer.concat(kept), `pieces of ${size}`);
    assertEquals(told, [
      { topic: "dump/\u00fc", bytes: 1011, id: 0x1234 },
      { topic: "d", bytes: 20_003, id: undefined },
    ]);
  }
});

Deno.test("length watch follows packets however they are cut", () => {
  const packets = [[0x20, 3, 0, 0, 0], [0xd0, 0], [0x30, 0x82, 0x01, ...Array(130).fill(7)], [
    0x40,
    2,
    0,
    1,
  ]];
  const bytes = Uint8Array.from(packets.flat());
  assertEquals(createLengthWatch()(bytes), 130);
  for (const size of [1, 2, 3, 50]) {
    const watch = createLengthWatch();
    const seen: number[] = [];
    for (let at = 0; at < bytes.length; at += size) seen.push(watch(bytes.subarray(at, at + size)));
    assertEquals(Math.max(...seen), 130);
    assertEquals(watch(HUGE_LENGTH), 268_435_455);
  }
});

Deno.test("connection says a topic by its alias once the server has acknowledged one with both (K8)", async () => {
  await using endpoint = await start({ limits: { topicAliasMaximum: 2 } });
  const connection = await connectTo(endpoint);
  const publish = (topic: string) => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    connection.publish({ topic, payload: "x", qos: 1 }, resolve);
    return promise;
  };
  await Promise.all([publish("dt/a"), publish("dt/a")]);
  for (const topic of ["dt/a", "dt/b", "dt/c", "dt/b", "dt/c", "dt/a"]) await publish(topic);
  assertEquals(
    endpoint.received.map(({ topic, isAlias }) => [topic, isAlias]),
    [
      ...[["dt/a", false], ["dt/a", false], ["dt/a", true], ["dt/b", false], ["dt/c", false]],
      ...[["dt/b", true], ["dt/c", false], ["dt/a", true]],
    ],
  );
  await connection.end();
  const older = await connectTo(endpoint, { mqttVersion: "3.1.1" });
  await new Promise((resolve) =>
    older.publish({ topic: "dt/a", payload: "x", qos: 1 }, () => resolve(undefined))
  );
  assertEquals(endpoint.received.at(-1)!.isAlias, false);
  await older.end();
});

Deno.test("connection gives no alias to a topic whose message was refused, or where it would not fit (K8)", async () => {
  const limits = { topicAliasMaximum: 8, maximumPacketSize: 100 };
  await using endpoint = await start({ limits, faults: { refusePublish: 1, pubackCode: 0x87 } });
  const connection = await connectTo(endpoint);
  const publish = (bytes: number) => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    connection.publish({ topic: "dt/a", payload: "x".repeat(bytes), qos: 1 }, resolve);
    return promise;
  };
  assert(await publish(1) instanceof PublishRefusedError);
  // A packet of exactly 100 bytes: with an alias it would have 103.
  assertEquals(await publish(89), undefined);
  assertEquals(await publish(1), undefined);
  assertEquals(await publish(1), undefined);
  assertEquals(endpoint.received.map(({ isAlias }) => isAlias), [false, false, true]);
  await connection.end();
});
