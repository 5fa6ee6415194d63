/** Ports to listen on that are still ours after they were closed for a while. */

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
  return {
    port,
    pause() {
      server?.close();
      server = undefined;
    },
    async resume() {
      server ??= await listenAt({ ...options, port }, accept);
    },
  };
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
    const server = net.createServer({ allowHalfOpen }, accept);
    server.listen(port || FIRST + Math.floor(Math.random() * PORTS), address);
    try {
      await once(server, "listening");
      return server;
    } catch (error) {
      if (port !== 0 || attempt === ATTEMPTS) throw error;
    }
  }
}
