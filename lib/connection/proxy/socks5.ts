/** A tunnel through a SOCKS5 proxy (RFC 1928), without or with user and password (RFC 1929). */

import { isIP } from "node:net";
import {
  explainAuth,
  explainLongAuth,
  explainNoProxy,
  explainProxyHungUp,
  explainReply,
  type ProxyTarget,
} from "./explain.ts";
import type { Wire } from "./wire.ts";

const VERSION_5 = 5;
/** Ways to prove who one is. */
const METHOD = { none: 0, password: 2, noneFits: 0xff };
/** Kinds of address. */
const KIND = { ipv4: 1, name: 3, ipv6: 4 };
/** Longest user, and longest password, in bytes. */
const MAX_BYTES = 255;

/**
 * Asks a SOCKS5 proxy for a tunnel to the endpoint, whose name it resolves.
 *
 * @param auth `user:password`
 * @returns What came behind the last answer: it belongs to the endpoint.
 * @throws {UserError} If there is no tunnel.
 */
export async function openSocksTunnel(
  wire: Wire,
  target: ProxyTarget,
  auth: string | undefined,
): Promise<string> {
  let held = new Uint8Array(0);
  const take = async (count: number): Promise<Uint8Array> => {
    while (held.length < count) {
      const bytes = await wire.read();
      if (bytes === null) throw explainProxyHungUp(target);
      held = Uint8Array.from([...held, ...bytes]);
      if (held[0] !== VERSION_5 && isFirst) throw explainNoProxy(latin1(held), target);
    }
    const taken = held.slice(0, count);
    held = held.slice(count);
    return taken;
  };
  const say = (...bytes: number[]) => wire.write(Uint8Array.from(bytes));
  let isFirst = true;

  const methods = auth === undefined ? [METHOD.none] : [METHOD.none, METHOD.password];
  say(VERSION_5, methods.length, ...methods);
  const [, method] = await take(2);
  isFirst = false;
  if (method === METHOD.noneFits || !methods.includes(method!)) {
    throw explainAuth(auth === undefined ? {} : { offered: ["another way"] }, target);
  }
  if (method === METHOD.password) {
    const colon = auth!.indexOf(":");
    const [user, password] = [auth!.slice(0, colon), auth!.slice(colon + 1)]
      .map((text) => [...new TextEncoder().encode(text)]) as [number[], number[]];
    if (Math.max(user.length, password.length) > MAX_BYTES) throw explainLongAuth(target);
    say(1, user.length, ...user, password.length, ...password);
    const [, status] = await take(2);
    if (status !== 0) throw explainAuth({}, target);
  }
  say(VERSION_5, 1, 0, ...addressOf(target.endpoint), target.port >> 8, target.port & 0xff);
  const [version, reply, , kind] = await take(4);
  if (version !== VERSION_5) throw explainNoProxy(latin1(held), target);
  if (reply !== 0) throw explainReply(reply!, target);
  // The address that the proxy itself uses, and its port.
  const length = kind === KIND.ipv4 ? 4 : kind === KIND.ipv6 ? 16 : (await take(1))[0]!;
  await take(length + 2);
  return latin1(held);
}

/** Kind and bytes of the address. */
function addressOf(endpoint: string): number[] {
  switch (isIP(endpoint)) {
    case 4:
      return [KIND.ipv4, ...endpoint.split(".").map(Number)];
    case 6:
      return [KIND.ipv6, ...ipv6Bytes(endpoint)];
    default:
      return [KIND.name, endpoint.length, ...new TextEncoder().encode(endpoint)];
  }
}

function ipv6Bytes(address: string): number[] {
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [before, behind] = plain.split("::").map((part) =>
    part === "" ? [] : part.split(":").map((word) => parseInt(word, 16))
  );
  const zeros = Array(8 - before!.length - (behind?.length ?? 0)).fill(0);
  return [...before!, ...zeros, ...behind ?? []].flatMap((word) => [word >> 8, word & 0xff]);
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
