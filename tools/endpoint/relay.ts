/**
 * A byte relay in front of TLS, for the faults that happen inside a handshake: it lets some bytes of
 * our answer through and then hangs up, or lets them through piece by piece.
 */

import net, { type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import type { Buffer } from "node:buffer";

/** What the relay does to the bytes that go to the client. */
export interface RelayPlan {
  /** Hang up after so many bytes of our answer, as soon as the client has spoken; absent: never. */
  readonly cutAfterBytes?: number;
  /** How to hang up. */
  readonly end: "rst" | "fin";
  /** Largest piece, in bytes, written at once; absent: as it comes. */
  readonly pieceBytes?: number;
}

/**
 * Put a relay behind a client's socket.
 *
 * @param track Hears of each socket made here.
 * @returns The socket TLS has to talk to instead. It closes with the client's.
 */
export async function relay(
  client: Socket,
  plan: RelayPlan,
  track: (socket: Socket) => void,
): Promise<Socket> {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const inner = net.connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [outer] = await accepted;
  server.close();

  track(inner);
  track(outer);
  for (const socket of [client, inner, outer]) {
    socket.on("close", () => {
      for (const each of [client, inner, outer]) each.destroy();
    });
  }
  client.on("data", (bytes: Buffer) => {
    if (plan.cutAfterBytes === 0) hangUp(client, plan.end);
    else inner.write(bytes);
  });
  forward(inner, client, plan);
  if (client.destroyed) outer.destroy();
  return outer;
}

async function forward(from: Socket, to: Socket, plan: RelayPlan): Promise<void> {
  let leftBytes = plan.cutAfterBytes ?? Infinity;
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      const bytes = chunk.subarray(0, leftBytes);
      leftBytes -= bytes.length;
      const step = plan.pieceBytes ?? bytes.length;
      for (let at = 0; at < bytes.length; at += step) {
        // Waiting for each write keeps pieces apart: without delay on, each is a segment.
        await write(to, bytes.subarray(at, at + step));
      }
      if (leftBytes === 0) return hangUp(to, plan.end);
    }
    to.end();
  } catch {
    to.destroy();
  }
}

function write(to: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    to.write(bytes, (error) => error ? reject(error) : resolve());
  });
}

function hangUp(socket: Socket, end: "rst" | "fin"): void {
  if (end === "rst") socket.resetAndDestroy();
  else socket.end(() => socket.destroy());
}
