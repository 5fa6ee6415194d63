/**
 * The checks tls and alpn: our own verified handshake, with each address of the endpoint, and, where it fails, the
 * probes that decide why. What a probe sees never overrides what the handshake saw.
 */

import { checkClock, dayOf } from "../identity/mod.ts";
import { openTransport, type Transport } from "../connection/mod.ts";
import { BUILT_AT } from "../core/build.ts";
import type { Code } from "../core/codes.ts";
import { isAws, place, type Target } from "../core/endpoint.ts";
import { UserError } from "../core/errors.ts";
import type { World } from "../core/process.ts";
import { quote, toSeconds } from "../core/text.ts";
import type { Check, Found } from "./checks.ts";
import { need, type Site, siteOf } from "./facts.ts";
import { type Evidence, type Finding, findingOf, ok } from "./finding.ts";
import {
  evidenceOf,
  firstBytes,
  probeTls,
  type ProbeWords,
  speaksPlainMqtt,
  type TlsLook,
  type TlsProbe,
} from "./probe.ts";
import { describeSpeech, isAmazons, verdictOnHandshake, verdictOnIssuer } from "./verdict.ts";

/** How long one probe may take, in ms. */
const PROBE_MS = 5000;
/** Addresses of a name that are tried, at most. */
const MOST_ADDRESSES = 4;
/** A name that nobody blocks, to compare with. It is sent to the endpoint's address alone. */
const OTHER_NAME = "www.example.com";

/** No TLS handshake came about: probes decide why. */
const NO_HANDSHAKE: readonly Code[] = [
  "tls-timeout",
  "tls-stalled",
  "tls-hung-up",
  "tls-broken-off",
  "tls-alert",
  "server-name-unknown",
  "not-tls",
];
/** The server's certificate is not good by the clock. */
const BY_CLOCK: readonly Code[] = [
  "server-certificate-expired",
  "server-certificate-not-yet-valid",
];

/** TLS and ALPN, in this order. */
export function tlsChecks(world: World): Check[] {
  return [
    {
      name: "tls",
      needs: ["tcp", "proxy", "key-match", "file-modes"],
      async look(known) {
        const site = siteOf(world, known);
        // With a proxy they are the proxy's.
        const addresses = site.target.proxy ? [] : need(known, "addresses");
        return await lookAtTls(site, addresses.slice(0, MOST_ADDRESSES));
      },
    },
    { name: "alpn", needs: ["tls"], look: (known) => need(known, "alpn") },
  ];
}

/** What became of our own handshake with one address. */
interface Attempt {
  /** Undefined: whichever of them answers. */
  readonly address: string | undefined;
  /** The other ones, which are kept out. */
  readonly avoid: ReadonlySet<string> | undefined;
  readonly transport?: Pick<Transport, "alpn" | "tls" | "inspectedBy">;
  readonly error?: UserError;
}

/** Opens the verified TLS connection that MQTT would use. @throws {UserError} */
export function openVerified(site: Site, avoid?: ReadonlySet<string>): Promise<Transport> {
  const { connectTimeout } = site.settings;
  return openTransport({
    target: site.target,
    identity: site.identity,
    signal: AbortSignal.timeout(connectTimeout),
    timeoutMs: connectTimeout,
    now: site.world.now,
    ...(avoid && { avoid: new Set(avoid) }),
  });
}

async function attempt(
  site: Site,
  address: string | undefined,
  all: readonly string[],
): Promise<Attempt> {
  const avoid = address === undefined
    ? undefined
    : new Set(all.filter((other) => other !== address));
  try {
    const { stream, alpn, tls, inspectedBy } = await openVerified(site, avoid);
    stream.destroy();
    return { address, avoid, transport: { alpn, tls, inspectedBy } };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { address, avoid, error };
  }
}

async function lookAtTls(site: Site, addresses: readonly string[]): Promise<Found> {
  const several = addresses.length > 1;
  const attempts = several
    ? await Promise.all(addresses.map((address) => attempt(site, address, addresses)))
    : [await attempt(site, undefined, addresses)];
  const evidence = attempts.map((one) => evidenceOfAttempt(one, site.target, addresses[0]));
  const good = attempts.find(({ transport }) => transport);
  const bad = attempts.find(({ error }) => error);
  if (good === undefined) return await explainAttempt(bad!, site, evidence);
  const found = await describeAttempt(good, site, evidence);
  if (bad === undefined) return found;
  // publish leaves an address that fails for another one at its next attempt.
  const why = await explainAttempt(bad, site, evidence);
  const { cause, hint } = why;
  return {
    ...found,
    status: "warn",
    code: "address-differs",
    saw: `${good.address} answers well; ${bad.address}: ${why.saw}`,
    cause: `of the addresses of ${site.target.endpoint} ${bad.address} fails: ${cause}`,
    hint: `publish goes on to another address by itself, a try later; for ${bad.address}: ${hint}`,
    evidence: why.evidence ?? evidence,
    facts: { ...found.facts, avoid: new Set(addresses.filter((one) => one !== good.address)) },
  };
}

