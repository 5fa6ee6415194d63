/**
 * The checks of `doctor` up to a usable connection: DNS, TCP, proxy, TLS, ALPN. With a proxy DNS and TCP are about it.
 *
 * Where our own verified connection fails, a second look finds out what is really there.
 */

import { checkClock, dayOf, type Identity } from "../identity/mod.ts";
import {
  addressesOf,
  explainAlpn,
  explainTimeout,
  explainTransport,
  openTcp,
  openTransport,
  type Transport,
  withProxyHint,
} from "../connection/mod.ts";
import { firstHop, place, type Target } from "../core/endpoint.ts";
import { type Check, type Finding, findingOf, ok } from "./checks.ts";
import { UserError } from "../core/errors.ts";
import { firstBytes, lookAtTls, type OpenHop, type TlsLook } from "./look.ts";
import type { Settings } from "../settings/mod.ts";
import { quote, toSeconds } from "../core/text.ts";
import { describeSpeech, verdictOnIssuer, verdictOnSpeech } from "./verdict.ts";
import { BUILT_AT } from "../core/build.ts";
import type { World } from "../core/process.ts";

/** What the online checks work with. */
export interface Site {
  readonly world: World;
  readonly settings: () => Settings;
  readonly identity: () => Identity;
  readonly target: () => Target;
  readonly hasProxy: () => boolean;
  /** Opens the way to the endpoint. */
  readonly open: OpenHop;
  /** The device certificate is not valid at this time. */
  readonly isOutOfDate: () => boolean;
}

/** How long what answers on the port may take to say its first word in plain text, in ms. */
const SPEECH_MS = 5000;

/** DNS, TCP, proxy, TLS and ALPN, in this order. */
export function reachChecks(site: Site): Check[] {
  let addresses: readonly string[] = [];
  let alpn: Finding | undefined;
  return [
    {
      name: "dns",
      needs: ["settings"],
      async look() {
        addresses = await lookUp(site);
        const { endpoint, isProxy } = firstHop(site.target());
        return ok(`${isProxy ? "the proxy " : ""}${endpoint} is ${addresses.join(", ")}`);
      },
    },
    {
      name: "tcp",
      needs: ["dns"],
      async look() {
        try {
          const who = site.target().proxy === undefined ? "" : "the proxy at ";
          return ok(`connected to ${who}${await reach(site)}`);
        } catch (error) {
          const finding = findingOf(error as UserError);
          return { ...finding, saw: `${finding.saw}; tried ${addresses.join(", ")}` };
        }
      },
    },
    {
      name: "proxy",
      get needs() {
        const needed = ["tcp", "files", "file-modes"] as const;
        return site.hasProxy() ? needed : ["settings"] as const;
      },
      look: () => lookAtProxy(site),
    },
    {
      name: "tls",
      needs: ["tcp", "proxy", "key-match", "file-modes"],
      async look() {
        const found = await secure(site);
        alpn = found.alpn;
        return found.tls;
      },
    },
    { name: "alpn", needs: ["tls"], look: () => alpn! },
  ];
}

/** Opens the verified TLS connection that MQTT would use. @throws {UserError} */
export function openVerified(site: Site, target = site.target()): Promise<Transport> {
  const { connectTimeout } = site.settings();
  return openTransport({
    target,
    identity: site.identity(),
    signal: AbortSignal.timeout(connectTimeout),
    timeoutMs: connectTimeout,
    now: site.world.now,
  });
}

/** Every address of the endpoint. */
async function lookUp(site: Site): Promise<string[]> {
  return await inTime(site, "dns", (signal) => addressesOf(firstHop(site.target()), signal));
}

/** Connects and closes; returns the address that answered. */
async function reach(site: Site): Promise<string> {
  const at = firstHop(site.target());
  const socket = await inTime(site, "tcp", (signal) => openTcp(at, { signal }));
  const peer = `${socket.remoteAddress}:${socket.remotePort}`;
  socket.destroy();
  return peer;
}

/** Has the proxy open the tunnel, and closes it. */
async function lookAtProxy(site: Site): Promise<Finding> {
  const { proxy, ...target } = site.target();
  if (proxy === undefined) return { status: "skipped", saw: "none is set" };
  const hop = await inTime(site, "proxy", site.open);
  hop.tcp.destroy();
  return ok(`${proxy.scheme} proxy ${place(proxy)} opened a tunnel to ${place(target)}`);
}

