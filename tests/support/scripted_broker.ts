/** A broker that says what a test tells it, whether MQTT allows it or not. It takes every CONNECT. */

import mqtt, { type Packet } from "mqtt-packet";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import { AWS_ALPN, type Certificates } from "../../tools/endpoint/mod.ts";

/** A running one. Disposing of it ends it. */
export interface ScriptedBroker extends AsyncDisposable {
  /** At 127.0.0.1. */
  readonly port: number;
  /** Connections of this moment. */
  readonly open: () => number;
}

/** What it does at a packet: `send` sends one, `flood` sends one again and again until the connection ends. */
export type Script = (
  packet: Packet,
  send: (packet: Packet) => void,
  flood: (packet: Packet) => void,
) => void;

const OPTIONS = { protocolVersion: 5 };

/** Packets of a flood that are written at once. */
const FLOOD_PACKETS = 1000;

/** Starts it. */
export async function startScriptedBroker(
  { server: { cert, key }, ca, isOpen = false }: Pick<Certificates, "server" | "ca"> & {
    /** Takes clients without a certificate, too. @default false */
    isOpen?: boolean;
  },
  script: Script,
): Promise<ScriptedBroker> {
  const sockets = new Set<TLSSocket>();
  const options = { cert, key, ca, requestCert: !isOpen, ALPNProtocols: [AWS_ALPN] };
  const server = tls.createServer(options, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    const send = (packet: Packet) => void socket.write(mqtt.generate(packet, OPTIONS));
    const flood = (packet: Packet) => {
      const bytes = Buffer.concat(Array(FLOOD_PACKETS).fill(mqtt.generate(packet, OPTIONS)));
      const more = () => {
        if (socket.destroyed) return;
        if (socket.write(bytes)) setImmediate(more);
        else socket.once("drain", more);
      };
      more();
    };
    const parser = mqtt.parser(OPTIONS);
    parser.on("packet", (packet) => {
      if (packet.cmd === "connect") send({ cmd: "connack", sessionPresent: false, reasonCode: 0 });
      script(packet, send, flood);
    });
    socket.on("data", (bytes: Buffer) => parser.parse(bytes));
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