function evidenceOfAttempt(
  { address, transport, error }: Attempt,
  { endpoint, alpn }: Target,
  only: string | undefined,
): Evidence {
  const at = address ?? only;
  return {
    probe: "tls",
    name: endpoint,
    alpn: alpn ?? null,
    certificate: "ours",
    ...(at !== undefined && { address: at }),
    outcome: transport ? "secured" : error!.code,
    ...(transport && { tls: transport.tls }),
  };
}

/** A handshake that came about: what the server showed, and what became of ALPN in it. */
async function describeAttempt(
  { avoid, transport }: Attempt,
  site: Site,
  evidence: readonly Evidence[],
): Promise<Found> {
  const { target } = site;
  const alpn = target.alpn === undefined
    ? ok("not asked for")
    : ok(`asked for ${quote(target.alpn)}, got ${quote(transport!.alpn)}`);
  const { look } = await probeOf(site, avoid, {});
  const { inspectedBy } = transport!;
  const facts = { alpn, ...(inspectedBy !== undefined && { inspectedBy }) };
  const saw = look ? describeLook(look) : "the server's certificate is trusted";
  if (inspectedBy !== undefined) return { ...inspected(inspectedBy, site), saw, evidence, facts };
  return { ...ok(saw, look && briefOf(look)), evidence, facts };
}

function inspected(issuer: string, { target }: Site): Finding {
  return {
    status: "warn",
    code: "tls-inspected",
    saw: "",
    cause:
      `${quote(issuer)} issued the certificate of ${target.endpoint}, and AWS's are issued by ` +
      "Amazon: TLS is inspected on the way, and that CA is among those trusted here",
    hint: `ask who runs the network to let ${target.endpoint} through without TLS inspection: it ` +
      "cannot hand on this device's certificate; then trust AmazonRootCA1.pem in place of its CA",
  };
}

/** A handshake that failed: what the server shows without it, and what other words bring out. */
async function explainAttempt(
  { avoid, address, error }: Attempt,
  site: Site,
  evidence: readonly Evidence[],
): Promise<Found> {
  const failed = error!;
  if (failed.step === "alpn") {
    const { look } = await probeOf(site, avoid, {});
    const stranger = look && isAws(site.target.endpoint) && !isAmazons(look.certificate);
    const alpn = {
      ...findingOf(failed),
      ...(stranger && {
        code: "tls-inspected" as const,
        cause: inspected(look.certificate.issuer, site).cause!,
        hint: inspected(look.certificate.issuer, site).hint!,
      }),
      evidence,
    };
    const saw = look ? describeLook(look) : "the handshake went well, but for ALPN";
    return { ...ok(saw, look && briefOf(look)), evidence, facts: { alpn } };
  }
  if (NO_HANDSHAKE.includes(failed.code)) {
    return await decide(failed, { site, avoid, address, evidence });
  }
  const finding = findingOf(failed);
  if (failed.step !== "tls") return { ...finding, evidence };
  // What an alert says of our certificate, a handshake without one cannot show.
  if (failed.code === "client-certificate-refused") return { ...finding, evidence };
  const probe = await probeOf(site, avoid, {});
  return { ...explainCertificate(failed, probe, site), evidence: [...evidence, evidenceOf(probe)] };
}

/** What the certificate that is shown has to do with it. */
function explainCertificate(error: UserError, { look }: TlsProbe, site: Site): Finding {
  const { target, identity } = site;
  const finding = findingOf(error);
  if (look === undefined) {
    // Without verification node:tls still checks that the server holds the key it shows.
    return error.code === "server-signature"
      ? {
        ...finding,
        saw: `Cannot trust ${place(target)}: a signature does not fit, and it is none of a CA`,
        cause:
          "the server's own signature in the handshake is not taken: its key is too small (RSA " +
          "below 2048 bits), or is not that of its certificate",
        hint:
          "give the server a key of P-256, or RSA of 2048 bits or more, and a certificate for it",
      }
      : finding;
  }
  const saw = describeLook(look);
  const { certificate } = look;
  const now = site.world.now();
  const wrongClock = checkClock({ now, builtAt: BUILT_AT });
  if (wrongClock && BY_CLOCK.includes(error.code)) {
    return {
      ...finding,
      saw,
      code: "clock-wrong",
      cause: wrongClock.message,
      hint: wrongClock.hint,
    };
  }
  if (error.code === "server-certificate-expired") {
    const above = certificate.above.find(({ validTo }) => validTo < now);
    if (above === undefined || certificate.validTo < now) {
      const cause =
        `its certificate expired at ${toSeconds(certificate.validTo)}, and this device says ` +
        `it is ${toSeconds(now)}`;
      return { ...finding, saw, ...(certificate.validTo < now && { cause }) };
    }
    return {
      ...finding,
      saw,
      cause:
        `the server's own certificate is in date; ${quote(above.subject)} above it, which it ` +
        `sends along, expired at ${toSeconds(above.validTo)}`,
      hint: "who runs the server must put the renewed intermediate certificate into its chain",
    };
  }
  const known = identity.authorities.map(({ subject }) => subject);
  return error.code === "server-untrusted" || error.code === "server-signature"
    ? { ...finding, saw, ...verdictOnIssuer(certificate, target, known) }
    : { ...finding, saw };
}

