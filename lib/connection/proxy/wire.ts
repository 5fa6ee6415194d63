/** Bytes to and from a proxy before its tunnel is open: of a socket of `node:net`, or of one of Deno's own. */

import type { Socket } from "node:net";

/** A connection that is read on demand: what comes after the proxy's last word belongs to TLS. */
export interface Wire {
  /** Some bytes, or null at the end. */
  read(): Promise<Uint8Array | null>;
  write(bytes: Uint8Array): unknown;
}

/** The wire of a socket that nobody else reads yet. */
export function wireOf(socket: Socket): Wire {
  return {
    write: (bytes) => socket.write(bytes),
    read() {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
      const onEnd = () => resolve(null);
      const onData = (bytes: Uint8Array) => {
        socket.pause();
        resolve(bytes);
      };
      socket.once("data", onData).once("end", onEnd).once("close", onEnd).once("error", reject);
      if (socket.destroyed) onEnd();
      socket.resume();
      return promise.finally(() =>
        socket.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", reject)
      );
    },
  };
}

/** The wire of one of Deno's own connections. */
export function wireOfConn(conn: Pick<Deno.Conn, "read" | "write">): Wire {
  return {
    write: (bytes) => conn.write(bytes),
    async read() {
      const buffer = new Uint8Array(4096);
      const count = await conn.read(buffer);
      return count === null ? null : buffer.subarray(0, count);
    },
  };
}
