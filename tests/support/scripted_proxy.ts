/**
 * A proxy that opens tunnels as a test tells it: HTTP, HTTP within TLS, or SOCKS5; or answers in any other way. As a
 * program it serves until its input ends: `deno run -A scripted_proxy.ts http|https|socks5` prints its address.
 */

import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import tls from "node:tls";

/** What it is told. */
export interface ProxyScript {
  /** @default "http" */
  readonly scheme?: "http" | "https" | "socks5";
  /** `user:password` that it wants. @default nothing */
  readonly auth?: string;
  /** Certificate and key, for `https`. */
  readonly server?: { readonly cert: string; readonly key: string };
  /** What it answers in place of opening a tunnel: text, bytes, "silence", or "hang-up". */
  readonly answer?: string | Uint8Array;
  /** Whether answers come a byte at a time. @default false */
  readonly isTrickling?: boolean;
  /** What follows the head of its answer, before anything of the endpoint. */
  readonly early?: string;
  /** How it opens a tunnel in HTTP. @default "HTTP/1.1 200 Connection established\r\n\r\n" */
  readonly opened?: string;
  /** Where a tunnel really leads. @default where it was asked for */
  readonly to?: { readonly host: string; readonly port: number };
  readonly port?: number;
  /** @default 127.0.0.1 */
  readonly host?: string;
}

/** A running one. Disposing of it ends it. */
export interface ScriptedProxy extends AsyncDisposable {
  readonly port: number;
  /** For `--proxy`. */
  readonly url: string;
  /** The place asked for in each attempt: `HOST:PORT`. */
  readonly asked: readonly string[];
  /** Heads of what was asked, in HTTP. */
  readonly heads: readonly string[];
  /** `user:password` of each attempt; empty where there was none. */
  readonly credentials: readonly string[];
  /** Connections of this moment. */
  readonly open: () => number;
  /** Ends every tunnel at once. */
  cut(): void;
  /** Ends them and takes no more, until {@linkcode resume}. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Settles when the predicate holds; it is asked at each attempt and each end of one. */
  until(predicate: () => boolean): Promise<void>;
}