/** Runs the probes that decide why no handshake came about. */
async function decide(
  error: UserError,
  { site, avoid, address, evidence }: {
    readonly site: Site;
    readonly avoid: ReadonlySet<string> | undefined;
    readonly address: string | undefined;
    readonly evidence: readonly Evidence[];
  },
): Promise<Found> {
  const { target, settings } = site;
  const timeoutMs = Math.min(PROBE_MS, settings.connectTimeout);
  const open = (signal: AbortSignal) => site.open(signal, avoid);
  const [same, noAlpn, otherName, noName, speech] = await Promise.all([
    probeOf(site, avoid, {}),
    target.alpn === undefined ? undefined : probeOf(site, avoid, { alpn: undefined }),
    probeOf(site, avoid, { name: OTHER_NAME }),
    probeOf(site, avoid, { name: undefined }),
    firstBytes(open, target, timeoutMs),
  ]);
  const isQuiet = speech === "closed" || speech === "silent";
  const isPlainMqtt = isQuiet && await speaksPlainMqtt(open, timeoutMs);
  const first = error.code;
  const probes = [same, ...(noAlpn ? [noAlpn] : []), otherName, noName];
  const seen = { first, same, noAlpn, otherName, noName, speech, isPlainMqtt };
  const { code, exitCode, ...verdict } = verdictOnHandshake(seen, target);
  const finding = findingOf(error);
  const plain = isPlainMqtt ? "in plain text it speaks MQTT" : describeSpeech(speech);
  const all = [
    ...evidence,
    ...probes.map((probe) => evidenceOf(probe, address)),
    {
      probe: "plain",
      ...(address !== undefined && { address }),
      outcome: isPlainMqtt ? "mqtt" : typeof speech === "string" ? speech : "said",
      ...(typeof speech === "object" && { said: speech.said.slice(0, 60) }),
    },
  ];
  const told = {
    ...finding,
    ...verdict,
    code: code ?? finding.code!,
    exitCode: exitCode ?? finding.exitCode!,
    saw: `${error.message}; ${describeProbes(seen)}; ${plain}`,
    evidence: all,
  };
  if (code !== "alpn-cut") return told;
  // The handshake is good but for the question.
  const saw = noAlpn?.look ? describeLook(noAlpn.look) : "without ALPN a handshake comes about";
  return { ...ok(saw), evidence: all, facts: { alpn: { ...told, status: "fail" } } };
}

/** The probes in a sentence: those that were answered, and those that were not. */
function describeProbes(
  { same, noAlpn, otherName, noName }: {
    readonly same: TlsProbe;
    readonly noAlpn: TlsProbe | undefined;
    readonly otherName: TlsProbe;
    readonly noName: TlsProbe;
  },
): string {
  const named: readonly (readonly [string, TlsProbe | undefined])[] = [
    ["without our certificate", same],
    ["without ALPN", noAlpn],
    [`for the name ${otherName.name}`, otherName],
    ["for no name", noName],
  ];
  return named.flatMap(([what, probe]) => probe ? [`${what}: ${outcomeText(probe)}`] : [])
    .join(", ");
}

function outcomeText({ outcome, bytes, said }: TlsProbe): string {
  if (outcome === "secured") return "answered";
  if (outcome === "alert") return `TLS alert ${said}`;
  if (outcome === "unreachable") return "no connection";
  const end = outcome === "silent" ? "silence" : outcome === "hung-up" ? "hung up" : "no TLS";
  return bytes > 0 ? `${bytes} bytes, then ${end}` : end;
}

/** A probe with our words, but for those given. */
function probeOf(
  { open, target, identity, settings }: Site,
  avoid: ReadonlySet<string> | undefined,
  words: Partial<ProbeWords>,
): Promise<TlsProbe> {
  return probeTls(open, { name: target.endpoint, alpn: target.alpn, ...words }, {
    caPems: identity.caPems,
    timeoutMs: Math.min(PROBE_MS, settings.connectTimeout),
    avoid,
  });
}

function briefOf({ version, certificate: { subject, issuer, validTo } }: TlsLook): string {
  return `${version}; server certificate ${quote(subject)}, issued by ${quote(issuer)}, to ${
    dayOf(validTo)
  }`;
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
