/** TLS against an endpoint that is wrong in each way: what it learns of us, and what is told. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openConnection } from "../lib/connection.ts";
import { EXIT } from "../lib/errors.ts";
import { limitTrust } from "../lib/transport.ts";
import { type Endpoint, makeAuthority, makePki } from "../tools/endpoint.ts";
import {
  assertAllClosed,
  connectTo,
  failureOf,
  identityOf,
  settingsFor,
  start,
} from "./connecting.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();
const DAY_MS = 86_400_000;
const soon = (days: number) => new Date(Date.now() + days * DAY_MS);

/** That the endpoint saw neither a completed handshake (and so no client certificate) nor a byte of MQTT. */
async function assertLearntNothing(endpoint: Endpoint): Promise<void> {
  await endpoint.until(() => endpoint.tlsErrors.length === 1, { what: "a TLS alert" });
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

Deno.test("connection says that the device certificate was refused (T6)", async () => {
  const other = await makeAuthority();
  await using endpoint = await start({ certificates: pki, clientCa: other.cert });
  const { message, hint } = await failureOf(connectTo(endpoint));
  assertMatch(message, /refused the device certificate|hung up before CONNACK/);
  assertMatch(hint, /active/);
  assertEquals(endpoint.connects.length, 0);
});

Deno.test("connection names certificate and policy when the server hangs up after Finished (T6)", async () => {
  await using endpoint = await start({
    certificates: pki,
    clientCert: "closes-after-finished",
  });
  const { message, hint, step } = await failureOf(connectTo(endpoint));
  assertMatch(message, /hung up before CONNACK$/);
  assertMatch(hint, /certificate is active.*iot:Connect for client\/gw-7/);
  assertEquals(step, "mqtt");
});

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
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

Deno.test("connection takes a longer chain, and answers byte by byte (T8)", async () => {
  const between = await makeAuthority({ commonName: "between", issuer: pki.authority });
  const server = await between.issue("localhost", { names: ["localhost"], keyType: "rsa" });
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
      assertMatch(message, /hung up|reset|end of file/);
      assertEquals(exitCode, EXIT.unavailable);
    }
    await assertAllClosed(endpoint);
  });
}

for (
  const [where, faults, step] of [
    ["at accept", { silentAtAccept: true }, "tls"],
    ["instead of a CONNACK", { noConnack: true }, "mqtt"],
  ] as const
) {
  Deno.test({
    name: `connection gives up at its deadline on silence ${where} (T10)`,
    // An attempt of Deno.connectTls that was given up cannot be stopped, only closed when it comes.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      await using endpoint = await start({ certificates: pki, faults });
      const failure = await failureOf(connectTo(endpoint, { connectTimeout: 1000 }));
      assertMatch(failure.message, /within 1 s$/);
      assertEquals([failure.step, failure.exitCode], [step, EXIT.unavailable]);
    },
  });
}

Deno.test("connection says that nothing listens there", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const attempt = openConnection(settingsFor(port), identityOf(pki));
  const { message, step } = await failureOf(attempt);
  assertMatch(message, /connection refused$/);
  assertEquals(step, "tcp");
});

Deno.test("connection says that a host name has no address (C8)", async () => {
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

Deno.test("limitTrust empties the default trust store where a CA is configured", () => {
  const env = new Map([["DENO_CERT", "x.pem"], ["NODE_EXTRA_CA_CERTS", "y.pem"]]);
  const names = { get: (name: string) => env.get(name) } as const;
  const change = {
    set: (name: string, value: string) => void env.set(name, value),
    delete: (name: string) => void env.delete(name),
  };
  limitTrust({ ...names, ...change }, true);
  assertEquals([...env], [["DENO_TLS_CA_STORE", ""]]);
  limitTrust({ ...names, ...change }, false);
  assertEquals([...env], [["DENO_TLS_CA_STORE", "mozilla"]]);
});

Deno.test("only the configured CA vouches, whatever the default store holds (T1, G8)", async () => {
  const other = await makePki();
  await using endpoint = await start({ certificates: pki, server: other.server });
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    const { writeIdentity, flagsFor } = await import("./publishing.ts");
    await writeIdentity(`${folder}/certs`, pki);
    await Deno.writeTextFile(`${folder}/other.pem`, other.ca);
    const main = new URL("../main.ts", import.meta.url).pathname;
    const stores = [
      { DENO_CERT: `${folder}/other.pem` },
      { NODE_EXTRA_CA_CERTS: `${folder}/other.pem` },
      { NODE_TLS_REJECT_UNAUTHORIZED: "0", DENO_TLS_CA_STORE: "system,mozilla" },
    ];
    const outputs = await Promise.all(stores.map((env, index) => {
      const flags = flagsFor(folder, endpoint.port).with(9, `${folder}/state-${index}`);
      const args = ["run", "-A", "--frozen", main, "publish", ...flags];
      const more = ["--message", "secret", "--give-up-after", "1s"];
      return new Deno.Command(Deno.execPath(), { args: [...args, ...more], env }).output();
    }));
    for (const { code, stderr } of outputs) {
      const text = new TextDecoder().decode(stderr);
      assertEquals(code, EXIT.kept, text);
      assertMatch(text, /is not signed by the configured CA/);
    }
    assertEquals(endpoint.counts.handshakes, 0);
    assert(endpoint.tlsErrors.length >= 3);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
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