/** Starts it. */
export async function startProxy(script: ProxyScript = {}): Promise<ScriptedProxy> {
  const { scheme = "http", host = "127.0.0.1" } = script;
  const sockets = new Set<Socket>();
  const asked: string[] = [];
  const heads: string[] = [];
  const credentials: string[] = [];
  const waiting = new Set<() => void>();
  const changed = () => waiting.forEach((look) => look());

  const serve = async (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {}).on("close", () => {
      sockets.delete(socket);
      changed();
    });
    const say = async (bytes: Uint8Array | string) => {
      const all = Buffer.from(bytes as string);
      if (script.isTrickling) {
        for (const byte of all) {
          socket.write(Uint8Array.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
      } else socket.write(all);
    };
    const note = (what: string, auth: string) => {
      asked.push(what);
      credentials.push(auth);
      changed();
      if (script.answer === "silence") return false;
      if (script.answer === "hang-up") socket.destroy();
      else if (script.answer !== undefined) {
        void say(script.answer).then(() => socket.end().resume());
      }
      return script.answer === undefined;
    };
    const dialogue = { socket, say, note, heads, script };
    const place = await (scheme === "socks5" ? hearSocks(dialogue) : hearHttp(dialogue));
    if (place === undefined || socket.destroyed) return;
    const { host, port } = script.to ?? place;
    const up = connect({ host, port, noDelay: true, autoSelectFamily: true });
    sockets.add(up);
    let isOpen = false;
    up.on("error", () => {}).on("close", () => {
      sockets.delete(up);
      changed();
      if (isOpen) socket.destroy();
      else {void say(
          scheme === "socks5"
            ? Uint8Array.of(5, 5, 0, 1, 0, 0, 0, 0, 0, 0)
            : "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        ).then(() => socket.end());}
    });
    socket.on("close", () => up.destroy());
    up.once("connect", async () => {
      isOpen = true;
      await say(
        scheme === "socks5"
          ? Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0)
          : script.opened ?? "HTTP/1.1 200 Connection established\r\n\r\n",
      );
      if (script.early !== undefined) socket.write(script.early);
      up.pipe(socket);
      socket.pipe(up);
    });
  };
  const make = (): Server => {
    const listener = (socket: Socket) => void serve(socket).catch(() => socket.destroy());
    if (scheme !== "https") return createServer(listener);
    // Connections are counted, and cut, before their handshake is done too.
    return tls.createServer({ ...script.server! }, listener)
      .on("tlsClientError", () => {}) as unknown as Server;
  };
  const listen = async (port: number) => {
    server.listen(port, host);
    await once(server, "listening");
  };
  let server = make();
  await listen(script.port ?? 0);
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const pause = async () => {
    const closed = once(server, "close");
    server.close();
    cut();
    await closed;
  };
  return {
    port,
    url: `${scheme}://${scheme === "https" ? "localhost" : host}:${port}`,
    asked,
    heads,
    credentials,
    open: () => sockets.size,
    cut,
    pause,
    async resume() {
      server = make();
      await listen(port);
    },
    async until(predicate) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => predicate() && resolve();
      waiting.add(look);
      look();
      await promise;
      waiting.delete(look);
    },
    [Symbol.asyncDispose]: pause,
  };
}

interface Dialogue {
  readonly socket: Socket;
  readonly say: (bytes: Uint8Array | string) => Promise<void>;
  /** Notes an attempt; whether it goes on. */
  readonly note: (what: string, auth: string) => boolean;
  readonly heads: string[];
  readonly script: ProxyScript;
}

type Place = { readonly host: string; readonly port: number };

async function hearHttp(
  { socket, say, note, heads, script }: Dialogue,
): Promise<Place | undefined> {
  let head = "";
  while (!head.includes("\r\n\r\n")) head += (await next(socket)).toString("latin1");
  heads.push(head);
  const [, place = ""] = /^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(head) ?? [];
  const [, basic] = /^Proxy-Authorization: Basic (\S+)\r$/m.exec(head) ?? [];
  const auth = basic === undefined ? "" : Buffer.from(basic, "base64").toString();
  if (!note(place, auth)) return undefined;
  if (script.auth !== undefined && auth !== script.auth) {
    await say(
      'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="plant 7"\r\n' +
        "Content-Length: 4\r\n\r\nnope",
    );
    socket.end();
    return undefined;
  }
  const [, host = "", port] = /^\[?(.*?)\]?:(\d+)$/.exec(place) ?? [];
  return { host, port: Number(port) };
}

async function hearSocks({ socket, say, note, script }: Dialogue): Promise<Place | undefined> {
  let held = Buffer.alloc(0);
  const take = async (count: number) => {
    while (held.length < count) held = Buffer.concat([held, await next(socket)]);
    const taken = held.subarray(0, count);
    held = held.subarray(count);
    return taken;
  };
  const [, count] = await take(2);
  const methods = await take(count!);
  let auth = "";
  if (script.auth !== undefined) {
    if (!methods.includes(2)) {
      note("", auth);
      await say(Uint8Array.of(5, 0xff));
      socket.end();
      return undefined;
    }
    await say(Uint8Array.of(5, 2));
    const user = await take((await take(2))[1]!);
    const password = await take((await take(1))[0]!);
    auth = `${user}:${password}`;
    const isRight = auth === script.auth;
    await say(Uint8Array.of(1, isRight ? 0 : 1));
    if (!isRight) {
      note("", auth);
      socket.end();
      return undefined;
    }
  } else await say(Uint8Array.of(5, 0));
  const kind = (await take(4))[3]!;
  const host = kind === 3
    ? (await take((await take(1))[0]!)).toString()
    : kind === 1
    ? [...await take(4)].join(".")
    : (await take(16)).toString("hex").replace(/(....)(?=.)/g, "$1:");
  const port = (await take(2)).readUInt16BE();
  return note(`${host.includes(":") ? `[${host}]` : host}:${port}`, auth)
    ? { host, port }
    : undefined;
}

/** The next bytes; the socket is read no further. @throws {Error} At its end. */
async function next(socket: Socket): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const onEnd = () => reject(new Error("ended"));
  socket.once("data", (bytes: Buffer) => {
    socket.pause();
    resolve(bytes);
  }).once("end", onEnd).once("close", onEnd);
  socket.resume();
  return await promise.finally(() => socket.off("end", onEnd).off("close", onEnd));
}

if (import.meta.main) {
  const [scheme, folder] = Deno.args as ["http" | "https" | "socks5", string | undefined];
  const server = folder === undefined ? {} : {
    server: {
      cert: Deno.readTextFileSync(`${folder}/proxy.pem`),
      key: Deno.readTextFileSync(`${folder}/proxy.key`),
    },
  };
  const proxy = await startProxy({ scheme, ...server });
  console.log(proxy.url);
  for await (const _ of Deno.stdin.readable);
  Deno.exit(0);
}
