/** What the other side says and grants: every reason code, its words, its limits, and the end of a session. */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import { Buffer } from "node:buffer";
import mqtt from "mqtt-packet";
import type { UserError } from "../../lib/core/errors.ts";
import { explainSilence } from "../../lib/connection/explain_mqtt.ts";
import { publishBytes } from "../../lib/connection/packet.ts";
import { KNOWN_REASONS } from "../../lib/connection/reason_codes.ts";
import type { Connection } from "../../lib/connection/types.ts";
import { AWS_ALPN, makePki, startEndpoint } from "../../tools/endpoint/mod.ts";
import { connectTo, failureOf, reasonOf, start } from "../support/connecting.ts";
import { startScriptedBroker } from "../support/scripted_broker.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();
const VERSIONS = ["5", "3.1.1"] as const;

function refusalOf(connection: Connection, payload = "x"): Promise<UserError | undefined> {
  const { promise, resolve } = Promise.withResolvers<UserError | undefined>();
  connection.publish({ topic: "dt/a", payload, qos: 1 }, resolve);
  return promise;
}

function connectToPort(port: number, more: Parameters<typeof connectTo>[1] = {}) {
  return connectTo({ port, certificates: pki } as never, more);
}

for (const mqttVersion of VERSIONS) {
  Deno.test(`every code of CONNACK, known or not, ends the attempt with its name, MQTT ${mqttVersion} (D8)`, async () => {
    await using endpoint = await startEndpoint({ certificates: pki });
    const codes = mqttVersion === "5"
      ? [...KNOWN_REASONS["5"].filter((code) => code >= 0x80), 0xc8]
      : [...KNOWN_REASONS["3.1.1"], 9];
    for (const code of codes) {
      Object.assign(endpoint.faults, { refuseConnect: 1, connackCode: code });
      const error = await failureOf(connectTo(endpoint, { mqttVersion }));
      assertEquals([error.code, error.reason], ["connack-refused", code]);
      assert(error.hint.length > 10 && [69, 77].includes(error.exitCode), error.hint);
    }
  });
}

Deno.test("every code of PUBACK, mosquitto's 0x95 too, refuses its message and leaves the session open (D8)", async () => {
  await using endpoint = await startEndpoint({ certificates: pki });
  const connection = await connectTo(endpoint);
  endpoint.faults.refusePublish = true;
  for (const code of [...KNOWN_REASONS["5"].filter((code) => code >= 0x80), 0xc8]) {
    endpoint.faults.pubackCode = code;
    const refused = await refusalOf(connection);
    assertEquals([refused?.code, refused?.reason], ["puback-refused", code]);
    assert(refused!.hint.length > 10);
  }
  endpoint.faults.refusePublish = false;
  assertEquals(await refusalOf(connection), undefined);
  assertEquals(endpoint.connects.length, 1);
  await connection.end();
});

Deno.test("every code of DISCONNECT ends the session with its name and the server's words (D8, D9)", async () => {
  for (const reasonCode of [...KNOWN_REASONS["5"].filter((code) => code >= 0x80), 0xc8]) {
    await using broker = await startScriptedBroker(pki, (packet, send) => {
      const properties = { reasonString: "why not", serverReference: "b.example" };
      if (packet.cmd === "publish") send({ cmd: "disconnect", reasonCode, properties });
    });
    const connection = await connectToPort(broker.port);
    void refusalOf(connection);
    const reason = await reasonOf(connection);
    assertEquals([reason.code, reason.reason], ["disconnected", reasonCode]);
    assertEquals(reason.said, "why not; server reference: b.example");
  }
});

Deno.test("every code of SUBACK that refuses is named, with the server's words (D8, D9)", async () => {
  for (const code of [0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2, 0xc8]) {
    await using broker = await startScriptedBroker(pki, (packet, send) => {
      if (packet.cmd !== "subscribe") return;
      const { messageId } = packet;
      send({
        cmd: "suback",
        messageId: messageId!,
        granted: [code],
        properties: { reasonString: "no" },
      });
    });
    const connection = await connectToPort(broker.port);
    const error = await connection.subscribe("a/#", () => {}).catch((error) => error) as UserError;
    assertEquals([error.code, error.reason, error.said], ["suback-refused", code, "no"]);
    connection.abort();
    await connection.closed;
  }
});

Deno.test("the words of a PUBACK come with the refused message, and are cut (D9)", async () => {
  await using broker = await startScriptedBroker(pki, (packet, send) => {
    if (packet.cmd !== "publish") return;
    const properties = { reasonString: "x".repeat(500) };
    send({ cmd: "puback", messageId: packet.messageId!, reasonCode: 0x87, properties });
  });
  const connection = await connectToPort(broker.port);
  const refused = await refusalOf(connection);
  assertEquals(refused?.said?.length, 161);
  await connection.end();
});

Deno.test("a message is held against Maximum Packet Size by its packet's own bytes (D7)", async () => {
  for (const version of VERSIONS) {
    for (const payload of ["", "x".repeat(100), "x".repeat(117), "é".repeat(9000)]) {
      const message = { topic: "dt/ä", payload, qos: 1 } as const;
      const bytes = mqtt.generate({
        cmd: "publish",
        messageId: 1,
        dup: false,
        retain: false,
        ...message,
      }, {
        protocolVersion: version === "5" ? 5 : 4,
      });
      assertEquals(publishBytes(message, version), bytes.length);
    }
  }
  const most = publishBytes({ topic: "dt/a", payload: "x".repeat(60), qos: 1 }, "5");
  await using endpoint = await startEndpoint({
    certificates: pki,
    limits: { maximumPacketSize: most },
  });
  const connection = await connectTo(endpoint);
  assertEquals(await refusalOf(connection, "x".repeat(60)), undefined);
  const refused = await refusalOf(connection, "x".repeat(61));
  assertEquals(refused?.code, "packet-too-large");
  assertMatch(refused!.message, new RegExp(`its packet has ${most + 1} bytes.* at most ${most} `));
  assertNotMatch(refused!.message, /PUBACK/);
  await connection.end();
});

