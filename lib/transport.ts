/**
 * The TLS connection, and its shape as a Node stream for MQTT.js.
 *
 * `Deno.connectTls`, not `node:tls`: it refuses a wrong name before our certificate is sent, and says why. It has two
 * gaps. Its `caCerts` add to the default trust store, so that store is emptied first (trust.ts). It
 * cannot set TCP_NODELAY: the handshake's last flight leaves in two writes and waits some 40 ms for a delayed ACK, once
 * per connection (measured; nothing in reach of JavaScript changes it). After it, what MQTT.js writes in one turn leaves
 * as one write (outbox.ts), and no PUBLISH waits.
 */

import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { explainAlpn, explainTimeout, explainTransport, type Target } from "./causes.ts";
import type { Identity } from "./identity.ts";
import { type AttemptMemory, knock } from "./knock.ts";
import { createOutbox } from "./outbox.ts";
import { until } from "./until.ts";

/** Bytes read at once: four of TLS's largest records. */
const READ_BYTES = 65_536;

/** An open, checked TLS connection. */
export interface Transport {
  readonly stream: Duplex;
  /** Protocol the server agreed to. */
  readonly alpn: string | null;
  /** Address and port of the peer. */
  readonly peer: string;
  /** Why reading or writing failed, once it has. */
  readonly failure: () => unknown;
}

/** Options of {@linkcode openTransport}. */
export interface TransportOptions {
  readonly target: Target;
  readonly identity: Identity;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** Milliseconds the attempt may take, for the error's text. */
  readonly timeoutMs: number;
  readonly now: () => Date;
  readonly connect: typeof Deno.connectTls;
  /** What the attempt before left; it is changed. */
  readonly memory?: AttemptMemory | undefined;
}

/**
 * Opens a TLS connection with the device's certificate and checks what was negotiated.
 *
 * @throws {UserError} With step `dns`, `tcp`, `tls` or `alpn`.
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  const { target, identity, signal, timeoutMs, now, connect, memory } = options;
  let connecting: Promise<Deno.TlsConn> | undefined;
  let conn: Deno.TlsConn | undefined;
  try {
    if (memory?.wasSilent) {
      let reached: "dns" | "tcp" | "tls" = "dns";
      const answer = knock(target, signal, (step) => reached = step);
      await until(answer, signal, () => explainTimeout(reached, timeoutMs, target));
      memory.wasSilent = false;
    }
    connecting = connect({
      hostname: target.endpoint,
      port: target.port,
      caCerts: [...identity.caPems],
      cert: identity.certPem,
      key: identity.keyPem,
      ...(target.alpn !== undefined && { alpnProtocols: [target.alpn] }),
    });
    conn = await until(connecting, signal, () => explainTimeout("tcp", timeoutMs, target));
    const { alpnProtocol } = await until(
      conn.handshake(),
      signal,
      () => explainTimeout("tls", timeoutMs, target),
    );
    if (target.alpn !== undefined && alpnProtocol !== target.alpn) {
      throw explainAlpn(alpnProtocol, target);
    }
    const { hostname, port } = conn.remoteAddr as Deno.NetAddr;
    return { ...streamOf(conn), alpn: alpnProtocol, peer: `${hostname}:${port}` };
  } catch (error) {
    if (memory && signal.aborted) memory.wasSilent = true;
    if (conn) close(conn);
    // A connection that comes too late is closed as soon as it comes: Deno cannot stop the attempt itself.
    else connecting?.then(close, () => {});
    throw explainTransport(error, target, now());
  }
}

function close(conn: Deno.TlsConn): void {
  try {
    conn.close();
  } catch {
    // Closed already.
  }
}

function streamOf(conn: Deno.TlsConn): Pick<Transport, "stream" | "failure"> {
  const buffer = new Uint8Array(READ_BYTES);
  let failure: unknown;
  let reading = false;
  const fail = (error: unknown) => {
    failure ??= error;
    stream.destroy(error as Error);
  };
  const outbox = createOutbox((bytes) => conn.write(bytes), fail);
  const pump = async () => {
    try {
      for (let more = true; more;) {
        const n = await conn.read(buffer);
        if (stream.destroyed) return;
        more = stream.push(n === null ? null : Buffer.from(buffer.subarray(0, n))) && n !== null;
      }
      reading = false;
    } catch (error) {
      fail(error);
    }
  };
  const stream = new Duplex({
    // An end from the server is the end of the session: MQTT knows no half-open link.
    allowHalfOpen: false,
    read() {
      if (reading) return;
      reading = true;
      void pump();
    },
    // Text comes as it is: a payload as bytes would be one copy more.
    decodeStrings: false,
    write(piece: string | Uint8Array, _encoding, done) {
      outbox.add(piece, done);
    },
    final(done) {
      void outbox.flushed().then(() => done());
    },
    destroy(error, done) {
      close(conn);
      done(error);
    },
  });
  // MQTT.js holds back the pieces of a packet in every stream that it can, where the outbox gathers them better.
  Object.assign(stream, { cork: undefined });
  return { stream, failure: () => failure };
}
