/** TLS against an endpoint that is wrong in each way: what it learns of us, and what is told. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openConnection } from "../../lib/connection/open.ts";
import { EXIT } from "../../lib/core/errors.ts";
import { type Endpoint, makeAuthority, makePki } from "../../tools/endpoint/mod.ts";
import { parseClientHello } from "../support/client_hello.ts";
import {
  assertAllClosed,
  connectTo,
  failureOf,
  identityOf,
  settingsFor,
  start,
} from "../support/connecting.ts";
import { DIRECT } from "../support/program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();
const DAY_MS = 86_400_000;
const soon = (days: number) => new Date(Date.now() + days * DAY_MS);

/** That the endpoint saw neither a completed handshake (and so no client certificate) nor a byte of MQTT. */
async function assertLearntNothing(endpoint: Endpoint): Promise<void> {
  await endpoint.until(() => endpoint.tlsErrors.length >= 1, { what: "a failed handshake" });
  assertEquals(endpoint.counts.handshakes, 0);
  assertEquals(endpoint.connects.length, 0);
}

Deno.test("connection refuses a server whose certificate is from another CA (T1)", async () => {
  const other = await makeAuthority({ commonName: "another CA" });
  const server = await other.issue("localhost", { names: ["localhost"] });
  await using endpoint = await start({ certificates: pki, server });
  const { message, step, exitCode } = await failureOf(connectTo(endpoint));
  assertMatch(message, /is not signed by the configured CA \("ca\.pem"\)/);
  assertEquals([step, exitCode], ["tls", EXIT.unavailable]);
  await assertLearntNothing(endpoint);
  assertMatch(endpoint.tlsErrors[0]!.message, /UnknownCA|unknown_ca|unknown ca/i);
});

Deno.test("connection refuses a server with another name, which learns nothing of us (T2)", async () => {
  const server = await pki.authority.issue("elsewhere", { names: ["elsewhere.example"] });
  await using endpoint = await start({ certificates: pki, server });
  const { message, step } = await failureOf(connectTo(endpoint));
  assertMatch(message, /certificate is for "elsewhere\.example", not for "localhost"/);
  assertEquals(step, "tls");
  await assertLearntNothing(endpoint);
});

Deno.test("connection to an IP address takes a certificate for it, and no other (T2)", async () => {
  await using good = await start({ certificates: pki });
  const connection = await connectTo(good, { endpoint: "127.0.0.1" });
  assertEquals(good.connects[0]?.serverName, undefined);
  await connection.end();
  const server = await pki.authority.issue("x", { names: ["192.0.2.1", "a.example"] });
  await using bad = await start({ certificates: pki, server });
  const { message } = await failureOf(connectTo(bad, { endpoint: "127.0.0.1" }));
  assertMatch(message, /is for "192\.0\.2\.1" or "a\.example", not for "127\.0\.0\.1"$/);
  await assertLearntNothing(bad);
});

Deno.test(
  "connection shows its certificate to a wrong name in TLS 1.2 alone, and not there with tlsMin 1.3 (T2)",
  DIRECT,
  async () => {
    const server = await pki.authority.issue("elsewhere", { names: ["elsewhere.example"] });
    const only12 = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;
    await using endpoint = await start({ certificates: pki, server, ...only12 });
    const strict = await failureOf(connectTo(endpoint, { tlsMin: "1.3" }));
    assertMatch(strict.message, /does not speak TLS 1\.3$/);
    await assertLearntNothing(endpoint);
    const { message } = await failureOf(connectTo(endpoint));
    assertMatch(message, /certificate is for "elsewhere\.example", not for "localhost"/);
    assertEquals([endpoint.counts.handshakes, endpoint.connects.length], [1, 0]);
  },
);

Deno.test("connection says when an expired server certificate expired (T3)", async () => {
  const validTo = soon(-1);
  const server = await pki.authority.issue("localhost", {
    names: ["localhost"],
    validFrom: soon(-9),
    validTo,
  });
  await using endpoint = await start({ certificates: pki, server });
  const { message } = await failureOf(connectTo(endpoint));
  assertMatch(message, new RegExp(`expired at ${validTo.toISOString().slice(0, 19)}`));
  await assertLearntNothing(endpoint);
  assertMatch(endpoint.tlsErrors[0]!.message, /received fatal alert: CertificateExpired/i);
});

