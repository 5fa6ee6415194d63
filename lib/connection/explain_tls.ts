/**
 * What a failed TLS handshake means. Pure.
 *
 * Told apart by what the server had sent by then: without a byte of it our certificate was not asked for, let alone
 * refused; and an alert in place of its first flight speaks of our first words, not of our certificate.
 */

import { EXIT, messageOf, type UserError } from "../core/errors.ts";
import { isAws, nameOf, place, type Target } from "../core/endpoint.ts";
import { quote } from "../core/text.ts";
import { failure, type Words } from "./words.ts";

/** What is known of the handshake besides its error. */
export interface Handshaking {
  readonly now: Date;
  /** Bytes that the server had sent in it; undefined where they cannot be counted. */
  readonly bytes?: number | undefined;
}

/** An alert is a record of seven bytes, and a ServerHello longer than that. */
const ALERT_BYTES = 7;

/** The words about an error of TLS; undefined for any other. */
export function tlsWords(
  error: unknown,
  target: Target,
  { now, bytes }: Handshaking,
): Words | undefined {
  const text = messageOf(error);
  return hungUp(error, target, bytes) ?? wrongName(error, target) ??
    spokenWords(text, target, { now, bytes }) ?? chain(error, text, target);
}

/** The words about what the other side's TLS says, in the handshake or later; undefined for anything else. */
export function spokenWords(
  text: string,
  target: Target,
  { now, bytes }: Handshaking,
): Words | undefined {
  return certificate(text, target, now) ?? alert(text, target, bytes);
}

/**
 * The failure of a handshake in which the server did not agree to our protocol: `got` is what it agreed to instead, or
 * that it hung up only because of the question.
 */
export function explainAlpn(got: string | null | "hung-up", target: Target): UserError {
  const head = `Cannot use the connection to ${place(target)}`;
  const asked = quote(target.alpn);
  const step = "alpn";
  if (got === "hung-up") {
    return failure({
      code: "alpn-cut",
      message: `${head}: it hangs up when asked for protocol ${asked}, and not without`,
      hint: "a firewall most likely cuts it: ask for outgoing TLS to that host and port without " +
        "inspection; for a broker without ALPN pass --alpn none",
      step,
    });
  }
  if (got === null && target.port === 443 && isAws(target.endpoint)) {
    return failure({
      code: "alpn-ignored",
      message:
        `${head}: protocol ${asked} was lost on the way: AWS always agrees to it on port 443, and this answer does not`,
      hint: "a proxy that inspects TLS takes it out: ask who runs the network to let it through",
      step,
    });
  }
  return failure({
    code: got === null ? "alpn-ignored" : "alpn-other",
    message: got === null
      ? `${head}: it answered without protocol ${asked}: the server ignores ALPN`
      : `${head}: it answered with protocol ${quote(got)} instead of ${asked}`,
    hint: "for a broker without ALPN pass --alpn none (and its port); for AWS check --endpoint",
    step,
  });
}

function hungUp(error: unknown, target: Target, bytes: number | undefined): Words | undefined {
  const { code } = error as { code?: string };
  if (code !== "ECONNRESET" && code !== "EPIPE") return undefined;
  const head = `Cannot secure the connection to ${nameOf(target)}`;
  if (bytes === 0) {
    return {
      code: "tls-hung-up",
      message: `${head}: it hung up on the first packet of the TLS handshake`,
      hint:
        "our certificate was not asked for yet: a firewall that cuts TLS, or a server without TLS; " +
        "`mqtt443 doctor` finds out which; check --endpoint and --port",
      step: "tls",
    };
  }
  return {
    code: "tls-broken-off",
    message: `${head}: it hung up during the TLS handshake`,
    // With TLS 1.2 a server that will not have our certificate may hang up here without an alert.
    hint: bytes === undefined
      ? "check --endpoint and --port (a firewall or another kind of server may be there), and that " +
        "the certificate is registered and active"
      : "it had answered: see that the device certificate is registered and active; its log says why",
    step: "tls",
  };
}

