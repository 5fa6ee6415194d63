/**
 * TCP connections of `node:net`, which can be given up at any moment, and the addresses behind a name.
 *
 * A name with several addresses is tried as RFC 8305 (happy eyeballs) says. Deno 2.9.6 cannot do that itself in a scoped
 * process: a grant for `host:port` covers the addresses that node:net has looked up, but on its first attempt alone; the
 * second throws NotCapable out of a callback (measured). So each address gets a socket of its own, with its own look-up,
 * and the address to connect to is chosen where that socket's handle is told to connect.
 */

import { lookup } from "node:dns";
import { connect, isIP, type Socket } from "node:net";
import type { Target } from "../core/endpoint.ts";

/** How long one address may take before the next one is tried beside it, in ms (RFC 8305 section 5). */
const STAGGER_MS = 250;

/** Longer than any attempt: node:net never goes on to a next address by itself. */
const NEVER_MS = 2 ** 31 - 1;

/** Options of {@linkcode openTcp}. */
export interface TcpOptions {
  /** Gives the attempt up: every socket is closed. */
  readonly signal: AbortSignal;
  /** Called when the name has its addresses. */
  readonly onResolved?: () => void;
  /** Addresses that are tried last; emptied when it holds all of them. @default none */
  readonly avoid?: Set<string>;
}

/** Whether that is an IP address and no name. */
export function isAddress(endpoint: string): boolean {
  return isIP(endpoint) !== 0;
}

/**
 * Every address of a host, looked up afresh.
 *
 * @throws {Error} If there is none, or the signal came first.
 */
export function addressesOf(
  { endpoint, port }: Pick<Target, "endpoint" | "port">,
  signal: AbortSignal,
): Promise<string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string[]>();
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  // With the port, the grant of that one host and port is enough. (node:dns/promises forgets the port.)
  const options = { all: true, port } as { all: true };
  lookup(endpoint, options, (error, found) => {
    if (error) reject(error);
    else resolve(found.map(({ address }) => address));
  });
  return promise;
}

/**
 * Opens a TCP connection, with no delay set.
 *
 * @throws {Error} The first failure when every address has failed; the signal's reason when it came first.
 */
export function openTcp(
  target: Pick<Target, "endpoint" | "port">,
  { signal, onResolved, avoid = new Set() }: TcpOptions,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const sockets = new Set<Socket>();
  const tried = new Set<string>();
  let isMoreLeft = false;
  let failure: unknown;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const settle = (winner?: Socket) => {
    clearTimeout(timer);
    // An error of the winner, later, dials no other address.
    isMoreLeft = false;
    signal.removeEventListener("abort", onAbort);
    for (const socket of sockets) if (socket !== winner) socket.destroy();
  };
  const onAbort = () => {
    settle();
    reject(signal.reason);
  };
  const choose = (addresses: readonly string[]): string => {
    onResolved?.();
    if (addresses.every((address) => avoid.has(address))) avoid.clear();
    const left = addresses.filter((address) => !tried.has(address));
    const chosen = left.find((address) => !avoid.has(address)) ?? left[0] ?? addresses[0]!;
    tried.add(chosen);
    isMoreLeft = left.length > 1;
    if (isMoreLeft) timer = setTimeout(next, STAGGER_MS);
    return chosen;
  };
  const next = () => {
    clearTimeout(timer);
    isMoreLeft = false;
    const socket = dial(target, choose);
    sockets.add(socket);
    socket.once("connect", () => {
      settle(socket);
      resolve(socket);
    });
    // Kept after the connection is made: an error without a listener would end the process.
    socket.on("error", (error) => {
      failure ??= error;
      sockets.delete(socket);
      if (isMoreLeft) return next();
      if (sockets.size > 0) return;
      settle();
      reject(failure);
    });
  };
  if (signal.aborted) onAbort();
  else {
    signal.addEventListener("abort", onAbort, { once: true });
    next();
  }
  return promise;
}

/** What of node:net's handle is used; without it the first address is taken. */
interface Handle {
  connect(request: unknown, address: string, port: number): number;
  connect6(request: unknown, address: string, port: number): number;
}

/** A socket that connects to the chosen one of the addresses that its own look-up finds. */
function dial(
  { endpoint, port }: Pick<Target, "endpoint" | "port">,
  choose: (addresses: readonly string[]) => string,
): Socket {
  const socket = connect({
    host: endpoint,
    port,
    noDelay: true,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEVER_MS,
  });
  socket.on(
    "connectionAttemptFailed",
    (...[, , , error]: unknown[]) => socket.destroy(error as Error),
  );
  if (isAddress(endpoint)) return socket;
  const found: string[] = [];
  socket.on("lookup", (_error, address: string) => void (address && found.push(address)));
  const handle = (socket as unknown as { _handle?: Handle })._handle;
  if (handle === undefined) return socket;
  const { connect: connect4, connect6 } = handle;
  handle.connect = handle.connect6 = (request, first, at) => {
    const address = found.length === 0 ? first : choose(found);
    return (isIP(address) === 6 ? connect6 : connect4).call(handle, request, address, at);
  };
  return socket;
}
