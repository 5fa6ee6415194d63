/**
 * The stand-in for AWS IoT Core refuses what AWS refuses, and is seen to. That it takes what it should, and plays its
 * faults, is seen in the program's own tests, which would fail without.
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import mqtt from "mqtt";
import type { IPublishPacket } from "mqtt-packet";
import {
  certPaths,
  type Endpoint,
  type EndpointOptions,
  makeAuthority,
  makePki,
  readCerts,
  startEndpoint,
  writeCerts,
} from "../../tools/endpoint/mod.ts";
import { inFolder } from "../support/command_line.ts";
import { dial, dialMqtt, type RawClient } from "../support/raw_client.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();

function start(options: EndpointOptions = {}): Promise<Endpoint> {
  return startEndpoint({ certificates: pki, ...options });
}

function message(topic: string, more: Partial<IPublishPacket> = {}): IPublishPacket {
  const flags = { qos: 1, dup: false, retain: false, messageId: 1 } as const;
  return { cmd: "publish", topic, payload: "hello", ...flags, ...more };
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
  const { reasonCode, returnCode } = packet as { reasonCode?: number; returnCode?: number };
  return [packet.cmd, reasonCode ?? returnCode];
}

// TLS

Deno.test("endpoint completes mutual TLS and records what the client showed", async () => {
  await using endpoint = await start();
  using _client = await welcomed(endpoint, { keepalive: 77, clean: false });
  const { alpn, serverName, tls, certName, keepAliveS, clean, protocolVersion } = endpoint
    .connects[0]!;
  assertEquals([alpn, serverName, tls, certName], [
    ...["x-amzn-mqtt-ca", "localhost", "TLSv1.3", "gw-7"],
  ]);
  assertEquals([keepAliveS, clean, protocolVersion], [77, false, 5]);
});

const other = await makeAuthority();
const STRANGERS: Record<string, readonly [EndpointOptions, Parameters<typeof dialMqtt>[2]?]> = {
  "without a certificate": [{}, { device: null }],
  "with a certificate of another CA": [{ clientCa: other.cert }],
  "with a certificate that it does not know": [{ clientCert: "closes-after-finished" }],
  "that offers no ALPN": [{}, { alpn: [] }],
  "that offers another protocol": [{}, { alpn: ["mqtt"] }],
  "that offers AWS's protocol where another is wanted": [{ alpn: "mqtt" }],
};

for (const [who, [options, client]] of Object.entries(STRANGERS)) {
  Deno.test(`endpoint sends away a client ${who}`, async () => {
    await using endpoint = await start(options);
    const dialled = await dialMqtt(endpoint, {}, client).catch((error) => error);
    if (!(dialled instanceof Error)) {
      using stranger = dialled;
      assert(["closed", "error"].includes(await stranger.next() as string));
    }
    await endpoint.until(() => endpoint.tlsErrors.length + endpoint.closes.length === 1);
    assertEquals(endpoint.connects, []);
  });
}

// MQTT

for (const protocolVersion of [4, 5] as const) {
  const name = protocolVersion === 5 ? "MQTT 5" : "MQTT 3.1.1";
  const isV5 = protocolVersion === 5;

  /** That the client's session is ended: on MQTT 5 with this reason. */
  const assertEnded = async (client: RawClient, code: number, cmd = "disconnect") => {
    if (isV5) assertEquals(codeOf(await client.next()), [cmd, code]);
    assertEquals(await client.next(), "closed");
  };

  Deno.test(`endpoint drops the older of two equal client ids on ${name}`, async () => {
    await using endpoint = await start();
    using older = await welcomed(endpoint, { protocolVersion });
    using _newer = await welcomed(endpoint, { protocolVersion });
    await assertEnded(older, 0x8e);
  });

  Deno.test(`endpoint enforces keep-alive on ${name}`, async () => {
    await using endpoint = await start({ limits: { keepAliveMinS: 1 } });
    using client = await welcomed(endpoint, { protocolVersion, keepalive: 1 });
    await assertEnded(client, 0x8d);
  });

  Deno.test(`endpoint closes on what exceeds AWS's limits on ${name}`, async () => {
    await using endpoint = await start();
    const tooMuch: [Partial<IPublishPacket>, number][] = [
      [{ payload: "x".repeat(131_073) }, 0x95],
      [{ topic: "é".repeat(128) + "x" }, 0x90],
      [{ topic: "1/2/3/4/5/6/7/8/9" }, 0x90],
      [{ topic: "a/+" }, 0x90],
    ];
    for (const [packet, code] of tooMuch) {
      using client = await welcomed(endpoint, { protocolVersion });
      await client.send(message("dt", packet));
      await assertEnded(client, code);
    }
    using long = await dialMqtt(endpoint, { protocolVersion, clientId: "c".repeat(129) });
    await assertEnded(long, 0x85, "connack");
    assertEquals(endpoint.received.length, 0);
  });

  Deno.test(`endpoint takes what is just within AWS's limits on ${name}`, async () => {
    await using endpoint = await start();
    using client = await welcomed(endpoint, { protocolVersion, clientId: "c".repeat(128) });
    await client.send(message("1/2/3/4/5/6/7/8", { payload: "x".repeat(131_072) }));
    await client.send(message("é".repeat(128)));
    await client.send(message("$aws/rules/r/1/2/3/4/5/6/7/8"));
    await endpoint.waitFor(3);
  });

  Deno.test(`endpoint keeps to its policy on ${name}`, async () => {
    const publish = (_id: string, topic: string) => !topic.startsWith("deny/");
    await using endpoint = await start({
      policy: { connect: ["gw-7"], publish, subscribe: ["cmd/#"] },
    });
    using stranger = await dialMqtt(endpoint, { protocolVersion, clientId: "gw-8" });
    await assertEnded(stranger, 0x87, "connack");
    using client = await welcomed(endpoint, { protocolVersion });
    const subscriptions = ["cmd/x", "dt/x"].map((topic) => ({ topic, qos: 1 as const }));
    await client.send({ cmd: "subscribe", messageId: 2, subscriptions });
    const suback = await client.next() as { granted?: unknown };
    assertEquals(suback.granted, [1, isV5 ? 0x87 : 0x80]);
    await client.send(message("deny/x"));
    await assertEnded(client, 0x87);
    assertEquals(endpoint.received, []);
  });

  Deno.test(`endpoint gets on with MQTT.js on ${name}`, async () => {
    await using endpoint = await start();
    const { device, ca } = endpoint.certificates;
    const client = await mqtt.connectAsync(`mqtts://localhost:${endpoint.port}`, {
      ...{ ...device, ca, protocolVersion },
      ...{ ALPNProtocols: ["x-amzn-mqtt-ca"], clientId: "gw-7", reconnectPeriod: 0 },
    });
    const arrived = Promise.withResolvers<string>();
    client.on("message", (topic, payload) => arrived.resolve(`${topic}=${payload}`));
    await client.subscribeAsync("dt/#", { qos: 1 });
    await client.publishAsync("dt/x", "hello", { qos: 1 });
    assertEquals(await arrived.promise, "dt/x=hello");
    await client.endAsync();
    assertEquals(endpoint.closes[0]?.by, "client");
  });
}