/** node:tls gives the certificate along, with its names as `DNS:a.example, IP Address:192.0.2.1`. */
function wrongName(error: unknown, target: Target): Words | undefined {
  const { code, cert } = error as {
    code?: string;
    cert?: { subjectaltname?: string; subject?: { CN?: string } };
  };
  if (code !== "ERR_TLS_CERT_ALTNAME_INVALID") return undefined;
  const names = [...(cert?.subjectaltname ?? "").matchAll(/(DNS|IP Address):([^,\s]+)/g)]
    .map(([, kind, name]) => ({ kind, name: name! }));
  const common = cert?.subject?.CN;
  const offered = names.length > 0
    ? names.map(({ name }) => quote(name)).join(" or ")
    : common === undefined
    ? "no name at all"
    : `${quote(common)} (its subject; it names no host)`;
  const head = `Cannot trust ${nameOf(target)}: its certificate is for`;
  // An address must stand there as one: as a host's name it counts for nothing.
  if (names.some(({ kind, name }) => kind === "DNS" && name === target.endpoint)) {
    return {
      code: "server-name",
      message: `${head} a host named ${quote(target.endpoint)}, not for the address`,
      hint:
        `have it made anew with subjectAltName=IP:${target.endpoint}, or with the broker's name, and ` +
        "pass that with --endpoint",
      step: "tls",
    };
  }
  return {
    code: "server-name",
    message: `${head} ${offered}, not for ${quote(target.endpoint)}`,
    hint: "check --endpoint; a proxy or captive portal may answer in its place",
    step: "tls",
  };
}

/** What rustls says of a certificate, by its beginning: code, the fact and the way out. */
const FAULTS: readonly {
  readonly says: RegExp;
  readonly words: Pick<Words, "code" | "message" | "hint">;
}[] = [
  {
    says: /BadSignature/,
    words: {
      code: "server-signature",
      message:
        "a signature does not fit: the CA that signed its certificate has the name of one that " +
        "is configured here and another key, or the server's own key is too small",
      hint:
        "`mqtt443 doctor` finds out which; for a CA that was made anew pass its new file with --ca PATH",
    },
  },
  {
    says: /UnsupportedSignatureAlgorithm/,
    words: {
      code: "server-certificate-wrong",
      message: "its certificate is signed in a way that is not taken any more (as SHA-1)",
      hint: "have it signed anew with SHA-256, from an RSA key of 2048 bits or more, or P-256",
    },
  },
  {
    says: /extended key usage/,
    words: {
      code: "server-certificate-wrong",
      message: "its certificate is not made for servers (extended key usage)",
      hint: "have it made anew with extendedKeyUsage=serverAuth, or without that extension",
    },
  },
];

function certificate(text: string, target: Target, now: Date): Words | undefined {
  const fault = /invalid peer certificate: ([^]*)/.exec(text)?.[1];
  const lack = /peer is incompatible: (\w+)/.exec(text)?.[1];
  const step = "tls";
  const secure = `Cannot secure the connection to ${nameOf(target)}`;
  if (lack !== undefined) {
    const what = /Tls12/.test(lack)
      ? "it speaks neither TLS 1.2 nor 1.3"
      : `no common TLS (${lack})`;
    const hint = "check --endpoint and --port; a server this old must be renewed";
    return { code: "tls-version", message: `${secure}: ${what}`, hint, step };
  }
  if (fault === undefined) {
    if (!/corrupt message|InvalidContentType|InvalidMessage/i.test(text)) return undefined;
    return {
      code: "not-tls",
      message: `${secure}: what answers there does not speak TLS`,
      hint: target.isProxy
        ? "check scheme (http, https, socks5) and port of --proxy"
        : "check --port: 443 and 8883 speak TLS, 1883 and 80 do not; or a proxy is in the way",
      step,
    };
  }
  const head = `Cannot trust ${nameOf(target)}`;
  const instant = (pattern: RegExp) => {
    const seconds = pattern.exec(fault)?.[1];
    return seconds === undefined
      ? "an unknown time"
      : new Date(Number(seconds) * 1000).toISOString();
  };
  if (/expired/i.test(fault)) {
    return {
      code: "server-certificate-expired",
      message: `${head}: its certificate, or one above it, expired at ${
        instant(/not valid after (\d+)/)
      }; this device says it is ${now.toISOString()}`,
      hint: "if this device's clock is right, the server must renew it; else set the clock " +
        "(`timedatectl`)",
      step,
    };
  }
  if (/not valid yet|NotValidYet/i.test(fault)) {
    return {
      code: "server-certificate-not-yet-valid",
      message: `${head}: its certificate is valid from ${
        instant(/not valid before (\d+)/)
      } only, and this device says it is ${now.toISOString()}: the clock is probably wrong`,
      hint:
        "set the clock (`timedatectl set-ntp true`, or `date -s` where there is no time server)",
      step,
    };
  }
  if (/UnknownIssuer|CaUsedAsEndEntity/.test(fault)) return notSigned(target);
  const known = FAULTS.find(({ says }) => says.test(fault))?.words;
  if (known) return { ...known, message: `${head}: ${known.message}`, step };
  return {
    code: "server-certificate-wrong",
    message: `${head}: its certificate is wrong (${fault.slice(0, 120)})`,
    hint: "ask who runs the server, or check --endpoint",
    step,
  };
}

