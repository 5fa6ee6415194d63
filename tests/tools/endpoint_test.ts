import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import mqtt from "mqtt";
import type { IPublishPacket } from "mqtt-packet";
import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  certPaths,
  type CommandWorld,
  type Endpoint,
  type EndpointOptions,
  formatKey,
  GARBAGE,
  HUGE_LENGTH,
  makeAuthority,
  makePki,
  readCerts,
  runEndpoint,
  startEndpoint,
  writeCerts,
} from "../../tools/endpoint/mod.ts";
import { dial, dialMqtt, type RawClient } from "../../tools/endpoint/raw_client.ts";

// Deno 2.9 looks for leaks only when told to.
Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();
const DAY_MS = 86_400_000;

function start(options: EndpointOptions = {}): Promise<Endpoint> {
  return startEndpoint({ certificates: pki, ...options });
}

function message(
  topic: string,
  more: Partial<IPublishPacket> = {},
): IPublishPacket {
  return {
    cmd: "publish",
    topic,
    payload: "hello",
    qos: 1,
    dup: false,
    retain: false,
    messageId: 1,
    ...more,
  };
}

/** Connect and take the CONNACK. */
async function welcomed(
  endpoint: Endpoint,
  connect: Parameters<typeof dialMqtt>[1] = {},
): Promise<RawClient> {
  const client = await dialMqtt(endpoint, connect);
  assertEquals(codeOf(await client.next()), ["connack", 0]);
  return client;
}

/** A packet as its name and code. */
function codeOf(packet: Awaited<ReturnType<RawClient["next"]>>): unknown {
  if (typeof packet === "string") return packet;
  const { reasonCode, returnCode } = packet as {
    reasonCode?: number;
    returnCode?: number;
  };
  return [packet.cmd, reasonCode ?? returnCode];
}

// TLS

Deno.test("endpoint completes mutual TLS and records what the client showed", async () => {
  await using endpoint = await start();
  using _client = await welcomed(endpoint, { keepalive: 77, clean: false });
  const [seen] = endpoint.connects;
  assertEquals(seen?.alpn, "x-amzn-mqtt-ca");
  assertEquals(seen?.serverName, "localhost");
  assertEquals(seen?.tls, "TLSv1.3");
  assertEquals(seen?.certName, "gw-7");
  assertEquals(seen?.keepAliveS, 77);
  assertEquals(seen?.clean, false);
  assertEquals(seen?.protocolVersion, 5);
  assertEquals(endpoint.counts.handshakes, 1);
});

Deno.test("endpoint refuses a client without a certificate", async () => {
  await using endpoint = await start();
  using client = await dialMqtt(endpoint, {}, { device: null }).catch((error) => error);
  if (!(client instanceof Error)) assertEquals(await client.next(), "error");
  await endpoint.until(() => endpoint.tlsErrors.length === 1);
  assertMatch(endpoint.tlsErrors[0]?.code ?? "", /CERTIFICATE/);
  assertEquals(endpoint.counts.handshakes, 0);
});

Deno.test("endpoint refuses a client certificate from another CA", async () => {
  const other = await makeAuthority();
  await using endpoint = await start({ clientCa: other.cert });
  using client = await dialMqtt(endpoint);
  assertEquals(await client.next(), "error");
  await endpoint.until(() => endpoint.tlsErrors.length === 1);
  assertEquals(endpoint.connects.length, 0);
});

Deno.test("endpoint hangs up after the handshake on a certificate it does not know", async () => {
  await using endpoint = await start({ clientCert: "closes-after-finished" });
  using client = await dialMqtt(endpoint);
  assert(["closed", "error"].includes(await client.next() as string));
  assertEquals(endpoint.counts.handshakes, 1);
  assertEquals(endpoint.connects.length, 0);
});

Deno.test("endpoint without client authentication takes a client without certificate", async () => {
  await using endpoint = await start({ clientCert: "not-asked" });
  using client = await dialMqtt(endpoint, {}, { device: null });
  assertEquals(codeOf(await client.next()), ["connack", 0]);
  assertEquals(endpoint.connects[0]?.certName, undefined);
});

Deno.test("endpoint ends the handshake when another ALPN protocol is offered", async () => {
  await using endpoint = await start();
  await assertRejects(
    () => dial(endpoint, { alpn: ["mqtt"] }),
    Error,
    "NoApplicationProtocol",
  );
  await endpoint.until(() => endpoint.tlsErrors.length === 1);
  assertEquals(endpoint.tlsErrors[0]?.code, "ERR_SSL_NO_APPLICATION_PROTOCOL");
});

Deno.test("endpoint hangs up on a client that offers no ALPN", async () => {
  await using endpoint = await start();
  using client = await dialMqtt(endpoint, {}, { alpn: [] });
  assert(["closed", "error"].includes(await client.next() as string));
  assertEquals(endpoint.connects.length, 0);
});

