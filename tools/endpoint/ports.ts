/** Ports to listen on that are still ours after they were closed for a while. */

import dgram from "node:dgram";
import { once } from "node:events";
import net, { type AddressInfo, type Server, type Socket } from "node:net";

/** Below the ports that the kernel gives to whoever asks for any (Linux: from 32768). */
const FIRST = 20_000;
const PORTS = 12_000;
/** Attempts to find one that is free. */
const ATTEMPTS = 50;

/** Where {@linkcode openFront} listens. */
export interface ListenOptions {
  /** 0 picks one that no other process is given while it is closed. */
  readonly port: number;
  /** @default "127.0.0.1" */
  readonly address?: string;
  /** Whether our side stays open when the client has ended its own. @default {false} */
  readonly allowHalfOpen?: boolean;
}

/** A port whose connections are taken, or for a while not. */
export interface Front {
  readonly port: number;
  /** Takes no more connections; those there are stay. */
  pause(): void;
  /** Takes connections again, at the same port. */
  resume(): Promise<void>;
  /** Takes no more for good. */
  close(): void;
}

/**
 * Takes connections on a TCP port.
 *
 * @throws {Error} If the port is taken; `code` is then `EADDRINUSE`.
 */
export async function openFront(
  options: ListenOptions,
  accept: (socket: Socket) => void,
): Promise<Front> {
  let server: Server | undefined = await listenAt(options, accept);
  const { port } = server.address() as AddressInfo;
  /** While it is paused, so that nobody else here picks the port. */
  let claim: dgram.Socket | undefined;
  return {
    port,
    pause() {
      if (server === undefined) return;
      claim = claimOf(port);
      server.close();
      server = undefined;
    },
    async resume() {
      server ??= await listenAt({ ...options, port }, accept);
      claim?.close();
      claim = undefined;
    },
    close() {
      server?.close();
      claim?.close();
      server = claim = undefined;
    },
  };
}

/** Claims a port for a while: by the UDP port of the same number, which nothing here uses. */
function claimOf(port: number): dgram.Socket {
  return dgram.createSocket("udp4").on("error", () => {}).bind(port, "127.0.0.1");
}

/** Whether a port that is picked is somebody's who has paused. */
async function isClaimed(port: number): Promise<boolean> {
  const claim = dgram.createSocket("udp4").bind(port, "127.0.0.1");
  try {
    await once(claim, "listening");
    return false;
  } catch {
    return true;
  } finally {
    claim.close();
  }
}

/** Drops connections. */
export function cutAll(sockets: Iterable<Socket>, how: "rst" | "fin"): void {
  for (const socket of sockets) {
    if (how === "rst") socket.resetAndDestroy();
    else socket.destroy();
  }
}

/**
 * Listens on a TCP port.
 *
 * @throws {Error} If the port is taken; `code` is then `EADDRINUSE`.
 */
async function listenAt(
  { port, address = "127.0.0.1", allowHalfOpen = false }: ListenOptions,
  accept: (socket: Socket) => void,
): Promise<Server> {
  for (let attempt = 1;; attempt++) {
    const picked = port || FIRST + Math.floor(Math.random() * PORTS);
    if (port === 0 && attempt < ATTEMPTS && await isClaimed(picked)) continue;
    const server = net.createServer({ allowHalfOpen }, accept);
    server.listen(picked, address);
    try {
      await once(server, "listening");
      return server;
    } catch (error) {
      if (port !== 0 || attempt === ATTEMPTS) throw error;
    }
  }
}
