/** One connection at a time to the endpoint, without publisher and without waits between attempts. */

import { assertEquals, assertInstanceOf } from "@std/assert";
import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { TEST_PROXY } from "./program.ts";
import { openConnection } from "../../lib/connection/open.ts";
import type { Connection, ConnectionSettings } from "../../lib/connection/types.ts";
import { UserError } from "../../lib/core/errors.ts";
import type { Transport } from "../../lib/connection/tls.ts";
import { type Identity, inspectIdentity } from "../../lib/identity/parse.ts";
import {
  type Certificates,
  type Endpoint,
  type EndpointOptions,
  startEndpoint,
} from "../../tools/endpoint/mod.ts";

/** The device's side of throw-away certificates. */
export function identityOf({ ca, device }: Pick<Certificates, "ca" | "device">): Identity {
  const files = { ca: ["ca.pem"], cert: "cert.pem", key: "key.pem", keyPassphraseFile: undefined };
  const texts = {
    ca: [{ path: "ca.pem", text: ca }],
    cert: device.cert,
    key: device.key,
    passphrase: undefined,
  };
  return inspectIdentity(files, texts);
}

/** Settings for an endpoint on this machine. */
export function settingsFor(
  port: number,
  more: Partial<ConnectionSettings> = {},
): ConnectionSettings {
  return {
    endpoint: "localhost",
    port,
    alpn: "x-amzn-mqtt-ca",
    tlsMin: "1.2",
    mqttVersion: "5",
    clientId: "gw-7",
    keepAlive: 60_000,
    connectTimeout: 8000,
    ackTimeout: 20_000,
    ...(TEST_PROXY !== undefined && { proxy: TEST_PROXY }),
    ...more,
  };
}

/** Opens a session with the endpoint's own certificates. */
export function connectTo(
  endpoint: Endpoint,
  more: Partial<ConnectionSettings> = {},
): Promise<Connection> {
  return openConnection(settingsFor(endpoint.port, more), identityOf(endpoint.certificates));
}

/** The failure of an attempt that must fail. */
export async function failureOf(attempt: Promise<Connection>): Promise<UserError> {
  const outcome = await attempt.catch((error: unknown) => error);
  if (!(outcome instanceof Error)) (outcome as Connection).abort();
  assertInstanceOf(outcome, UserError);
  return outcome;
}

/** The reason an open session ends with. */
export async function reasonOf(connection: Connection): Promise<UserError> {
  const reason = await connection.closed;
  assertInstanceOf(reason, UserError);
  return reason;
}

/** That the endpoint has no connection open: the other side closed them all. */
export async function assertAllClosed(endpoint: Endpoint): Promise<void> {
  await endpoint.until(() => endpoint.open === 0, { what: "every connection to be closed" });
  assertEquals(endpoint.open, 0);
}

/** An endpoint that, once closed, waits until our side is at rest, too. */
export async function start(options: EndpointOptions): Promise<Endpoint> {
  const endpoint = await startEndpoint(options);
  const dispose = async () => {
    await endpoint.close();
    await atRest();
  };
  return Object.defineProperty(endpoint, Symbol.asyncDispose, { value: dispose });
}

/** Lets timers of 0 ms pass: with them the streams of MQTT.js put off their last steps. */
export async function atRest(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

/** A transport over a connection that a test plays. */
export function transportOver(conn: Pick<Deno.TlsConn, "read" | "write" | "close">): Transport {
  let failure: unknown;
  let isReading = false;
  const fail = (error: unknown) => {
    failure ??= error;
    stream.destroy(error as Error);
  };
  const read = async () => {
    if (isReading) return;
    isReading = true;
    const buffer = new Uint8Array(65_536);
    for (let more = true; more && !stream.destroyed;) {
      const bytes = await conn.read(buffer);
      if (stream.destroyed) return;
      more = stream.push(bytes === null ? null : Buffer.from(buffer.slice(0, bytes))) &&
        bytes !== null;
    }
    isReading = false;
  };
  const write = async (bytes: Uint8Array) => {
    for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
  };
  const stream = new Duplex({
    allowHalfOpen: false,
    read: () => void read().catch(fail),
    write: (bytes: Uint8Array, _encoding, done) =>
      void write(bytes).then(() => done(), (error) => {
        fail(error);
        done();
      }),
    destroy(error, done) {
      conn.close();
      done(error);
    },
  });
  const facts = { alpn: "x-amzn-mqtt-ca", tls: "TLSv1.3", peer: "peer", address: "" };
  return { stream, ...facts, failure: () => failure };
}