/** What node:tls says of a chain, where rustls did not say it better (chain_fault.ts). */
function chain(error: unknown, text: string, target: Target): Words | undefined {
  const { code = "" } = error as { code?: string };
  if (/^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_GET_ISSUER)/.test(code)) return notSigned(target);
  if (!/^(UNABLE_|CERT_)/.test(code)) return undefined;
  return {
    code: "server-certificate-wrong",
    message: `Cannot trust ${nameOf(target)}: its certificate chain does not hold (${text})`,
    hint: "`mqtt443 doctor` shows the certificate; check its dates, this device's clock and --ca",
    step: "tls",
  };
}

function notSigned(target: Target): Words {
  const by = target.caFiles.length === 0
    ? "the public roots"
    : `the configured CA (${target.caFiles.map(quote).join(", ")})`;
  return {
    code: "server-untrusted",
    message: `Cannot trust ${nameOf(target)}: its certificate is not signed by ${by}`,
    hint: target.isProxy
      ? "pass the CA that signed it with --proxy-ca PATH"
      : "pass the right CA with --ca PATH (AWS: AmazonRootCA1.pem); a proxy that inspects TLS " +
        "shows its own",
    step: "tls",
  };
}

function alert(text: string, target: Target, bytes = Infinity): Words | undefined {
  const name = /received fatal alert: (\w+)/.exec(text)?.[1];
  if (name === undefined) return undefined;
  if (name === "NoApplicationProtocol") {
    return {
      code: "alpn-refused",
      message: `${place(target)} does not offer protocol ${quote(target.alpn)}`,
      hint:
        "AWS IoT Core offers x-amzn-mqtt-ca on port 443: check --endpoint and --port; for another " +
        "broker ask for its protocol's name, or pass --alpn none",
      step: "alpn",
    };
  }
  const head = `Cannot secure the connection to ${nameOf(target)}`;
  if (name === "ProtocolVersion" && target.tlsMin === "1.3") {
    return {
      code: "tls-version",
      message: `${head}: it does not speak TLS 1.3`,
      hint: target.proxy !== undefined
        ? "in a proxy's tunnel TLS 1.3 alone is spoken, as TLS 1.2 would show the device certificate: " +
          "ask who runs the endpoint to enable it"
        : "TLS 1.2 shows the device certificate to whoever answers; to allow it all the same " +
          "pass --tls-min 1.2",
      step: "tls",
    };
  }
  if (name === "UnrecognisedName") {
    return {
      code: "server-name-unknown",
      message: `${head}: it knows no server named ${quote(target.endpoint)} (TLS alert ${name})`,
      hint:
        "check --endpoint: the name is sent along, and this server, or a firewall, does not take it",
      step: "tls",
    };
  }
  if (bytes > ALERT_BYTES && /Certificate|UnknownCA|AccessDenied|DecryptError/.test(name)) {
    return {
      code: "client-certificate-refused",
      message: `${place(target)} refused the device certificate (TLS alert ${name})`,
      hint:
        "see in the AWS IoT console that this certificate is registered and active, in this region; " +
        "another broker: see that it trusts the CA that signed it, and what its log says",
      step: "tls",
      exitCode: EXIT.refused,
    };
  }
  const isEarly = bytes <= ALERT_BYTES;
  return {
    code: "tls-alert",
    message: `${head}: it sent the TLS alert ${name}${
      isEarly ? " in place of its first answer" : ""
    }`,
    hint: isEarly
      ? "our certificate was not asked for yet: its TLS versions or ciphers may not fit (1.2 and 1.3 " +
        "are spoken here), or a firewall forbids it; `mqtt443 doctor` finds out more"
      : "its TLS versions or ciphers may not fit: TLS 1.2 and 1.3 are spoken here",
    step: "tls",
  };
}