/** One step of an attempt, with the whole attempt's time. @throws {UserError} */
async function inTime<T>(
  site: Site,
  step: "dns" | "tcp" | "proxy",
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { connectTimeout } = site.settings();
  const signal = AbortSignal.timeout(connectTimeout);
  try {
    return await action(signal);
  } catch (error) {
    if (signal.aborted) throw explainTimeout(step, connectTimeout, site.target());
    throw asUserError(error, site);
  }
}

/** What the TLS handshake gave, and what became of ALPN in it. */
async function secure(site: Site): Promise<{ tls: Finding; alpn: Finding }> {
  const target = site.target();
  const asked = target.alpn;
  let alpn = ok("not asked for");
  try {
    const transport = await openVerified(site);
    transport.stream.destroy();
    if (asked !== undefined) alpn = ok(`asked for ${quote(asked)}, got ${quote(transport.alpn)}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const told = error.step === "tls" && asked !== undefined && await isAlpnCut(error, site)
      ? explainAlpn("hung-up", target)
      : error;
    if (told.step !== "alpn") return { tls: await explainTls(told, site), alpn };
    alpn = findingOf(told);
  }
  const look = await lookAgain(site);
  if (look === undefined) return { tls: ok("the server's certificate is trusted"), alpn };
  const { version, certificate: { subject, issuer, validTo } } = look;
  const brief = `${version}; server certificate ${quote(subject)}, issued by ${quote(issuer)}, to ${
    dayOf(validTo)
  }`;
  return { tls: ok(describeLook(look), brief), alpn };
}

/** Whether the server hangs up for no other reason than being asked for a protocol. */
async function isAlpnCut(error: UserError, site: Site): Promise<boolean> {
  if (!/hung up during/.test(error.message)) return false;
  try {
    (await openVerified(site, { ...site.target(), alpn: undefined })).stream.destroy();
    return true;
  } catch {
    return false;
  }
}

function lookAgain(site: Site): Promise<TlsLook | undefined> {
  const { connectTimeout } = site.settings();
  return lookAtTls(site.open, site.target(), site.identity().caPems, connectTimeout);
}

/** Adds to a TLS failure what a second look shows. */
async function explainTls(error: UserError, site: Site): Promise<Finding> {
  const finding = findingOf(error);
  const target = site.target();
  if (/no TLS answer|hung up during|does not speak TLS/.test(error.message)) {
    const timeoutMs = Math.min(SPEECH_MS, site.settings().connectTimeout);
    const speech = await firstBytes(site.open, target, timeoutMs);
    return {
      ...finding,
      saw: `no TLS handshake; ${describeSpeech(speech)}`,
      ...verdictOnSpeech(speech, target),
    };
  }
  // What an alert says, a second handshake would only say again.
  const look = /TLS alert/.test(error.message) ? undefined : await lookAgain(site);
  if (look === undefined) return finding;
  const saw = describeLook(look);
  const wrongClock = checkClock({ now: site.world.now(), builtAt: BUILT_AT });
  if (wrongClock && /its certificate (expired|is valid from)/.test(error.message)) {
    return { ...finding, saw, cause: wrongClock.message, hint: wrongClock.hint };
  }
  return /is not signed by/.test(error.message)
    ? { ...finding, saw, ...verdictOnIssuer(look.certificate, target) }
    : { ...finding, saw };
}

function describeLook({ version, alpn, certificate }: TlsLook): string {
  const { subject, issuer, names, validFrom, validTo, fingerprint, chain } = certificate;
  return `${version}, ALPN ${quote(alpn ?? "none")}; server certificate: subject ${
    quote(subject)
  }, ` +
    `issuer ${quote(issuer)}, names ${quote(names)}, valid ${toSeconds(validFrom)} to ${
      toSeconds(validTo)
    }, ` +
    `SHA-256 ${fingerprint}${
      chain.length > 1 ? `, signed by ${chain.map(quote).join(", by ")}` : ""
    }`;
}

function asUserError(error: unknown, site: Site): UserError {
  const told = explainTransport(error, firstHop(site.target()), site.world.now());
  return withProxyHint(told, site.world.env, site.settings()) as UserError;
}
