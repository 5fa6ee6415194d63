/**
 * The socket that listens: made at a path, or handed over by systemd.
 *
 * Rules: at a path it is made where nothing is, or in place of a socket that nobody answers; nobody whom `listenMode` does
 * not allow can connect at any time. Deno 2.9.6 grants `umask` to no scoped process (`--allow-sys=umask`: unknown), so it
 * is looked at what mode the new socket has before it gets its own: with a umask of 022 or more nobody else may connect.
 */

import { createServer, type Server } from "node:net";
import { grantHint } from "../core/build.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import { checkSocketPlace, isAnswered, socketError } from "../core/socket_guard.ts";
import { folderOf } from "../core/file_guard.ts";
import { quote, shellWord } from "../core/text.ts";

/** Where systemd puts the first socket that it hands over: sd_listen_fds(3). */
const FIRST_FD = 3;
/** Bits of a mode by which others than the owner may connect. */
const MAY_CONNECT = 0o022;

/** Options of {@linkcode openSocket}. */
export interface SocketOptions {
  /** An absolute path, or `systemd`. */
  readonly listen: string;
  /** The socket's mode, octal; not with `systemd`. */
  readonly mode: string;
  readonly env: Pick<Deno.Env, "get">;
}

/**
 * Opens the socket.
 *
 * @throws {UserError} With exit code 73 if it cannot be made, or another process listens there.
 */
export async function openSocket({ listen, mode, env }: SocketOptions): Promise<Server> {
  // A client that has sent its last line still gets its receipts.
  const server = createServer({ allowHalfOpen: true });
  if (listen === "systemd") {
    checkHandedOver(env);
    await listening(server, () => server.listen({ fd: FIRST_FD }), "systemd");
    if (server.address() === null || typeof server.address() === "string") return server;
    server.close();
    throw notHandedOver("the socket is none of the kind that ListenStream=/PATH makes");
  }
  if (checkSocketPlace(listen)) {
    if (await isAnswered(listen)) {
      const hint = "stop the other process, or pass --listen with another path";
      throw socketError("listen-in-use", listen, "another process listens there", hint);
    }
    Deno.removeSync(listen);
  }
  await listening(server, () => {
    server.listen(listen);
    restrict(server, listen, parseInt(mode, 8));
  }, listen);
  return server;
}

/** Gives the new socket its mode. */
function restrict(server: Server, path: string, mode: number): void {
  const made = Deno.lstatSync(path).mode ?? 0;
  if ((made & MAY_CONNECT & ~mode) !== 0) {
    server.close();
    const why = "the umask would let others connect before the socket has its mode";
    throw socketError("listen-not-safe", path, why, "type `umask 077`, and start it again");
  }
  Deno.chmodSync(path, mode);
}

async function listening(server: Server, listen: () => void, where: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.once("listening", resolve);
  try {
    try {
      listen();
    } catch (error) {
      // Where it could not be made, the server's own error tells more.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await promise;
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (where === "systemd") throw notHandedOver(messageOf(error), error);
    throw socketError("listen-failed", where, messageOf(error), hintFor(error, where), error);
  } finally {
    server.removeListener("error", reject);
  }
}

function hintFor(error: unknown, path: string): string {
  if (error instanceof Deno.errors.NotCapable) return grantHint();
  const folder = shellWord(folderOf(path));
  return `the directory must exist and be this user's: \`ls -ld ${folder}\`; as a service use ` +
    "--listen systemd with mqtt443.socket";
}

function checkHandedOver(env: SocketOptions["env"]): void {
  const [pid, fds] = [env.get("LISTEN_PID"), env.get("LISTEN_FDS")];
  if (fds === undefined || pid !== String(Deno.pid)) {
    throw notHandedOver("systemd handed none to this process");
  }
  if (fds !== "1") {
    throw notHandedOver(`systemd handed over ${quote(fds)} sockets, and one is taken`);
  }
}

function notHandedOver(why: string, cause?: unknown): UserError {
  return new UserError(`Cannot listen on the socket of systemd: ${why}`, {
    code: "listen-failed",
    hint: "`systemctl enable mqtt443.socket`, then `systemctl stop mqtt443`, " +
      "`systemctl start mqtt443.socket mqtt443`; or pass --listen PATH",
    exitCode: EXIT.cannotCreate,
    step: "listen",
    cause,
  });
}