Deno.test("endpoint that ignores ALPN negotiates none", async () => {
  await using endpoint = await start({ alpn: "ignore" });
  using client = await dialMqtt(endpoint);
  assertEquals(codeOf(await client.next()), ["connack", 0]);
  assertEquals(endpoint.connects[0]?.alpn, undefined);
});

Deno.test("endpoint wants the ALPN protocol it was told", async () => {
  await using endpoint = await start({ alpn: "mqtt" });
  await assertRejects(() => dial(endpoint));
  using client = await dialMqtt(endpoint, {}, { alpn: ["mqtt"] });
  assertEquals(codeOf(await client.next()), ["connack", 0]);
});

Deno.test("endpoint speaks TLS 1.2 when that is its highest version", async () => {
  await using endpoint = await start({ maxVersion: "TLSv1.2" });
  using _client = await welcomed(endpoint);
  assertEquals(endpoint.connects[0]?.tls, "TLSv1.2");
});

Deno.test("endpoint presents wrong certificates and notes the client's alert", async (t) => {
  const names = ["localhost"];
  const { authority } = pki;
  const other = await makeAuthority();
  const wrong = {
    expired: await authority.issue("localhost", {
      names,
      validFrom: new Date(Date.now() - 2 * DAY_MS),
      validTo: new Date(Date.now() - DAY_MS),
    }),
    "not yet valid": await authority.issue("localhost", {
      names,
      validFrom: new Date(Date.now() + DAY_MS),
    }),
    "of another name": await authority.issue("elsewhere", {
      names: ["elsewhere"],
    }),
    "from another CA": await other.issue("localhost", { names }),
  };
  for (const [name, server] of Object.entries(wrong)) {
    await t.step(name, async () => {
      await using endpoint = await start({ server });
      await assertRejects(
        () => dial(endpoint),
        Error,
        "invalid peer certificate",
      );
      await endpoint.until(() => endpoint.tlsErrors.length === 1);
      assertMatch(endpoint.tlsErrors[0]?.code ?? "", /ALERT/);
      assertEquals(endpoint.counts.handshakes, 0);
    });
  }
});

Deno.test("endpoint presents a chain of intermediates that the client can follow", async () => {
  const upper = await makeAuthority({
    issuer: pki.authority,
    commonName: "upper",
  });
  const lower = await makeAuthority({ issuer: upper, commonName: "lower" });
  const server = await lower.issue("localhost", { names: ["localhost"] });
  assertEquals(server.cert.match(/BEGIN CERTIFICATE/g)?.length, 3);
  await using endpoint = await start({ server });
  using _client = await welcomed(endpoint);
});

// Faults before MQTT

Deno.test("endpoint can reset at accept, once, and then serve", async () => {
  await using endpoint = await start({ faults: { resetAtAccept: 1 } });
  await assertRejects(() => dial(endpoint));
  assertEquals(endpoint.faults.resetAtAccept, 0);
  using _client = await welcomed(endpoint);
  assertEquals(endpoint.counts.connections, 2);
});

Deno.test("endpoint can accept and stay silent until it is cut", async () => {
  await using endpoint = await start({ faults: { silentAtAccept: true } });
  const attempt = assertRejects(() => dial(endpoint));
  await endpoint.until(() => endpoint.counts.connections === 1);
  endpoint.cut();
  await attempt;
  assertEquals(endpoint.counts.handshakes, 0);
});

Deno.test("endpoint can hang up in the handshake, by RST or FIN, at any byte", async (t) => {
  for (const handshakeEnd of ["rst", "fin"] as const) {
    for (const handshakeBytes of [0, 300]) {
      await t.step(
        `${handshakeEnd} after ${handshakeBytes} bytes`,
        async () => {
          await using endpoint = await start({
            faults: { cutHandshake: 1, handshakeBytes, handshakeEnd },
          });
          await assertRejects(() => dial(endpoint));
          await endpoint.until(() => endpoint.open === 0);
          assertEquals(endpoint.counts.handshakes, 0);
          using _client = await welcomed(endpoint);
        },
      );
    }
  }
});