Deno.test("connection says that the clock is probably wrong when a certificate is not valid yet (T4)", async () => {
  const validFrom = soon(7);
  const server = await pki.authority.issue("localhost", {
    names: ["localhost"],
    validFrom,
    validTo: soon(9),
  });
  await using endpoint = await start({ certificates: pki, server });
  const { message, exitCode } = await failureOf(connectTo(endpoint));
  assertMatch(message, /the clock is probably wrong$/);
  assertMatch(message, new RegExp(validFrom.toISOString().slice(0, 19)));
  assertMatch(message, new RegExp(new Date().toISOString().slice(0, 10)));
  assertEquals(exitCode, EXIT.unavailable, "it goes on trying");
  await assertLearntNothing(endpoint);
});

Deno.test("connection names the protocol when the server offers another one (T5)", async () => {
  await using endpoint = await start({ certificates: pki, alpn: "http/1.1" });
  const { message, step } = await failureOf(connectTo(endpoint));
  assertMatch(message, /does not offer protocol "x-amzn-mqtt-ca"/);
  assertEquals(step, "alpn");
  assertEquals(endpoint.connects.length, 0);
});

Deno.test("connection sends no CONNECT to a server that ignores ALPN (T5)", async () => {
  await using endpoint = await start({ certificates: pki, alpn: "ignore" });
  const { message, step } = await failureOf(connectTo(endpoint));
  assertMatch(message, /answered without protocol "x-amzn-mqtt-ca"/);
  assertEquals(step, "alpn");
  await assertAllClosed(endpoint);
  assertEquals(endpoint.connects.length, 0);
});

Deno.test("connection without ALPN is content with a server that ignores it", async () => {
  await using endpoint = await start({ certificates: pki, alpn: "ignore" });
  const connection = await connectTo(endpoint, { alpn: undefined });
  assertEquals(connection.facts.alpn, null);
  await connection.end();
});

/** In a tunnel 1.3 alone is spoken. */
const TLS_VERSIONS = DIRECT.ignore ? ["TLSv1.3"] as const : ["TLSv1.2", "TLSv1.3"] as const;

for (const version of TLS_VERSIONS) {
  const versions = { minVersion: version, maxVersion: version };
  Deno.test(`connection says that the device certificate was refused, ${version} (T6)`, async () => {
    const other = await makeAuthority();
    await using endpoint = await start({ certificates: pki, clientCa: other.cert, ...versions });
    const { message, hint } = await failureOf(connectTo(endpoint));
    // The endpoint sends no alert; what is said to one is pinned with OpenSSL, among the slow cases.
    assertMatch(message, /hung up (during the TLS handshake|before CONNACK)$/);
    assertMatch(hint, /certificate is (registered and )?active/);
    assertEquals(endpoint.connects.length, 0);
    await assertAllClosed(endpoint);
  });

  Deno.test(`connection names certificate and policy when the server hangs up after Finished, ${version} (T6)`, async () => {
    const clientCert = "closes-after-finished";
    await using endpoint = await start({ certificates: pki, clientCert, ...versions });
    const { message, hint, step } = await failureOf(connectTo(endpoint));
    assertMatch(message, /hung up before CONNACK$/);
    assertMatch(hint, /certificate is active.*iot:Connect for client\/gw-7/);
    assertEquals(step, "mqtt");
    await assertAllClosed(endpoint);
  });
}

for (const version of TLS_VERSIONS) {
  Deno.test(`connection speaks ${version}, and says the host name in SNI (T7)`, async () => {
    await using endpoint = await start({
      certificates: pki,
      minVersion: version,
      maxVersion: version,
    });
    const connection = await connectTo(endpoint);
    const [seen] = endpoint.connects;
    assertEquals([seen?.tls, seen?.serverName], [version, "localhost"]);
    await connection.end();
  });
}

