/** One connection at a time to the endpoint, without publisher and without waits between attempts. */

import { assertEquals, assertInstanceOf } from "@std/assert";
import { type Connection, type ConnectionSettings, openConnection } from "../lib/connection.ts";
import { UserError } from "../lib/errors.ts";
import { type Identity, inspectIdentity } from "../lib/identity.ts";
import {
  type Certificates,
  type Endpoint,
  type EndpointOptions,
  startEndpoint,
} from "../tools/endpoint.ts";

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
    mqttVersion: "5",
    clientId: "gw-7",
    keepAlive: 60_000,
    connectTimeout: 8000,
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