Deno.test("endpoint can send its handshake and its answers byte by byte", async () => {
  await using endpoint = await start({ faults: { trickle: true } });
  using client = await welcomed(endpoint);
  await client.send(message("a"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
  assertEquals(endpoint.connects[0]?.connection, 1);
});

// MQTT

for (const protocolVersion of [4, 5] as const) {
  const name = protocolVersion === 5 ? "MQTT 5" : "MQTT 3.1.1";

  Deno.test(`endpoint takes and acknowledges messages on ${name}`, async () => {
    await using endpoint = await start();
    using client = await welcomed(endpoint, { protocolVersion });
    await client.send(message("dt/a", { qos: 0, payload: "zero" }));
    await client.send(
      message("dt/b", { payload: "öne", messageId: 9, dup: true }),
    );
    const puback = await client.next();
    assertEquals(typeof puback === "object" && [puback.cmd, puback.messageId], [
      "puback",
      9,
    ]);
    const [zero, one] = await endpoint.waitFor(2);
    assertEquals([zero?.topic, zero?.payload, zero?.qos], ["dt/a", "zero", 0]);
    assertEquals([one?.topic, one?.payload, one?.qos], ["dt/b", "öne", 1]);
    assertEquals([one?.dup, one?.messageId, one?.bytes, one?.clientId], [
      true,
      9,
      4,
      "gw-7",
    ]);
    assertEquals(endpoint.counts.acked, 1);
  });

  Deno.test(`endpoint hands messages to subscribers on ${name}`, async () => {
    await using endpoint = await start();
    using client = await welcomed(endpoint, { protocolVersion });
    const subscriptions = [{ topic: "a/+/c", qos: 1 as const }, {
      topic: "z/#",
      qos: 0 as const,
    }];
    await client.send({ cmd: "subscribe", messageId: 2, subscriptions });
    const suback = await client.next();
    assertEquals(
      typeof suback === "object" && "granted" in suback && suback.granted,
      [1, 0],
    );
    endpoint.publish("a/b/x", "not this");
    endpoint.publish("a/b/c", "this");
    endpoint.publish("z", "and this");
    const first = await client.next() as IPublishPacket;
    const second = await client.next() as IPublishPacket;
    assertEquals([first.topic, String(first.payload), first.qos], [
      "a/b/c",
      "this",
      1,
    ]);
    assertEquals([second.topic, String(second.payload), second.qos], [
      "z",
      "and this",
      0,
    ]);
    await client.send({
      cmd: "unsubscribe",
      messageId: 3,
      unsubscriptions: ["a/+/c"],
    });
    assertEquals(codeOf(await client.next()), ["unsuback", undefined]);
    endpoint.publish("a/b/c", "not any more");
    await client.send({ cmd: "pingreq" });
    assertEquals(codeOf(await client.next()), ["pingresp", undefined]);
    assertEquals(endpoint.counts.pings, 1);
  });

  Deno.test(`endpoint drops the older of two equal client ids on ${name}`, async () => {
    await using endpoint = await start();
    using older = await welcomed(endpoint, { protocolVersion });
    using _newer = await welcomed(endpoint, { protocolVersion });
    if (protocolVersion === 5) {
      assertEquals(codeOf(await older.next()), ["disconnect", 0x8e]);
    }
    assertEquals(await older.next(), "closed");
    await endpoint.until(() => endpoint.closes.length === 1);
    assertEquals(endpoint.closes[0]?.reason, "session taken over");
  });

  Deno.test(`endpoint enforces keep-alive at one and a half times on ${name}`, async () => {
    await using endpoint = await start({ limits: { keepAliveMinS: 1 } });
    using client = await welcomed(endpoint, { protocolVersion, keepalive: 1 });
    const beginMs = performance.now();
    if (protocolVersion === 5) {
      assertEquals(codeOf(await client.next()), ["disconnect", 0x8d]);
    }
    assertEquals(await client.next(), "closed");
    const tookMs = performance.now() - beginMs;
    assert(tookMs > 1_400 && tookMs < 3_000, `took ${tookMs} ms`);
  });

  Deno.test(`endpoint closes on what exceeds AWS's limits on ${name}`, async (t) => {
    await using endpoint = await start();
    const tooMuch: Record<string, [Partial<IPublishPacket>, number]> = {
      "payload of 131073 bytes": [{ payload: "x".repeat(131_073) }, 0x95],
      "topic of 257 bytes": [{ topic: "é".repeat(128) + "x" }, 0x90],
      "topic with 8 slashes": [{ topic: "1/2/3/4/5/6/7/8/9" }, 0x90],
      "topic with a wildcard": [{ topic: "a/+" }, 0x90],
    };
    for (const [what, [packet, code]] of Object.entries(tooMuch)) {
      await t.step(what, async () => {
        using client = await welcomed(endpoint, { protocolVersion });
        await client.send(message("dt", packet));
        if (protocolVersion === 5) {
          assertEquals(codeOf(await client.next()), ["disconnect", code]);
        }
        assertEquals(await client.next(), "closed");
      });
    }
    assertEquals(endpoint.received.length, 0);
    assertEquals(endpoint.counts.refused, 4);
  });

  Deno.test(`endpoint takes what is just within AWS's limits on ${name}`, async () => {
    await using endpoint = await start();
    using client = await welcomed(endpoint, {
      protocolVersion,
      clientId: "c".repeat(128),
    });
    await client.send(
      message("1/2/3/4/5/6/7/8", { payload: "x".repeat(131_072) }),
    );
    await client.send(message("é".repeat(128)));
    await client.send(message("$aws/rules/r/1/2/3/4/5/6/7/8"));
    await endpoint.waitFor(3);
    assertEquals(endpoint.received[0]?.bytes, 131_072);
  });

  Deno.test(`endpoint refuses client ids of 129 bytes on ${name}`, async () => {
    await using endpoint = await start();
    using client = await dialMqtt(endpoint, {
      protocolVersion,
      clientId: "c".repeat(129),
    });
    if (protocolVersion === 5) {
      assertEquals(codeOf(await client.next()), ["connack", 0x85]);
    }
    assertEquals(await client.next(), "closed");
  });

  Deno.test(`endpoint keeps to its policy on ${name}`, async () => {
    const policy = {
      connect: ["gw-7"],
      publish: (_id: string, topic: string) => !topic.startsWith("deny/"),
      subscribe: ["cmd/#"],
    };
    await using endpoint = await start({ policy });
    using stranger = await dialMqtt(endpoint, {
      protocolVersion,
      clientId: "gw-8",
    });
    if (protocolVersion === 5) {
      assertEquals(codeOf(await stranger.next()), ["connack", 0x87]);
    }
    assertEquals(await stranger.next(), "closed");

    using client = await welcomed(endpoint, { protocolVersion });
    const subscriptions = [{ topic: "cmd/x", qos: 1 as const }, {
      topic: "dt/x",
      qos: 1 as const,
    }];
    await client.send({ cmd: "subscribe", messageId: 2, subscriptions });
    const suback = await client.next();
    const refused = protocolVersion === 5 ? 0x87 : 0x80;
    assertEquals(
      typeof suback === "object" && "granted" in suback && suback.granted,
      [1, refused],
    );
    await client.send(message("dt/x"));
    assertEquals((await client.next() as IPublishPacket).cmd, "puback");
    await client.send(message("deny/x"));
    if (protocolVersion === 5) {
      assertEquals(codeOf(await client.next()), ["disconnect", 0x87]);
    }
    assertEquals(await client.next(), "closed");
    assertEquals(endpoint.received.map(({ topic }) => topic), ["dt/x"]);
  });
}

Deno.test("endpoint answers a forbidden PUBLISH with PUBACK 0x87 where told to", async () => {
  await using endpoint = await start({
    policy: { publish: ["dt/#"] },
    refusedPublish: "puback",
  });
  using client = await welcomed(endpoint);
  await client.send(message("deny/x"));
  assertEquals(codeOf(await client.next()), ["puback", 0x87]);
  await client.send(message("dt/x"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
});

Deno.test("endpoint says its limits in an MQTT 5 CONNACK and clamps keep-alive", async () => {
  await using endpoint = await start({ limits: { receiveMaximum: 7 } });
  using client = await dialMqtt(endpoint, { keepalive: 5 });
  const connack = await client.next();
  assert(typeof connack === "object" && connack.cmd === "connack");
  assertEquals(connack.properties?.receiveMaximum, 7);
  assertEquals(connack.properties?.maximumQoS, 1);
  assertEquals(connack.properties?.maximumPacketSize, 149_504);
  assertEquals(connack.properties?.retainAvailable, true);
  assertEquals(connack.properties?.serverKeepAlive, 30);
});

Deno.test("endpoint closes an MQTT 5 connection beyond its receive maximum", async () => {
  await using endpoint = await start({
    limits: { receiveMaximum: 2 },
    faults: { forgetPuback: true },
  });
  using client = await welcomed(endpoint);
  for (const messageId of [1, 2, 3]) {
    await client.send(message("dt", { messageId }));
  }
  assertEquals(codeOf(await client.next()), ["disconnect", 0x93]);
  assertEquals(endpoint.connects[0]?.maxInFlight, 3);
});

Deno.test("endpoint does not do QoS 2", async () => {
  await using endpoint = await start();
  using modern = await welcomed(endpoint, { clientId: "a" });
  await modern.send(message("dt", { qos: 2 }));
  assertEquals(codeOf(await modern.next()), ["disconnect", 0x9b]);
  using old = await welcomed(endpoint, { clientId: "b", protocolVersion: 4 });
  await old.send(message("dt", { qos: 2 }));
  await old.send({ cmd: "pingreq" });
  assertEquals(codeOf(await old.next()), ["pingresp", undefined]);
  assertEquals(endpoint.received.length, 0);
});

Deno.test("endpoint understands topic aliases and hands out retained messages", async () => {
  await using endpoint = await start();
  using client = await welcomed(endpoint);
  const properties = { topicAlias: 3 };
  await client.send(message("dt/long", { properties, retain: true }));
  await client.send(message("", { properties, messageId: 2 }));
  await endpoint.waitFor(2);
  assertEquals(endpoint.received.map(({ topic }) => topic), [
    "dt/long",
    "dt/long",
  ]);
  using reader = await welcomed(endpoint, { clientId: "reader" });
  const subscriptions = [{ topic: "dt/+", qos: 1 as const }];
  await reader.send({ cmd: "subscribe", messageId: 1, subscriptions });
  assertEquals(codeOf(await reader.next()), ["suback", undefined]);
  assertEquals((await reader.next() as IPublishPacket).retain, true);
});

Deno.test("endpoint tells a DISCONNECT from a lost connection", async () => {
  await using endpoint = await start();
  using polite = await welcomed(endpoint, { clientId: "polite" });
  await polite.send({ cmd: "disconnect", reasonCode: 0 });
  assertEquals(await polite.next(), "closed");
  {
    using _rude = await welcomed(endpoint, { clientId: "rude" });
  }
  await endpoint.until(() => endpoint.closes.length === 2);
  assertEquals(endpoint.closes.map(({ clientId, by }) => [clientId, by]), [
    ["polite", "client"],
    ["rude", "network"],
  ]);
});

Deno.test("endpoint hangs up on bytes that are not MQTT, and on huge packets", async () => {
  await using endpoint = await start();
  using noise = await welcomed(endpoint, { clientId: "noise" });
  await noise.sendBytes(GARBAGE);
  assertEquals(codeOf(await noise.next()), ["disconnect", 0x81]);
  using huge = await welcomed(endpoint, { clientId: "huge" });
  await huge.sendBytes(HUGE_LENGTH);
  await huge.sendBytes(new Uint8Array(150_000));
  assertEquals(codeOf(await huge.next()), ["disconnect", 0x95]);
});

// Faults of MQTT

Deno.test("endpoint can leave the next CONNECTs unanswered", async () => {
  await using endpoint = await start({ faults: { noConnack: 2 } });
  using first = await dialMqtt(endpoint, { clientId: "a" });
  using second = await dialMqtt(endpoint, { clientId: "b" });
  await endpoint.until(() => endpoint.connects.length === 2);
  using _third = await welcomed(endpoint, { clientId: "c" });
  assertEquals(endpoint.connects.length, 3);
  endpoint.cut("fin");
  assert(typeof await first.next() === "string");
  assert(typeof await second.next() === "string");
});

Deno.test("endpoint can refuse CONNECT with a code, and leave the socket open", async (t) => {
  for (const protocolVersion of [4, 5] as const) {
    for (const keepRefusedOpen of [false, true]) {
      await t.step(
        `version ${protocolVersion}, open ${keepRefusedOpen}`,
        async () => {
          const connackCode = protocolVersion === 5 ? 0x97 : 200;
          const faults = { refuseConnect: true, connackCode, keepRefusedOpen };
          await using endpoint = await start({ faults });
          using client = await dialMqtt(endpoint, { protocolVersion });
          assertEquals(codeOf(await client.next()), ["connack", connackCode]);
          if (keepRefusedOpen) endpoint.send(Uint8Array.of(0xd0, 0));
          const then = await client.next();
          assertEquals(
            codeOf(then),
            keepRefusedOpen ? ["pingresp", undefined] : "closed",
          );
        },
      );
    }
  }
});

Deno.test("endpoint can hang up at CONNECT, after CONNACK, and at the nth PUBLISH", async () => {
  await using endpoint = await start({ faults: { closeAtConnect: 1 } });
  using first = await dialMqtt(endpoint);
  assertEquals(await first.next(), "closed");
  endpoint.faults.closeAfterConnack = 1;
  endpoint.faults.closeAfterConnackMs = 20;
  using second = await welcomed(endpoint);
  assertEquals(await second.next(), "closed");
  endpoint.faults.closeAfterPublishes = 2;
  using third = await welcomed(endpoint);
  await third.send(message("dt/1"));
  await third.send(message("dt/2", { messageId: 2 }));
  const acked = await third.next();
  // Both may come in one turn; the second one never has a PUBACK.
  if (acked !== "closed") {
    assertEquals(typeof acked === "object" && acked.messageId, 1);
    assertEquals(await third.next(), "closed");
  }
  assertEquals(endpoint.received.length, 2);
});

Deno.test("endpoint can hang up on topics of one's choice", async () => {
  await using endpoint = await start();
  endpoint.faults.closeAtPublish = ({ topic, payload }) => topic === "bad" && payload === "hello";
  using client = await welcomed(endpoint);
  await client.send(message("good"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
  await client.send(message("bad"));
  assertEquals(await client.next(), "closed");
  assertEquals(endpoint.received.map(({ topic }) => topic), ["good"]);
});

Deno.test("endpoint can forget PUBACKs: all, the next ones, or some", async () => {
  await using endpoint = await start({ faults: { forgetPuback: 1 } });
  using client = await welcomed(endpoint);
  await client.send(message("a", { messageId: 1 }));
  await client.send(message("b", { messageId: 2 }));
  const first = await client.next();
  assertEquals(typeof first === "object" && first.messageId, 2);
  endpoint.faults.forgetPuback = ({ topic }) => topic === "c";
  await client.send(message("c", { messageId: 3 }));
  await client.send(message("d", { messageId: 4 }));
  const second = await client.next();
  assertEquals(typeof second === "object" && second.messageId, 4);
  assertEquals(endpoint.received.length, 4);
  assertEquals(endpoint.counts.acked, 2);
  assertEquals(endpoint.connects[0]?.maxInFlight, 3);
});

Deno.test("endpoint can answer PUBLISH with a reason code", async () => {
  await using endpoint = await start({
    faults: { refusePublish: 1, pubackCode: 0x90 },
  });
  using client = await welcomed(endpoint);
  await client.send(message("a"));
  assertEquals(codeOf(await client.next()), ["puback", 0x90]);
  await client.send(message("a"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
  assertEquals(endpoint.received.length, 1);
});

Deno.test("endpoint can delay PUBACKs", async () => {
  await using endpoint = await start({ faults: { pubackDelayMs: 50 } });
  using client = await welcomed(endpoint);
  const beginMs = performance.now();
  await client.send(message("a"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
  assert(performance.now() - beginMs >= 49);
});

Deno.test("endpoint can discard what exceeds a rate, without PUBACK", async () => {
  let nowMs = 0;
  await using endpoint = await start({
    faults: { publishesPerS: 2 },
    now: () => nowMs,
  });
  using client = await welcomed(endpoint);
  for (const messageId of [1, 2, 3]) {
    await client.send(message("a", { messageId }));
  }
  await endpoint.until(() => endpoint.counts.discarded === 1);
  nowMs = 1_000;
  await client.send(message("a", { messageId: 4 }));
  const ids = [];
  for (let i = 0; i < 3; i++) {
    const packet = await client.next();
    ids.push(typeof packet === "object" && packet.messageId);
  }
  assertEquals(ids, [1, 2, 4]);
});

Deno.test("endpoint can send DISCONNECT and leave the socket open", async () => {
  await using endpoint = await start();
  using client = await welcomed(endpoint);
  endpoint.disconnect(0x8b);
  assertEquals(codeOf(await client.next()), ["disconnect", 0x8b]);
  await client.send({ cmd: "pingreq" });
  assertEquals(codeOf(await client.next()), ["pingresp", undefined]);
});

Deno.test("endpoint can say what no server should", async () => {
  await using endpoint = await start({
    faults: {
      rawAtConnect: 1,
      publishBeforeConnack: 1,
      secondConnack: 1,
      strayPuback: 1,
    },
  });
  using garbled = await dialMqtt(endpoint, { clientId: "a" });
  assertEquals(await garbled.next(), "error");
  using client = await dialMqtt(endpoint, { clientId: "b" });
  assertEquals(codeOf(await client.next()), ["publish", undefined]);
  assertEquals(codeOf(await client.next()), ["connack", 0]);
  assertEquals(codeOf(await client.next()), ["connack", 0]);
  const puback = await client.next();
  assertEquals(typeof puback === "object" && puback.messageId, 0xffff);
  endpoint.send(GARBAGE);
  assertEquals(await client.next(), "error");
});

Deno.test("endpoint can stop answering PINGREQ", async () => {
  await using endpoint = await start({ faults: { noPingresp: 1 } });
  using client = await welcomed(endpoint);
  await client.send({ cmd: "pingreq" });
  await endpoint.until(() => endpoint.counts.pings === 1);
  await client.send(message("a"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
});

Deno.test("endpoint can stop answering SUBSCRIBE", async () => {
  await using endpoint = await start({ faults: { noSuback: 1 } });
  using client = await welcomed(endpoint);
  const subscriptions = [{ topic: "a", qos: 1 as const }];
  await client.send({ cmd: "subscribe", messageId: 1, subscriptions });
  await client.send({ cmd: "subscribe", messageId: 2, subscriptions });
  assertEquals((await client.next() as { messageId?: number }).messageId, 2);
  assertEquals(endpoint.counts.subscribes, 2);
});

Deno.test("endpoint counts the PUBACKs of its clients", async () => {
  await using endpoint = await start();
  using client = await welcomed(endpoint);
  const subscriptions = [{ topic: "a", qos: 1 as const }];
  await client.send({ cmd: "subscribe", messageId: 1, subscriptions });
  await client.next();
  endpoint.publish("a", "hello");
  const { messageId } = await client.next() as IPublishPacket;
  await client.send({ cmd: "puback", messageId: messageId! });
  await endpoint.until(() => endpoint.counts.pubacks === 1);
});

Deno.test("endpoint listens on the address it was told", async () => {
  await using endpoint = await start({ address: "127.0.0.2" });
  const { port } = endpoint;
  (await Deno.connect({ hostname: "127.0.0.2", port })).close();
  await assertRejects(() => Deno.connect({ hostname: "127.0.0.1", port }));
});

Deno.test("endpoint can freeze connections as a dead link does", async () => {
  await using endpoint = await start();
  using frozen = await welcomed(endpoint, { clientId: "a" });
  endpoint.freeze();
  await frozen.send(message("a"));
  using _other = await welcomed(endpoint, { clientId: "b" });
  assertEquals(endpoint.received.length, 0);
  assertEquals(endpoint.open, 2);
});

Deno.test("endpoint gets on with MQTT.js", async (t) => {
  for (const protocolVersion of [4, 5] as const) {
    await t.step(`version ${protocolVersion}`, async () => {
      await using endpoint = await start();
      const { device, ca } = endpoint.certificates;
      const client = await mqtt.connectAsync(
        `mqtts://localhost:${endpoint.port}`,
        {
          ...device,
          ca,
          ALPNProtocols: ["x-amzn-mqtt-ca"],
          protocolVersion,
          clientId: "gw-7",
          reconnectPeriod: 0,
        },
      );
      const arrived = Promise.withResolvers<string>();
      client.on(
        "message",
        (topic, payload) => arrived.resolve(`${topic}=${payload}`),
      );
      await client.subscribeAsync("dt/#", { qos: 1 });
      await client.publishAsync("dt/x", "hello", { qos: 1 });
      assertEquals(await arrived.promise, "dt/x=hello");
      await client.endAsync();
      assertEquals(endpoint.closes[0]?.by, "client");
    });
  }
});

// Life cycle and observation

Deno.test("endpoint cuts, closes its port and comes back on the same one", async () => {
  await using endpoint = await start();
  using client = await welcomed(endpoint);
  endpoint.pause();
  await assertRejects(() => dial(endpoint), Deno.errors.ConnectionRefused);
  await client.send(message("a"));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
  endpoint.cut();
  assertEquals(await client.next(), "error");
  await endpoint.resume();
  using _again = await welcomed(endpoint);
  await endpoint.until(() => endpoint.open === 1);
});

Deno.test("endpoint that is closed has no port and no connections", async () => {
  const endpoint = await start({ faults: { pubackDelayMs: 60_000 } });
  using client = await welcomed(endpoint);
  await client.send(message("a"));
  await endpoint.waitFor(1);
  await endpoint.close();
  assert(typeof await client.next() === "string");
  assertEquals(endpoint.open, 0);
  await assertRejects(() => dial(endpoint), Deno.errors.ConnectionRefused);
});

Deno.test("endpoint says what it saw when a wait ends in vain", async () => {
  const endpoint = await start();
  using _client = await welcomed(endpoint);
  const error = await assertRejects(
    () => endpoint.waitFor(3, { deadlineMs: 30 }),
    Error,
  );
  assertMatch(
    error.message,
    /Waited 30 ms for 3 messages in vain: 1 connections.*0 messages/,
  );
  const waiting = assertRejects(
    () => endpoint.until(() => false),
    Error,
    "was closed",
  );
  await endpoint.close();
  await waiting;
});

Deno.test("endpoint keeps only counters when told to, and still shows each message", async () => {
  const topics: string[] = [];
  await using endpoint = await start({
    keep: "counts",
    onMessage: ({ topic, payload }) => topics.push(`${topic}=${payload}`),
  });
  using client = await welcomed(endpoint);
  await client.send(message("a"));
  await endpoint.waitFor(1);
  assertEquals(endpoint.received, []);
  assertEquals(endpoint.counts.receivedBytes, 5);
  assertEquals(topics, ["a=hello"]);
});

Deno.test("endpoint refuses a port in use", async () => {
  await using endpoint = await start();
  const error = await assertRejects(() => start({ port: endpoint.port }));
  assertEquals((error as { code?: string }).code, "EADDRINUSE");
});

// Certificates

Deno.test("formatKey writes the same key in every format", async () => {
  const ec = pki.device.key;
  const rsa = (await pki.authority.issue("rsa", { keyType: "rsa" })).key;
  assertMatch(formatKey(ec, "pkcs8"), /BEGIN PRIVATE KEY/);
  assertMatch(formatKey(ec, "sec1"), /BEGIN EC PRIVATE KEY/);
  assertMatch(formatKey(rsa, "pkcs1"), /BEGIN RSA PRIVATE KEY/);
  const encrypted = formatKey(ec, "encrypted", "secret");
  assertMatch(encrypted, /BEGIN ENCRYPTED PRIVATE KEY/);
  const opened = createPrivateKey({ key: encrypted, passphrase: "secret" });
  assertEquals(
    opened.export({ type: "pkcs8", format: "pem" }).toString().trim(),
    ec.trim(),
  );
});

Deno.test("makePki issues RSA certificates that work", async () => {
  const certificates = await makePki({ device: "gw-rsa", keyType: "rsa" });
  await using endpoint = await startEndpoint({ certificates });
  using _client = await welcomed(endpoint);
  assertEquals(endpoint.connects[0]?.certName, "gw-rsa");
});

Deno.test("writeCerts uses the names of the AWS console and safe modes", async () => {
  const dir = `${await Deno.makeTempDir()}/certs`;
  try {
    const { cert, key, ca } = await writeCerts(dir, pki);
    assertMatch(cert, /\/[0-9a-f]{64}-certificate\.pem\.crt$/);
    assertMatch(key, /\/[0-9a-f]{64}-private\.pem\.key$/);
    assertMatch(ca, /\/AmazonRootCA1\.pem$/);
    assertEquals((await Deno.stat(dir)).mode! & 0o777, 0o700);
    assertEquals((await Deno.stat(key)).mode! & 0o777, 0o600);
    const device = new X509Certificate(await Deno.readTextFile(cert));
    assert(
      device.checkPrivateKey(createPrivateKey(await Deno.readTextFile(key))),
    );
    const { authority: _, ...certificates } = pki;
    assertEquals(await readCerts(dir), certificates);
    await Deno.remove(key);
    await assertRejects(() => readCerts(dir), Error, "5 files are wanted");
  } finally {
    await Deno.remove(dir.replace(/\/certs$/, ""), { recursive: true });
  }
});

// The command

/** A world for one run of the command, with what it wrote. */
function makeWorld() {
  const ended = new AbortController();
  const ready = Promise.withResolvers<void>();
  const printed = Promise.withResolvers<void>();
  const out: string[] = [];
  const err: string[] = [];
  const world: CommandWorld = {
    stdout: (text) => {
      out.push(text);
      printed.resolve();
    },
    stderr: (text) => {
      err.push(text);
      ready.resolve();
    },
    signal: ended.signal,
  };
  return {
    world,
    out,
    err,
    ready: ready.promise,
    printed: printed.promise,
    end: () => ended.abort(),
  };
}

Deno.test("endpoint command prints each message as a JSON line and keeps its certificates", async () => {
  const dir = await Deno.makeTempDir();
  try {
    for (const round of [1, 2]) {
      const { world, out, err, ready, printed, end } = makeWorld();
      const exit = runEndpoint(["--port", "0", "--dir", dir], world);
      await ready;
      const port = Number(/127\.0\.0\.1:(\d+)/.exec(err.join(""))?.[1]);
      assertMatch(err.join(""), new RegExp(`--port ${port} --certs ${dir} `));
      const certificates = await readCerts(dir);
      assert(certificates !== undefined);
      using client = await dialMqtt({ port, certificates });
      await client.next();
      await client.send(message("dt/x", { payload: `round "${round}"` }));
      await printed;
      const { time, ...rest } = JSON.parse(out.join(""));
      assertEquals(rest, {
        clientId: "gw-7",
        topic: "dt/x",
        qos: 1,
        payload: `round "${round}"`,
      });
      assertMatch(time, /^\d{4}-.*Z$/);
      end();
      assertEquals(await exit, 0);
      assert((await Deno.stat(certPaths(dir, certificates).key)).isFile);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("endpoint command removes the folder it made for itself", async () => {
  const { world, err, ready, end } = makeWorld();
  const exit = runEndpoint(["--port=0"], world);
  await ready;
  const dir = /--certs (\S+)/.exec(err.join(""))?.[1] ?? "";
  assert((await Deno.stat(dir)).isDirectory);
  end();
  assertEquals(await exit, 0);
  await assertRejects(() => Deno.stat(dir), Deno.errors.NotFound);
});

Deno.test("endpoint command refuses what it does not understand", async (t) => {
  await using endpoint = await start();
  const cases: [string[], number, RegExp][] = [
    [["--prot", "1"], 64, /Cannot understand "--prot"/],
    [["8443"], 64, /Cannot understand "8443"/],
    [["--port", "seven"], 64, /from 0 to 65535: current value is "seven"/],
    [["--port="], 64, /from 0 to 65535/],
    [["--dir="], 64, /a folder is required/],
    [["--port", String(endpoint.port)], 69, /port in use\nhint: pass --port 0/],
  ];
  for (const [args, code, said] of cases) {
    await t.step(args.join(" "), async () => {
      const { world, out, err } = makeWorld();
      assertEquals(await runEndpoint(args, world), code);
      assertMatch(err.join(""), said);
      assertEquals(out, []);
    });
  }
});

Deno.test("endpoint command shows its help on stdout", async () => {
  const { world, out, err } = makeWorld();
  assertEquals(await runEndpoint(["--help"], world), 0);
  assertMatch(out.join(""), /Usage: deno task endpoint/);
  assertEquals(err, []);
});
