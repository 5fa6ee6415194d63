/**
 * A client without manners, to prove what the endpoint does: it sends exactly the packets it is told
 * to and hands out what comes back, one by one.
 */

import { Buffer } from "node:buffer";
import mqtt, { type IConnectPacket, type Packet } from "mqtt-packet";
import { AWS_ALPN, type Endpoint, type Pair } from "../../tools/endpoint/mod.ts";

/** How {@linkcode dial} connects. */
export interface DialOptions {
  /** @default "localhost" */
  readonly hostname?: string;
  /** @default the endpoint's CA */
  readonly ca?: string;
  /** `null` shows none. @default the endpoint's device */
  readonly device?: Pair | null;
  /** @default ["x-amzn-mqtt-ca"] */
  readonly alpn?: string[];
}

/** A connection of {@linkcode dialMqtt}. */
export interface RawClient extends Disposable {
  /** Send a packet. */
  send(packet: Packet): Promise<void>;
  /** Send bytes as they are. */
  sendBytes(bytes: Uint8Array): Promise<void>;
  /** The next packet, or how the connection ended: `"closed"` cleanly, `"error"` not so. */
  next(): Promise<Packet | "closed" | "error">;
}

/** TLS only. */
export async function dial(
  endpoint: Pick<Endpoint, "port" | "certificates">,
  options: DialOptions = {},
): Promise<Deno.TlsConn> {
  const { port, certificates } = endpoint;
  const device = options.device === undefined ? certificates.device : options.device;
  const connection = await Deno.connectTls({
    hostname: options.hostname ?? "localhost",
    port,
    caCerts: [options.ca ?? certificates.ca],
    alpnProtocols: options.alpn ?? [AWS_ALPN],
    ...(device === null ? {} : { cert: device.cert, key: device.key }),
  });
  try {
    await connection.handshake();
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
}

/** TLS and CONNECT; CONNACK is the first packet {@linkcode RawClient.next} gives. */
export async function dialMqtt(
  endpoint: Pick<Endpoint, "port" | "certificates">,
  connect: Partial<IConnectPacket> = {},
  options: DialOptions = {},
): Promise<RawClient> {
  const connection = await dial(endpoint, options);
  const protocolVersion = connect.protocolVersion ?? 5;
  const parser = mqtt.parser({ protocolVersion });
  const packets: Packet[] = [];
  let end: "closed" | "error" | undefined;
  const chunk = new Uint8Array(65_536);
  parser.on("packet", (packet) => packets.push(packet));
  parser.on("error", () => end = "error");

  async function next(): Promise<Packet | "closed" | "error"> {
    while (packets.length === 0 && end === undefined) {
      try {
        const length = await connection.read(chunk);
        if (length === null) end = "closed";
        else parser.parse(Buffer.from(chunk.slice(0, length)));
      } catch {
        end = "error";
      }
    }
    return packets.shift() ?? end ?? "closed";
  }
  async function sendBytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await connection.write(bytes.subarray(at));
    }
  }
  const client: RawClient = {
    send: (packet) => sendBytes(mqtt.generate(packet, { protocolVersion })),
    sendBytes,
    next,
    [Symbol.dispose]: () => connection.close(),
  };
  await client.send({
    cmd: "connect",
    clientId: "gw-7",
    protocolVersion,
    keepalive: 60,
    clean: true,
    ...connect,
  });
  return client;
}
