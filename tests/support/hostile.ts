/** Starts the process that meets hostile servers, and, over TLS, the server that plays them. */

import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import type { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import mqtt from "mqtt-packet";
import { AWS_ALPN, type Certificates } from "../../tools/endpoint/mod.ts";
import { V8_FLAGS } from "../../tools/build/v8_flags.ts";
import type { HostileReport } from "./hostile_process.ts";
import { hostileScript, playTo } from "./hostile_streams.ts";

/** QoS 1 messages that hostile_process.ts publishes in each session. */
const MESSAGES = 3;

/**
 * Meets so many scripts in a process of its own, in memory, or over TLS with these certificates.
 *
 * @param deadlineMs After it the process is killed, and the test fails.
 */
export async function meetHostile(
  { seed, count, deadlineMs, certificates }: {
    seed: number;
    count: number;
    deadlineMs: number;
    certificates?: Certificates;
  },
): Promise<HostileReport> {
  const server = certificates && await startHostile(certificates, seed);
  try {
    // With all permissions, as Deno lets no other process count its own files in /proc.
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--frozen", "--no-check", `${V8_FLAGS},--expose-gc`],
        ...[`${import.meta.dirname}/hostile_process.ts`, `${seed}`, `${count}`],
        ...(server ? [`${server.port}`] : []),
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1", ...server?.env },
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(JSON.stringify(certificates ?? {})));
    await writer.close();
    const { code, stdout, stderr } = await child.output();
    clearTimeout(timer);
    const said = new TextDecoder().decode(stderr);
    assertEquals([code, said], [0, ""], "the process ended badly");
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await server?.close();
  }
}

/** A server with a good certificate that plays the script whose number is in the client id. */
async function startHostile(certificates: Certificates, seed: number) {
  const sockets = new Set<Socket>();
  const server = tls.createServer({
    ...certificates.server,
    ca: certificates.ca,
    requestCert: true,
    ALPNProtocols: [AWS_ALPN],
  }, (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let heard: ((bytes: Uint8Array) => void) | undefined;
    socket.on("data", (bytes: Buffer) => {
      heard ??= playTo(hostileScript(seed, numberOf(bytes)), MESSAGES, (what) => {
        if (what === "fin") socket.end();
        else if (what === "rst") socket.resetAndDestroy();
        else socket.write(what);
      });
      heard(bytes);
    });
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    env: { DENO_TLS_CA_STORE: "" },
    async close() {
      server.close();
      const closing = [...sockets].map((socket) => once(socket, "close"));
      for (const socket of sockets) socket.destroy();
      await Promise.all(closing);
    },
  };
}

/** The number in the client id of a CONNECT. */
function numberOf(bytes: Buffer): number {
  const parser = mqtt.parser();
  let clientId = "";
  parser.on("packet", (packet) => packet.cmd === "connect" && (clientId = packet.clientId));
  parser.parse(bytes);
  return Number(clientId.split("-")[1]);
}