/** A server without a TLS library: takes the ClientHello, answers with these bytes, and hangs up if they are none. */
function serveRaw(answer?: Uint8Array): {
  readonly port: number;
  readonly hello: Promise<Uint8Array>;
  /** What the client sent after the answer, until it closed. */
  readonly rest: Promise<readonly number[]>;
} {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const buffer = new Uint8Array(8192);
  const hello = Promise.withResolvers<Uint8Array>();
  const rest = (async () => {
    using conn = await listener.accept();
    listener.close();
    hello.resolve(buffer.slice(0, await conn.read(buffer) ?? 0));
    const sent: number[] = [];
    if (answer === undefined) return sent;
    await conn.write(answer);
    for (let n; (n = await conn.read(buffer)) !== null;) sent.push(...buffer.subarray(0, n));
    return sent;
  })();
  return { port: listener.addr.port, hello: hello.promise, rest };
}

/** A ServerHello of TLS 1.1, with a cipher suite of that time. */
function serverHello11(): Uint8Array {
  const random = new Uint8Array(32).fill(7);
  const body = [0x03, 0x02, ...random, 0, 0xc0, 0x13, 0];
  const handshake = [2, 0, 0, body.length, ...body];
  return Uint8Array.from([0x16, 0x03, 0x02, 0, handshake.length, ...handshake]);
}

Deno.test(
  "connection offers TLS 1.2 and 1.3 alone, AWS's suites, SNI and ALPN (T7; Device Advisor TLS_Support_AWS_IoT_Cipher_Suites)",
  DIRECT,
  async () => {
    const server = serveRaw();
    const attempt = failureOf(openConnection(settingsFor(server.port), identityOf(pki)));
    const hello = parseClientHello(await server.hello);
    assertEquals([...hello.versions].toSorted(), [0x0303, 0x0304]);
    // ECDHE-RSA and ECDHE-ECDSA with AES128-GCM-SHA256, the first ones that AWS recommends.
    assert(hello.cipherSuites.includes(0xc02f) && hello.cipherSuites.includes(0xc02b));
    assertEquals(hello.serverNames, ["localhost"]);
    assertEquals(hello.protocols, ["x-amzn-mqtt-ca"]);
    // All of them with forward secrecy and authenticated encryption; 0xff is the renegotiation signal.
    const unknown = hello.cipherSuites.filter((suite) =>
      ![0x13, 0xc0, 0xcc, 0x00].includes(suite >> 8)
    );
    assertEquals(unknown, []);
    await attempt;
    await server.rest;
  },
);

Deno.test("connection refuses a server that speaks TLS 1.1 alone, with an alert (T7)", async () => {
  const server = serveRaw(serverHello11());
  const attempt = openConnection(settingsFor(server.port), identityOf(pki));
  const { message, step, exitCode } = await failureOf(attempt);
  assertMatch(message, /speaks neither TLS 1\.2 nor 1\.3$/);
  assertEquals([step, exitCode], ["tls", EXIT.unavailable]);
  // A fatal alert: protocol_version.
  assertEquals((await server.rest).slice(-2), [2, 70]);
});

Deno.test("connection says the protocol's name to port 443 and none where told so (T7)", async () => {
  const server = serveRaw();
  const settings = settingsFor(server.port, { alpn: undefined });
  const attempt = failureOf(openConnection(settings, identityOf(pki)));
  assertEquals(parseClientHello(await server.hello).protocols, []);
  await attempt;
  await server.rest;
});

Deno.test("connection takes a chain a fifth larger, byte by byte (T8; Device Advisor TLS_Large_Size_Server_Cert)", async () => {
  const between = await makeAuthority({ commonName: "between", issuer: pki.authority });
  const server = await between.issue("localhost", { names: ["localhost"], keyType: "rsa" });
  assert(server.cert.length >= 1.2 * pki.server.cert.length);
  await using endpoint = await start({
    certificates: pki,
    server,
    faults: { trickle: true },
  });
  const connection = await connectTo(endpoint);
  const done = Promise.withResolvers<void>();
  connection.publish({ topic: "t", payload: "hello", qos: 1 }, () => done.resolve());
  await done.promise;
  await connection.end();
});

