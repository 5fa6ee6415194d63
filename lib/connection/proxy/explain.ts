/**
 * What a proxy's answer means: from a status, a reply code or silence to a sentence and a hint. Pure.
 *
 * The codes `proxy-auth-refused` and `proxy-forbidden` make the next attempt wait as long as it may: a wrong password
 * that is tried each second locks accounts.
 */

import { firstHop, nameOf, place, type Proxy, type Target } from "../../core/endpoint.ts";
import type { Code } from "../../core/codes.ts";
import { EXIT, type ExitCode, UserError } from "../../core/errors.ts";
import { quote } from "../../core/text.ts";

/** An endpoint behind a proxy. */
export type ProxyTarget = Target & { readonly proxy: Proxy };

/** An answer to CONNECT that opens no tunnel. */
export interface HttpAnswer {
  readonly status: number;
  readonly phrase: string;
  /** The values of a header, by its name. */
  readonly headers: (name: string) => readonly string[];
}

/** Ways of proving who one is that are not spoken here. */
const OTHER_WAYS = /\b(NTLM|Negotiate|Kerberos|Digest|Bearer)\b/gi;

/** Meaning of the reply codes of SOCKS5 (RFC 1928 section 6). */
const REPLIES = [
  "",
  "general failure",
  "not allowed by its rules",
  "network unreachable",
  "host unreachable",
  "connection refused",
  "TTL expired",
  "command not supported",
  "address type not supported",
];

/** Why an HTTP proxy opens no tunnel. */
export function explainAnswer(answer: HttpAnswer, target: ProxyTarget): UserError {
  const { status, phrase, headers } = answer;
  const said = phrase === "" ? String(status) : `${status} ${cut(phrase)}`;
  if (status === 407 || status === 401) {
    const asked = [...headers("proxy-authenticate"), ...headers("www-authenticate")].join(", ");
    const plain = asked.replace(/"[^"]*"/g, "");
    const offered = [...plain.matchAll(OTHER_WAYS)].map(([way]) => way);
    const realm = /\bbasic\b[^]*?\brealm="?([^",]*)/i.exec(asked)?.[1];
    return explainAuth(
      {
        ...(realm && { realm }),
        ...(!/\bbasic\b/i.test(plain) && offered.length > 0 && { offered }),
      },
      target,
    );
  }
  if (status === 403) return forbidden(said, target);
  if (status < 400) {
    const [to] = headers("location");
    return failure(
      "proxy-portal",
      `A log-in page answers in place of ${proxyName(target)} (${said}${
        to === undefined ? "" : `, at ${quote(to)}`
      })`,
      `log in there from this network, or ask who runs it to let this device through to ${
        place(target)
      }`,
    );
  }
  if (status >= 500 && status !== 501) return unreachable(said, target);
  return failure(
    "proxy-not-a-proxy",
    `${capital(proxyName(target))} opens no tunnel to ${place(target)} (${said})`,
    "a web server answers so: check host and port of --proxy; if it is the proxy, ask who runs it for CONNECT",
  );
}

/** Why a SOCKS5 proxy opens no tunnel. */
export function explainReply(code: number, target: ProxyTarget): UserError {
  const said = `SOCKS reply ${code}: ${REPLIES[code] ?? "unknown"}`;
  return code === 2 ? forbidden(said, target) : unreachable(said, target);
}

/**
 * Why a proxy does not take the user and password, or their absence.
 *
 * @param offered The ways it takes, where ours is not among them.
 */
export function explainAuth(
  { realm, offered }: { realm?: string; offered?: readonly string[] },
  target: ProxyTarget,
): UserError {
  const name = capital(proxyName(target));
  const { authFile } = target.proxy;
  if (offered !== undefined) {
    return failure(
      "proxy-auth-unsupported",
      `${name} takes ${
        [...new Set(offered)].join(", ")
      }; a user with a password (Basic) alone is spoken here`,
      `ask who runs it for an exception for ${place(target)}, or run a relay on this machine ` +
        "(as cntlm) and pass --proxy http://127.0.0.1:PORT",
      EXIT.refused,
    );
  }
  if (authFile === undefined) {
    return failure(
      "proxy-auth-required",
      `${name} wants a user and password${realm === undefined ? "" : ` (realm ${quote(realm)})`}`,
      "put user:password into a file, `chmod 600` it, and pass --proxy-auth-file FILE",
      EXIT.refused,
    );
  }
  return failure(
    "proxy-auth-refused",
    `${name} refuses the user and password in ${quote(authFile)}`,
    "ask who runs it; the first line of that file is user:password, and is read anew at each attempt",
    EXIT.refused,
  );
}

/** SOCKS5 has one byte for the length of each. */
export function explainLongAuth(target: ProxyTarget): UserError {
  return failure(
    "proxy-auth-too-long",
    `Cannot use the user and password in ${
      quote(target.proxy.authFile)
    }: SOCKS5 takes at most 255 bytes of each`,
    "ask who runs the proxy for a shorter one",
    EXIT.config,
  );
}

/** What answers is no proxy of this kind. */
export function explainNoProxy(said: string, target: ProxyTarget): UserError {
  const kind = target.proxy.scheme === "socks5" ? "SOCKS5" : "HTTP";
  const line = said.split(/[\r\n]/)[0]!.replace(/[^\x20-\x7e]/g, ".").slice(0, 60);
  return failure(
    "proxy-not-a-proxy",
    `What answers at ${place(target.proxy)} is no ${kind} proxy: it says ${quote(line)}`,
    "check scheme (http, https, socks5) and port of --proxy",
  );
}

/** It hung up in place of an answer. */
export function explainProxyHungUp(target: ProxyTarget, cause?: unknown): UserError {
  return failure(
    "proxy-hung-up",
    `${capital(proxyName(target))} hung up before it opened a tunnel to ${place(target)}`,
    "check scheme (http, https, socks5) and port of --proxy, and ask who runs it",
    EXIT.unavailable,
    cause,
  );
}

function forbidden(said: string, target: ProxyTarget): UserError {
  const other = target.port === 443 ? "" : "; most proxies allow port 443 alone";
  return failure(
    "proxy-forbidden",
    `${capital(proxyName(target))} does not allow a tunnel to ${place(target)} (${said})`,
    `ask who runs it to allow CONNECT to ${place(target)}${other}`,
  );
}

function unreachable(said: string, target: ProxyTarget): UserError {
  return failure(
    "proxy-unreachable",
    `${capital(proxyName(target))} cannot reach ${place(target)} (${said})`,
    "its DNS or firewall may be in the way: ask who runs it; check --endpoint and --port",
  );
}

/** The proxy in a sentence. */
export function proxyName(target: ProxyTarget): string {
  return nameOf(firstHop(target));
}

function capital(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}`;
}

/** A server's words, in a sentence. */
function cut(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, ".").slice(0, 60);
}

function failure(
  code: Code,
  message: string,
  hint: string,
  exitCode: ExitCode = EXIT.unavailable,
  cause?: unknown,
): UserError {
  return new UserError(message, { code, hint, exitCode, step: "proxy", cause });
}