/** A server that answers CONNECT with these bytes, and says what it is told. */
async function raw(connack: Uint8Array) {
  const heard: Buffer[] = [];
  let end = "";
  const options = { ...pki.server, ca: pki.ca, requestCert: true, ALPNProtocols: [AWS_ALPN] };
  const sockets = new Set<TLSSocket>();
  const server = tls.createServer(options, (socket) => {
    sockets.add(socket);
    socket.once("data", () => socket.write(connack));
    socket.on("data", (bytes: Buffer) => heard.push(bytes));
    // Told by close_notify alone: without it node:tls says nothing but close.
    socket.on("end", () => end = "close_notify");
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    heard: () => [...Buffer.concat(heard)],
    end: () => end,
    until: async () => {
      while (sockets.size > 0) await once([...sockets][0]!, "close");
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const CONNACK = Uint8Array.of(0x20, 3, 0, 0, 0);

Deno.test("Receive Maximum twice in CONNACK, or Session Present after a clean start, ends the attempt and is named (D22)", async () => {
  const wrong = {
    "Receive Maximum twice in CONNACK": [0x20, 9, 0, 0, 6, 0x21, 0, 10, 0x21, 0, 10],
    "Session Present in CONNACK after a clean start": [0x20, 3, 1, 0, 0],
    "Maximum Packet Size 0 in CONNACK": [0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 0],
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    await using server = await raw(Uint8Array.from(bytes));
    const error = await failureOf(connectToPort(server.port));
    assertEquals(error.code, "not-mqtt");
    assert(error.message.includes(what), error.message);
  }
});

Deno.test("a server with Maximum QoS 0 is told of at the first message with QoS 1 (D6)", async () => {
  await using server = await raw(Uint8Array.from([0x20, 5, 0, 0, 2, 0x24, 0]));
  const connection = await connectToPort(server.port);
  assertEquals(connection.facts.limits.maximumQos, 0);
  void refusalOf(connection);
  const reason = await reasonOf(connection);
  assertEquals([reason.code, reason.exitCode], ["qos-not-supported", 77]);
  assertMatch(reason.hint, /--qos 0/);
});

Deno.test("the longest packet that is taken is announced in CONNECT (D21)", async () => {
  await using server = await raw(CONNACK);
  const connection = await connectToPort(server.port);
  await connection.end();
  // Maximum Packet Size, property 0x27, of 256 KiB.
  assert(server.heard().join().includes("39,0,4,0,0"), server.heard().join());
});

Deno.test("a session ends with DISCONNECT and close_notify, also with PUBACKs outstanding (D23)", async () => {
  for (const messages of [0, 3]) {
    await using server = await raw(CONNACK);
    const connection = await connectToPort(server.port);
    for (let i = 0; i < messages; i++) void refusalOf(connection);
    await connection.end();
    await server.until();
    assertEquals(server.heard().slice(-2), [0xe0, 0], `${messages} outstanding`);
    assertEquals(server.end(), "close_notify");
  }
});

Deno.test("a hang-up after PUBACKs blames no policy, and says what was done (D15)", async () => {
  await using broker = await startScriptedBroker(pki, (packet, send) => {
    if (packet.cmd === "publish") {
      send({ cmd: "puback", messageId: packet.messageId!, reasonCode: 0 });
    }
  });
  const connection = await connectToPort(broker.port);
  await refusalOf(connection);
  await refusalOf(connection);
  await broker[Symbol.asyncDispose]();
  const reason = await reasonOf(connection);
  assertEquals(reason.code, "session-hung-up");
  assertMatch(reason.message, /in which it acknowledged 2 messages$/);
  assertNotMatch(reason.hint, /policy|iot:Publish/);
});

Deno.test("silence after PUBACKs at a steady rate names --max-rate, and other silence does not (D14)", () => {
  const target = {
    endpoint: "iot.example",
    port: 443,
    alpn: undefined,
    clientId: "a",
    tlsMin: "1.2",
    caFiles: [],
  } as const;
  const limited = explainSilence("PUBACK", 20_000, target, {
    sent: 1500,
    acknowledged: 1000,
    ms: 30_000,
  });
  assertMatch(limited.message, /after 1000 PUBACKs at 100 a second/);
  assertMatch(limited.hint, /--max-rate 90\b/);
  const dead = explainSilence("PUBACK", 20_000, target, { sent: 20, acknowledged: 3, ms: 30_000 });
  assertNotMatch(dead.hint, /--max-rate/);
});

Deno.test("AWS behind a custom domain is known by what it grants (D14)", async () => {
  await using endpoint = await start({
    certificates: pki,
    limits: { maximumPacketSize: 149_504 },
  });
  const aws = await connectTo(endpoint);
  assertEquals(aws.facts.isAws, true);
  await aws.end();
  await using other = await start({ certificates: pki });
  const broker = await connectTo(other);
  assertEquals(broker.facts.isAws, false);
  await broker.end();
});
