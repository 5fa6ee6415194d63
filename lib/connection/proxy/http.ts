/** A tunnel through an HTTP proxy: CONNECT, and what is answered (RFC 9110 section 9.3.6). */

import { VERSION } from "../../core/build.ts";
import { place } from "../../core/endpoint.ts";
import { explainAnswer, explainNoProxy, explainProxyHungUp, type ProxyTarget } from "./explain.ts";
import type { Wire } from "./wire.ts";

/** Longest head of an answer that is read, in bytes: more than any proxy sends. */
const MAX_HEAD_BYTES = 16 * 1024;

/** How an answer begins. */
const VERSION_1 = "HTTP/1.";

/**
 * Asks an HTTP proxy for a tunnel to the endpoint.
 *
 * @param auth `user:password`; sent at once, unasked: each refusal counts where accounts are locked.
 * @returns What came behind the head: it belongs to the endpoint.
 * @throws {UserError} If there is no tunnel.
 */
export async function openHttpTunnel(
  wire: Wire,
  target: ProxyTarget,
  auth: string | undefined,
): Promise<string> {
  const to = place(target);
  const lines = [
    `CONNECT ${to} HTTP/1.1`,
    `Host: ${to}`,
    `User-Agent: mqtt443/${VERSION}`,
    ...(auth === undefined ? [] : [`Proxy-Authorization: Basic ${base64(auth)}`]),
  ];
  wire.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  const { head, rest } = await readHead(wire, target);
  const [, code, phrase = ""] = /^HTTP\/1\.\d (\d{3})(?: ([^\r\n]*))?\r?$/m.exec(head) ?? [];
  if (code === undefined) throw explainNoProxy(head, target);
  const status = Number(code);
  const headers = (name: string) =>
    [...head.matchAll(new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r?$`, "gim"))].map(([, value]) =>
      value!
    );
  const isPage = Number(headers("content-length")[0] ?? 0) > 0 ||
    headers("transfer-encoding").length > 0;
  if (status >= 200 && status < 300 && !isPage) return rest;
  throw explainAnswer({ status, phrase, headers }, target);
}

/** The head of the answer, in whatever pieces it comes, and what follows it; a byte is a character. */
async function readHead(wire: Wire, target: ProxyTarget): Promise<{ head: string; rest: string }> {
  const decoder = new TextDecoder("latin1");
  let text = "";
  for (let end: RegExpExecArray | null = null; end === null; end = /\n\r?\n/.exec(text)) {
    const bytes = await wire.read();
    if (bytes === null) throw explainProxyHungUp(target);
    text += decoder.decode(bytes);
    const isHttp = text.startsWith(VERSION_1.slice(0, text.length));
    if (!isHttp || text.length > MAX_HEAD_BYTES) throw explainNoProxy(text, target);
  }
  const [end] = /\n\r?\n/.exec(text)!;
  const at = text.indexOf(end) + end.length;
  return { head: text.slice(0, at), rest: text.slice(at) };
}

/** Basic of RFC 7617, in UTF-8. */
function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