Deno.test("endpoint says its limits in an MQTT 5 CONNACK and closes beyond its receive maximum", async () => {
  const limits = { receiveMaximum: 2 };
  await using endpoint = await start({ limits, faults: { forgetPuback: true } });
  using client = await dialMqtt(endpoint, { keepalive: 5 });
  const connack = await client.next();
  assert(typeof connack === "object" && connack.cmd === "connack");
  const { receiveMaximum, maximumQoS, maximumPacketSize, serverKeepAlive } = connack.properties!;
  assertEquals([receiveMaximum, maximumQoS, maximumPacketSize, serverKeepAlive], [
    ...[2, 1, 150_000, 30],
  ]);
  for (const messageId of [1, 2, 3]) await client.send(message("dt", { messageId }));
  assertEquals(codeOf(await client.next()), ["disconnect", 0x93]);
});

Deno.test("endpoint does not do QoS 2", async () => {
  await using endpoint = await start();
  using client = await welcomed(endpoint);
  await client.send(message("dt", { qos: 2 }));
  assertEquals(codeOf(await client.next()), ["disconnect", 0x9b]);
  assertEquals(endpoint.received.length, 0);
});

Deno.test("endpoint hands out retained messages", async () => {
  await using endpoint = await start();
  using client = await welcomed(endpoint);
  await client.send(message("dt/x", { retain: true }));
  assertEquals(codeOf(await client.next()), ["puback", 0]);
  const subscriptions = [{ topic: "dt/+", qos: 0 as const }];
  await client.send({ cmd: "subscribe", messageId: 2, subscriptions });
  await client.next();
  const { retain, topic } = await client.next() as IPublishPacket;
  assertEquals([retain, topic], [true, "dt/x"]);
});

