/**
 * The checks of `doctor` up to a usable connection: DNS, TCP, proxy, TLS, ALPN. With a proxy DNS and TCP are about it.
 *
 * Where our own verified connection fails, a second look finds out what is really there.
 */

import type { Code } from "../core/codes.ts";
import { checkClock, dayOf } from "../identity/mod.ts";
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
import { firstHop, place } from "../core/endpoint.ts";
import type { Check } from "./checks.ts";
import { type Finding, findingOf, ok } from "./finding.ts";
import { UserError } from "../core/errors.ts";
import { type Known, need, type Site, siteOf, targetIn } from "./facts.ts";
import { firstBytes, lookAtTls, type TlsLook } from "./look.ts";
import { quote, toSeconds } from "../core/text.ts";
import { describeSpeech, verdictOnIssuer, verdictOnSpeech } from "./verdict.ts";
import { BUILT_AT } from "../core/build.ts";
import type { World } from "../core/process.ts";

/** How long what answers on the port may take to say its first word in plain text, in ms. */
const SPEECH_MS = 5000;

/** No TLS handshake came about. */
const NO_HANDSHAKE: readonly Code[] = ["tls-timeout", "tls-hung-up", "not-tls"];
/** The server said why with an alert. */
const ALERTS: readonly Code[] = ["client-certificate-refused", "tls-alert"];
/** The server's certificate is not good by the clock. */
const BY_CLOCK: readonly Code[] = [
  "server-certificate-expired",
  "server-certificate-not-yet-valid",
];

/** DNS, TCP, proxy, TLS and ALPN, in this order. */
export function reachChecks(world: World): Check[] {
  return [
    {
      name: "dns",
      needs: ["settings"],
      async look(known) {
        const addresses = await lookUp(world, known);
        const { endpoint, isProxy } = firstHop(targetIn(known));
        const saw = `${isProxy ? "the proxy " : ""}${endpoint} is ${addresses.join(", ")}`;
        return { ...ok(saw), facts: { addresses } };
      },
    },
    {
      name: "tcp",
      needs: ["dns"],
      async look(known) {
        try {
          const who = targetIn(known).proxy === undefined ? "" : "the proxy at ";
          return ok(`connected to ${who}${await reach(world, known)}`);
        } catch (error) {
          const finding = findingOf(error as UserError);
          const tried = need(known, "addresses").join(", ");
          return { ...finding, saw: `${finding.saw}; tried ${tried}` };
        }
      },
    },
    {
      name: "proxy",
      needs: ["tcp", "files", "file-modes"],
      look: (known) => lookAtProxy(world, known),
    },
    {
      name: "tls",
      needs: ["tcp", "proxy", "key-match", "file-modes"],
      async look(known) {
        const { tls, alpn } = await secure(siteOf(world, known));
        return { ...tls, facts: { alpn } };
      },
    },
    { name: "alpn", needs: ["tls"], look: (known) => need(known, "alpn") },
  ];
}

/** Opens the verified TLS connection that MQTT would use. @throws {UserError} */
export function openVerified(site: Site, target = site.target): Promise<Transport> {
  const { connectTimeout } = site.settings;
  return openTransport({
    target,
    identity: site.identity,
    signal: AbortSignal.timeout(connectTimeout),
    timeoutMs: connectTimeout,
    now: site.world.now,
  });
}

/** Every address of the endpoint. */
async function lookUp(world: World, known: Known): Promise<string[]> {
  const at = firstHop(targetIn(known));
  return await inTime(world, known, "dns", (signal) => addressesOf(at, signal));
}

/** Connects and closes; returns the address that answered. */
async function reach(world: World, known: Known): Promise<string> {
  const at = firstHop(targetIn(known));
  const socket = await inTime(world, known, "tcp", (signal) => openTcp(at, { signal }));
  const peer = `${socket.remoteAddress}:${socket.remotePort}`;
  socket.destroy();
  return peer;
}

/** Has the proxy open the tunnel, and closes it. */
async function lookAtProxy(world: World, known: Known): Promise<Finding> {
  const site = siteOf(world, known);
  const { proxy, ...target } = site.target;
  if (proxy === undefined) return { status: "skipped", saw: "none is set" };
  const hop = await inTime(world, known, "proxy", site.open);
  hop.tcp.destroy();
  return ok(`${proxy.scheme} proxy ${place(proxy)} opened a tunnel to ${place(target)}`);
}

/** One step of an attempt, with the whole attempt's time. @throws {UserError} */
async function inTime<T>(
  world: World,
  known: Known,
  step: "dns" | "tcp" | "proxy",
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { settings } = need(known, "loaded");
  const { connectTimeout } = settings;
  const target = targetIn(known);
  const signal = AbortSignal.timeout(connectTimeout);
  try {
    return await action(signal);
  } catch (error) {
    if (signal.aborted) throw explainTimeout(step, connectTimeout, target);
    const told = explainTransport(error, firstHop(target), world.now());
    throw withProxyHint(told, world.env, settings);
  }
}

/** What the TLS handshake gave, and what became of ALPN in it. */
async function secure(site: Site): Promise<{ tls: Finding; alpn: Finding }> {
  const target = site.target;
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
  if (error.code !== "tls-hung-up") return false;
  try {
    (await openVerified(site, { ...site.target, alpn: undefined })).stream.destroy();
    return true;
  } catch {
    return false;
  }
}

function lookAgain(site: Site): Promise<TlsLook | undefined> {
  const { connectTimeout } = site.settings;
  return lookAtTls(site.open, site.target, site.identity.caPems, connectTimeout);
}

/** Adds to a TLS failure what a second look shows. */
async function explainTls(error: UserError, site: Site): Promise<Finding> {
  const finding = findingOf(error);
  const target = site.target;
  if (NO_HANDSHAKE.includes(error.code)) {
    const timeoutMs = Math.min(SPEECH_MS, site.settings.connectTimeout);
    const speech = await firstBytes(site.open, target, timeoutMs);
    return {
      ...finding,
      saw: `no TLS handshake; ${describeSpeech(speech)}`,
      ...verdictOnSpeech(speech, target),
    };
  }
  // What an alert says, a second handshake would only say again.
  const look = ALERTS.includes(error.code) ? undefined : await lookAgain(site);
  if (look === undefined) return finding;
  const saw = describeLook(look);
  const wrongClock = checkClock({ now: site.world.now(), builtAt: BUILT_AT });
  if (wrongClock && BY_CLOCK.includes(error.code)) {
    return { ...finding, saw, cause: wrongClock.message, hint: wrongClock.hint };
  }
  return error.code === "server-untrusted"
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
