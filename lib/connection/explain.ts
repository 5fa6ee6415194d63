/**
 * What a failed attempt means: from what Deno, TLS and MQTT say to a sentence and a hint.
 *
 * Pure, and the one place for it: the publisher's log and every diagnosis use these words. The codes and texts matched
 * here are those of node:net, node:tls and rustls in Deno 2.9.6, each seen against a peer that misbehaves that way.
 */

import { isIP } from "node:net";
import { BUILD, grantHint } from "../core/build.ts";
import type { Code } from "../core/codes.ts";
import { EXIT, type ExitCode, messageOf, type Step, UserError } from "../core/errors.ts";
import { firstHop, isAws, nameOf, place, presenceTopic, type Target } from "../core/endpoint.ts";
import { quote } from "../core/text.ts";

interface Words {
  readonly code: Code;
  readonly message: string;
  readonly hint: string;
  readonly step: Step;
  readonly exitCode?: ExitCode;
}

/** The failure behind an error of DNS, TCP or TLS. */
export function explainTransport(error: unknown, target: Target, now: Date): UserError {
  if (error instanceof UserError) return error;
  const text = messageOf(error);
  const words = notCapable(error, target) ?? network(error, target) ?? wrongName(error, target) ??
    certificate(text, target, now) ?? chain(error, text, target) ?? alert(text, target) ?? {
    code: "tcp-failed",
    message: `Cannot connect to ${nameOf(target)}: ${text}`,
    hint: "try again with --log-level debug, and look at the network between here and there",
    step: "tcp",
  };
  return failure(target.isProxy ? aboutProxy(words) : words, error);
}

/** The words about a proxy as the first hop: TLS with it is not yet that with the endpoint. */
function aboutProxy({ hint, step, ...words }: Words): Words {
  return {
    ...words,
    hint: hint.replaceAll("--endpoint and --port", "--proxy").replaceAll("--endpoint", "--proxy"),
    step: step === "tls" ? "proxy" : step,
  };
}