Deno.test("connection takes and acknowledges a message in records of the largest size (T8; Device Advisor TLS_Receive_Maximum_Size_Fragments)", async () => {
  await using endpoint = await start({ certificates: pki });
  const connection = await connectTo(endpoint);
  const { promise, resolve } = Promise.withResolvers<number>();
  await connection.subscribe("big", (_topic, payload) => resolve(payload.length));
  // Eight records of 16 KiB, the most that TLS allows.
  endpoint.publish("big", "x".repeat(131_072));
  assertEquals(await promise, 131_072);
  await endpoint.until(() => endpoint.counts.pubacks === 1, { what: "its PUBACK" });
  await connection.end();
});

for (
  const [fault, faults] of Object.entries(
    {
      "RST at accept": { resetAtAccept: true },
      "RST after ClientHello": { cutHandshake: true },
      "RST within the certificate": { cutHandshake: true, handshakeBytes: 300 },
      "FIN within the handshake": { cutHandshake: true, handshakeEnd: "fin", handshakeBytes: 300 },
    } as const,
  )
) {
  Deno.test(`connection survives ${fault}, time after time (T9)`, async () => {
    await using endpoint = await start({ certificates: pki, faults });
    for (let round = 0; round < 10; round++) {
      const { message, exitCode } = await failureOf(connectTo(endpoint));
      assertMatch(message, /hung up|reset|end of file|cannot reach/);
      assertEquals(exitCode, EXIT.unavailable);
    }
    await assertAllClosed(endpoint);
  });
}

Deno.test("connection gives up at its deadline on silence at accept, and leaves nothing open (T10)", async () => {
  await using endpoint = await start({ certificates: pki, faults: { silentAtAccept: true } });
  const settings = settingsFor(endpoint.port, { connectTimeout: 1000 });
  for (let round = 0; round < 3; round++) {
    const failure = await failureOf(openConnection(settings, identityOf(pki)));
    assertMatch(failure.message, /connected, but no TLS answer within 1 s$/);
    assertEquals([failure.step, failure.exitCode], ["tls", EXIT.unavailable]);
    await assertAllClosed(endpoint);
  }
  endpoint.faults.silentAtAccept = false;
  const connection = await openConnection(settings, identityOf(pki));
  await connection.end();
});

Deno.test("connection gives up at its deadline on silence instead of a CONNACK (T10)", async () => {
  await using endpoint = await start({ certificates: pki, faults: { noConnack: true } });
  const failure = await failureOf(connectTo(endpoint, { connectTimeout: 1000 }));
  assertMatch(failure.message, /no CONNACK within 1 s$/);
  assertEquals([failure.step, failure.exitCode], ["mqtt", EXIT.unavailable]);
  await assertAllClosed(endpoint);
});

Deno.test("connection says that nothing listens there", DIRECT, async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const attempt = openConnection(settingsFor(port), identityOf(pki));
  const { message, step } = await failureOf(attempt);
  assertMatch(message, /connection refused$/);
  assertEquals(step, "tcp");
});

Deno.test("connection says that a host name has no address (C8)", DIRECT, async () => {
  const settings = settingsFor(443, { endpoint: "no-such-host.invalid" });
  const { message, step, exitCode } = await failureOf(openConnection(settings, identityOf(pki)));
  assertMatch(message, /^Cannot find the address of no-such-host\.invalid/);
  assertEquals([step, exitCode], ["dns", EXIT.unavailable]);
});

Deno.test("connection says that what answers does not speak TLS", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    await conn.write(new TextEncoder().encode("220 mail.example ESMTP ready\r\n".repeat(4)));
    await conn.read(new Uint8Array(4096)).catch(() => {});
    conn.close();
  })();
  const attempt = openConnection(settingsFor(listener.addr.port), identityOf(pki));
  const { message, step } = await failureOf(attempt);
  assertMatch(message, /does not speak TLS$/);
  assertEquals(step, "tls");
  await serving;
  listener.close();
});

Deno.test("connection that is given up by its signal leaves nothing open", async () => {
  await using endpoint = await start({ certificates: pki, faults: { noConnack: true } });
  const stop = new AbortController();
  const attempt = openConnection(settingsFor(endpoint.port), identityOf(pki), {
    signal: stop.signal,
  });
  void endpoint.until(() => endpoint.connects.length === 1).then(() => stop.abort());
  await assertRejects(() => attempt);
  await assertAllClosed(endpoint);
});
