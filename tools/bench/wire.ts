/** A relay that counts what passes, and what that is on a network. */

/** Bytes and packets so far. */
export interface Counts {
  readonly bytes: number;
  readonly packets: number;
}

/** A relay to a port of this machine. */
export interface Counter extends Disposable {
  readonly port: number;
  readonly counts: Counts;
}

/** The heads of IPv4 and of TCP with its time stamps. */
const HEAD_BYTES = 52;
/** The most of TCP in a packet of Ethernet. */
const SEGMENT_BYTES = 1500 - HEAD_BYTES;

/**
 * Starts a relay. Of the loopback's large packets those of Ethernet are made: what is written at once goes in full
 * segments, and each second one is acknowledged by a packet of its own, but for the last one that is answered by data.
 */
export function startCounter(target: number): Counter {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const counts = { bytes: 0, packets: 0 };
  const open = new Set<Deno.TcpConn>();
  const close = (connection: Deno.TcpConn) => {
    if (open.delete(connection)) connection.close();
  };
  const pass = async (from: Deno.TcpConn, to: Deno.TcpConn, isAnswered: boolean) => {
    const buffer = new Uint8Array(256 * 1024);
    try {
      for (let length = await from.read(buffer); length; length = await from.read(buffer)) {
        const segments = Math.ceil(length / SEGMENT_BYTES);
        counts.bytes += length;
        counts.packets += segments + Math.ceil(segments / 2) - (isAnswered ? 1 : 0);
        for (let at = 0; at < length;) at += await to.write(buffer.subarray(at, length));
      }
    } catch { /* one side has gone */ }
    close(from);
    close(to);
  };
  void (async () => {
    for await (const client of listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: target });
      for (const connection of [client, server]) {
        connection.setNoDelay();
        open.add(connection);
      }
      void pass(client, server, true);
      void pass(server, client, false);
    }
  })().catch(() => {});
  return {
    port: listener.addr.port,
    counts,
    [Symbol.dispose]() {
      listener.close();
      for (const connection of open) close(connection);
    },
  };
}

/** What passed between two counts: of TCP payload, and with the heads of TCP and IP. */
export function wireBytes(now: Counts, before: Counts): { tcp: number; wire: number } {
  const tcp = now.bytes - before.bytes;
  return { tcp, wire: tcp + HEAD_BYTES * (now.packets - before.packets) };
}