/** The failure of an attempt whose time was up. */
export function explainTimeout(
  reached: "dns" | "tcp" | "proxy" | "tls" | "mqtt" | "suback",
  timeoutMs: number,
  target: Target,
): UserError {
  const seconds = `${timeoutMs / 1000} s`;
  const hop = firstHop(target);
  const words: Record<string, Pick<Words, "code" | "message" | "hint">> = {
    dns: {
      code: "dns-timeout",
      message: `Cannot find the address of ${
        hostOf(hop)
      }: no name server answered within ${seconds}`,
      hint: "check `cat /etc/resolv.conf`, and ask for DNS (port 53) or a name server on this site",
    },
    tcp: {
      code: "tcp-timeout",
      message: `Cannot connect to ${nameOf(hop)}: no answer within ${seconds}`,
      hint: hop.isProxy
        ? "check --proxy; a firewall may drop the packets"
        : "a firewall may drop the packets: ask for outgoing TCP to that host and port",
    },
    proxy: {
      code: "proxy-timeout",
      message: `No tunnel to ${place(target)}: ${
        nameOf(hop)
      } did not answer CONNECT within ${seconds}`,
      hint: "check scheme (http, https, socks5) and port of --proxy, and ask who runs it",
    },
    tls: {
      code: "tls-timeout",
      message: `Cannot secure the connection to ${
        place(target)
      }: connected, but no TLS answer within ${seconds}`,
      hint: "another kind of server, or a proxy, may be there: check --endpoint and --port",
    },
    mqtt: {
      code: "no-connack",
      message: `Cannot open an MQTT session with ${place(target)}: no CONNACK within ${seconds}`,
      hint: "check that this is an MQTT broker; on a slow link raise --connect-timeout",
    },
    suback: {
      code: "no-suback",
      message: `No SUBACK from ${place(target)} within ${seconds}`,
      hint: "see what the broker's log says of it; on a slow link raise --connect-timeout",
    },
  };
  return failure({ ...words[reached]!, step: reached === "suback" ? "mqtt" : reached });
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

/** The failure of a link that ended, by the step it had reached. */
export function explainHangUp(
  reached: "connect" | "session",
  error: unknown,
  target: Target,
  now: Date,
): UserError {
  if (error instanceof UserError) return error;
  const text = error === undefined ? "" : messageOf(error);
  const told = alert(text, target) ?? certificate(text, target, now);
  if (told !== undefined) return failure(told, error);
  const limits = target.proxy === undefined ? "" : `${tunnelLimits(target)}; if not, `;
  if (reached === "connect") {
    return failure({
      code: "connect-hung-up",
      message: `${place(target)} hung up before CONNACK`,
      hint:
        `in the AWS IoT console see that the certificate is active and attached to a policy that allows ` +
        `iot:Connect for client/${target.clientId}; watch ${
          presenceTopic("connect_failed", target)
        }`,
      step: "mqtt",
    }, error);
  }
  return failure({
    code: "session-hung-up",
    message: `${place(target)} hung up${/reset/i.test(text) ? " (connection reset)" : ""}`,
    hint:
      `if this comes again and again: ${limits}another device may use client id ${
        quote(target.clientId)
      }, or the ` +
      `policy lacks iot:Publish; watch ${presenceTopic("disconnected", target)}`,
    step: "mqtt",
  }, error);
}

/** What may end a session in a tunnel before anything else does. */
export function tunnelLimits(target: Target): string {
  return `${
    nameOf(firstHop(target))
  } may limit how long a tunnel lives, or is idle (ask who runs it)`;
}

/** The failure of a link on which nothing came back in time. */
export function explainSilence(
  what: "PUBACK" | "PINGRESP",
  timeoutMs: number,
  target: Target,
): UserError {
  return failure({
    code: what === "PUBACK" ? "no-puback" : "no-pingresp",
    message: `No ${what} from ${place(target)} within ${timeoutMs / 1000} s`,
    hint:
      "the link is dead or very slow; what was not acknowledged is sent again. On a slow link " +
      (what === "PUBACK" ? "raise --ack-timeout, or lower --inflight" : "raise --ack-timeout"),
    step: what === "PUBACK" ? "publish" : "mqtt",
  });
}

/** The error of a process whose grants do not hold the endpoint. */
export function explainNotGranted(target: Place): UserError {
  return failure(notGranted(target));
}

type Place = Pick<Target, "endpoint" | "port" | "isProxy">;

/** A host without its port, in a sentence. */
function hostOf({ endpoint, isProxy }: Place): string {
  return `${isProxy ? "the proxy " : ""}${endpoint}`;
}

function failure(words: Words, cause?: unknown): UserError {
  const { message, exitCode = EXIT.unavailable, ...rest } = words;
  return new UserError(message, { ...rest, exitCode, cause });
}

function notCapable(error: unknown, target: Target): Words | undefined {
  const { name, code, syscall } = error as { name?: string; code?: string; syscall?: string };
  // `node:dns` says EPERM; of `connect` it would be the firewall of this device.
  const isDenied = name === "NotCapable" || (code === "EPERM" && syscall === "getaddrinfo");
  return isDenied ? notGranted(target) : undefined;
}

function notGranted(target: Place): Words {
  // Networks are granted, where they are, for addresses alone.
  const byAddress = target.isProxy && BUILD && isIP(target.endpoint) === 0 &&
    BUILD.grants.net.some((host) => host.includes("/"));
  return {
    code: "not-granted",
    message: `Cannot connect to ${nameOf(target)}: this process was not granted to reach it`,
    hint: byAddress ? `give the proxy by its address; ${grantHint()}` : grantHint(),
    step: "settings",
    exitCode: EXIT.config,
  };
}

/** What the C library says for the codes that `node:dns` gives. */
const RESOLVER: Readonly<Record<string, string>> = {
  ENOTFOUND: "Name or service not known",
  EAI_AGAIN: "Temporary failure in name resolution",
};

/** What the C library says for codes of `connect`. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ENETUNREACH: "Network is unreachable",
  EHOSTUNREACH: "No route to host",
  ENETDOWN: "Network is down",
};

function network(error: unknown, target: Target): Words | undefined {
  const head = `Cannot connect to ${nameOf(target)}`;
  const { code = "", syscall } = error as { code?: string; syscall?: string };
  if (syscall === "getaddrinfo") {
    return {
      code: "dns-failed",
      message: `Cannot find the address of ${hostOf(target)}: ${RESOLVER[code] ?? code}`,
      hint: `check --endpoint, and the name server (\`getent hosts ${target.endpoint}\`)`,
      step: "dns",
    };
  }
  if (code === "ECONNREFUSED") {
    return {
      code: "tcp-refused",
      message: `${head}: connection refused`,
      hint: "nothing listens there, or a firewall says no: check --endpoint and --port",
      step: "tcp",
    };
  }
  if (code in UNREACHABLE) {
    return {
      code: "tcp-unreachable",
      message: `${head}: ${UNREACHABLE[code]}`,
      hint: "this device has no route to it: check cable, gateway and `ip route`",
      step: "tcp",
    };
  }
  if (code === "EPERM" || code === "EACCES") {
    return {
      code: "tcp-forbidden",
      message: `${head}: a firewall on this device forbids it`,
      hint: "as root look at `nft list ruleset` (or `iptables -S OUTPUT`)",
      step: "tcp",
    };
  }
  if (code === "ETIMEDOUT") {
    return {
      code: "tcp-timeout",
      message: `${head}: no answer`,
      hint: "a firewall may drop the packets: ask for outgoing TCP to that host and port",
      step: "tcp",
    };
  }
  if (code === "ECONNRESET" || code === "EPIPE") {
    return {
      code: "tls-hung-up",
      message: `Cannot secure the connection to ${
        nameOf(target)
      }: it hung up during the TLS handshake`,
      // With TLS 1.2 a server that will not have our certificate may hang up here without an alert.
      hint:
        "check --endpoint and --port (a firewall or another kind of server may be there), and " +
        "that the certificate is registered and active",
      step: "tls",
    };
  }
  return undefined;
}

/** node:tls gives the certificate along, with its names as `DNS:a.example, IP Address:192.0.2.1`. */
function wrongName(error: unknown, target: Target): Words | undefined {
  const { code, cert } = error as {
    code?: string;
    cert?: { subjectaltname?: string; subject?: { CN?: string } };
  };
  if (code !== "ERR_TLS_CERT_ALTNAME_INVALID") return undefined;
  const names = [...(cert?.subjectaltname ?? "").matchAll(/(?:DNS|IP Address):([^,\s]+)/g)]
    .map(([, name]) => quote(name));
  const common = cert?.subject?.CN;
  const offered = names.length > 0
    ? names.join(" or ")
    : common === undefined
    ? "no name at all"
    : quote(common);
  return {
    code: "server-name",
    message: `Cannot trust ${nameOf(target)}: its certificate is for ${offered}, not for ${
      quote(target.endpoint)
    }`,
    hint: "check --endpoint; a proxy or captive portal may answer in its place",
    step: "tls",
  };
}

function certificate(text: string, target: Target, now: Date): Words | undefined {
  const fault = /invalid peer certificate: ([^]*)/.exec(text)?.[1];
  const lack = /peer is incompatible: (\w+)/.exec(text)?.[1];
  if (lack !== undefined) {
    const what = /Tls12/.test(lack)
      ? "it speaks neither TLS 1.2 nor 1.3"
      : `no common TLS (${lack})`;
    return {
      code: "tls-version",
      message: `Cannot secure the connection to ${nameOf(target)}: ${what}`,
      hint: "check --endpoint and --port; a server this old must be renewed",
      step: "tls",
    };
  }
  if (fault === undefined) {
    if (!/corrupt message|InvalidContentType|InvalidMessage/i.test(text)) return undefined;
    return {
      code: "not-tls",
      message: `Cannot secure the connection to ${
        nameOf(target)
      }: what answers there does not speak TLS`,
      hint: target.isProxy
        ? "check scheme (http, https, socks5) and port of --proxy"
        : "check --port: 443 and 8883 speak TLS, 1883 and 80 do not; or a proxy is in the way",
      step: "tls",
    };
  }
  const head = `Cannot trust ${nameOf(target)}`;
  const words = (code: Code, message: string, hint: string): Words => ({
    code,
    message,
    hint,
    step: "tls",
  });
  const instant = (pattern: RegExp) => {
    const seconds = pattern.exec(fault)?.[1];
    return seconds === undefined
      ? "an unknown time"
      : new Date(Number(seconds) * 1000).toISOString();
  };
  if (/expired/i.test(fault)) {
    return words(
      "server-certificate-expired",
      `${head}: its certificate expired at ${
        instant(/not valid after (\d+)/)
      }; this device says it is ${now.toISOString()}`,
      "if this device's clock is right, the server must renew it; else set the clock (`timedatectl`)",
    );
  }
  if (/not valid yet|NotValidYet/i.test(fault)) {
    return words(
      "server-certificate-not-yet-valid",
      `${head}: its certificate is valid from ${
        instant(/not valid before (\d+)/)
      } only, and this device says it is ` +
        `${now.toISOString()}: the clock is probably wrong`,
      "set the clock (`timedatectl set-ntp true`, or `date -s` where there is no time server)",
    );
  }
  if (/UnknownIssuer|BadSignature|CaUsedAsEndEntity/.test(fault)) return notSigned(target);
  return words(
    "server-certificate-wrong",
    `${head}: its certificate is wrong (${fault})`,
    "ask who runs the server, or check --endpoint",
  );
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

function alert(text: string, target: Target): Words | undefined {
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
  if (name === "ProtocolVersion" && target.tlsMin === "1.3") {
    return {
      code: "tls-version",
      message: `Cannot secure the connection to ${place(target)}: it does not speak TLS 1.3`,
      hint: target.proxy !== undefined
        ? "in a proxy's tunnel TLS 1.3 alone is spoken, as TLS 1.2 would show the device certificate: " +
          "ask who runs the endpoint to enable it"
        : "TLS 1.2 shows the device certificate to whoever answers; to allow it all the same " +
          "pass --tls-min 1.2",
      step: "tls",
    };
  }
  if (/Certificate|UnknownCA|AccessDenied|DecryptError/.test(name)) {
    return {
      code: "client-certificate-refused",
      message: `${place(target)} refused the device certificate (TLS alert ${name})`,
      hint:
        "see in the AWS IoT console that this certificate is registered and active, in this region",
      step: "tls",
      exitCode: EXIT.refused,
    };
  }
  return {
    code: "tls-alert",
    message: `Cannot secure the connection to ${nameOf(target)}: it sent the TLS alert ${name}`,
    hint: "its TLS versions or ciphers may not fit: TLS 1.2 and 1.3 are spoken here",
    step: "tls",
  };
}