Deno.test("endpoint says what it saw when a wait ends in vain, and leaves nothing open", async () => {
  const endpoint = await start();
  using _client = await welcomed(endpoint);
  const waited = /Waited 30 ms for 3 messages in vain: 1 connections.*0 messages/;
  const error = await assertRejects(() => endpoint.waitFor(3, { deadlineMs: 30 }), Error);
  assertMatch(error.message, waited);
  const waiting = assertRejects(() => endpoint.until(() => false), Error, "was closed");
  await endpoint.close();
  await waiting;
  await assertRejects(() => dial(endpoint), Deno.errors.ConnectionRefused);
});

// Certificates

Deno.test("writeCerts uses the names of the AWS console and safe modes", async () => {
  await inFolder(async (folder) => {
    const dir = `${folder}/certs`;
    const { cert, key, ca } = await writeCerts(dir, pki);
    assertMatch(cert, /\/[0-9a-f]{64}-certificate\.pem\.crt$/);
    assertMatch(key, /\/[0-9a-f]{64}-private\.pem\.key$/);
    assertMatch(ca, /\/AmazonRootCA1\.pem$/);
    assertEquals((await Deno.stat(dir)).mode! & 0o777, 0o700);
    assertEquals((await Deno.stat(key)).mode! & 0o777, 0o600);
    const { authority: _, ...certificates } = pki;
    assertEquals(await readCerts(dir), certificates);
    await Deno.remove(key);
    await assertRejects(() => readCerts(dir), Error, "5 files are wanted");
  });
});

// The command

const ROOT = new URL("../../", import.meta.url);

function command(...args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--frozen", "tools/endpoint/mod.ts", ...args],
    cwd: ROOT,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("endpoint command prints each message as a JSON line and keeps its certificates", async () => {
  await inFolder(async (dir) => {
    for (const round of [1, 2]) {
      const child = command("--port", "0", "--dir", dir);
      const [stdout, stderr] = [child.stdout, child.stderr].map((stream) =>
        stream.pipeThrough(new TextDecoderStream()).getReader()
      );
      let welcome = "";
      while (!welcome.includes("--message hello")) welcome += (await stderr!.read()).value;
      const port = Number(/127\.0\.0\.1:(\d+)/.exec(welcome)?.[1]);
      assertMatch(welcome, new RegExp(`--port ${port} --certs ${dir} `));
      const certificates = (await readCerts(dir))!;
      using client = await dialMqtt({ port, certificates });
      await client.next();
      await client.send(message("dt/x", { payload: `round "${round}"` }));
      const { time, ...rest } = JSON.parse((await stdout!.read()).value!);
      const payload = `round "${round}"`;
      assertEquals(rest, { clientId: "gw-7", topic: "dt/x", qos: 1, payload });
      assertMatch(time, /^\d{4}-.*Z$/);
      child.kill();
      await Promise.all([stdout!.cancel(), stderr!.cancel()]);
      assertEquals((await child.status).code, 0);
      assert((await Deno.stat(certPaths(dir, certificates).key)).isFile);
    }
  });
});

Deno.test("endpoint command refuses what it does not understand, and has a help", async () => {
  await using endpoint = await start();
  const cases: [string, number, RegExp][] = [
    ["--help", 0, /Usage: deno task endpoint/],
    ["--prot=1", 64, /Cannot understand "--prot"/],
    ["8443", 64, /Cannot understand "8443"/],
    ["--port=seven", 64, /from 0 to 65535: current value is "seven"/],
    ["--dir=", 64, /a folder is required/],
    [`--port=${endpoint.port}`, 69, /port in use\nhint: pass --port 0/],
  ];
  await Promise.all(cases.map(async ([arg, expected, said]) => {
    const { code, stdout, stderr } = await command(arg).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(code, expected, arg);
    assertMatch(text(code === 0 ? stdout : stderr), said);
  }));
});
