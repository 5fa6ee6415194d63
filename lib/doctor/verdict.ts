/**
 * What was seen means: which cause fits a certificate that was shown, a handshake that did not come about, or bytes that
 * came instead of TLS. Nothing that a probe rules out is named. Pure; the looking is probe.ts's.
 */

import type { Code } from "../core/codes.ts";
import { isAws, place, presenceTopic, type Target } from "../core/endpoint.ts";
import { EXIT, type ExitCode } from "../core/errors.ts";
import { isAnswered, type ShownCertificate, type Speech, type TlsProbe } from "./probe.ts";
import { quote } from "../core/text.ts";

/** The one likely cause, and what to do about it. */
export interface Verdict {
  /** Where it is another failure than the one first seen. */
  readonly code?: Code;
  readonly exitCode?: ExitCode;
  readonly cause: string;
  readonly hint: string;
}

/** Who signs AWS IoT Core's certificates: Amazon Trust Services, and Starfield's root above it. */
const AWS_ISSUERS = /\b(Amazon|Starfield)\b/;

/** Whether a certificate is one of those that AWS shows. */
export function isAmazons({ issuer, chain }: Pick<ShownCertificate, "issuer" | "chain">): boolean {
  return AWS_ISSUERS.test([issuer, ...chain].join(" "));
}

/** Why a certificate that chains up to no CA of ours was shown. */
export function verdictOnIssuer(
  { subject, issuer, chain }: Pick<ShownCertificate, "subject" | "issuer" | "chain">,
  target: Target,
  authorities: readonly string[] = [],
): Verdict {
  const top = chain.at(-1) ?? issuer;
  if (isAws(target.endpoint) && !AWS_ISSUERS.test(`${issuer} ${top}`)) {
    return {
      code: "tls-inspected",
      cause: `a proxy that inspects TLS answers in place of AWS: ${
        quote(issuer)
      } issued the certificate`,
      hint: `ask who runs the network to let ${place(target)} through without TLS inspection`,
    };
  }
  const by = target.caFiles.length === 0 ? "the public roots" : target.caFiles.join(", ");
  if (subject === issuer) {
    return {
      cause: `the server shows a self-signed certificate (${quote(subject)}), and ${by} ${
        target.caFiles.length > 1 ? "do" : "does"
      } not hold it`,
      hint:
        "check --endpoint and --port; if that is your broker, pass its certificate with --ca PATH",
    };
  }
  if (authorities.includes(top)) {
    return {
      code: "server-signature",
      cause:
        `${by} holds a CA named ${quote(top)}, and another key signed the server's certificate: ` +
        "the CA was made anew under the same name, or another server poses as this one",
      hint:
        "get the CA's present certificate from who runs the broker, on a way you trust, and pass " +
        "it with --ca PATH",
    };
  }
  return {
    cause:
      `${
        quote(top)
      } vouches for the server, and ${by} does not hold it: the wrong CA file, a server that does ` +
      "not send its intermediate certificate along, or a proxy in the way",
    hint:
      "if that is your broker's CA, pass it with --ca PATH (AWS: AmazonRootCA1.pem); if it is a " +
      `proxy's, ask who runs the network to let ${place(target)} through`,
  };
}

/** How a TLS server answers plain text: the head of an alert. */
const TLS_ALERT = "\x15\x03";

/** What was seen of it, as the end of a sentence. */
export function describeSpeech(speech: Speech): string {
  if (speech === "closed") return "on plain text it hangs up";
  if (speech === "silent") return "nothing comes in plain text either";
  if (speech.said.startsWith(TLS_ALERT)) return "to plain text it answers with a TLS alert";
  return `in plain text it says ${quote(speech.said.split(/[\r\n]/)[0]!.slice(0, 60))}`;
}

/** A handshake that did not come about, and what was tried after it. */
export interface Handshakes {
  /** What the first attempt, with our certificate, was seen to end with. */
  readonly first: Code;
  /** The same words without our certificate. */
  readonly same: TlsProbe;
  /** The same without ALPN; undefined if none is asked for. */
  readonly noAlpn: TlsProbe | undefined;
  /** For another name. */
  readonly otherName: TlsProbe;
  /** For no name at all. */
  readonly noName: TlsProbe;
  /** What comes to plain text. */
  readonly speech: Speech;
  /** Whether a broker answers CONNECT in plain text. */
  readonly isPlainMqtt: boolean;
}

/** What the probes leave of the causes of a handshake that did not come about. */
export function verdictOnHandshake(seen: Handshakes, target: Target): Verdict {
  const { first, same, noAlpn, otherName, noName, speech, isPlainMqtt } = seen;
  const at = place(target);
  const name = quote(target.endpoint);
  if (first === "not-tls") return verdictOnSpeech(speech, target, first);
  if (LATE.includes(first) && isAnswered(same)) return afterAnswer(seen, target);
  const ends = first === "tls-timeout" ? "nothing comes back" : "it is cut";
  if (!isAnswered(same) && noAlpn !== undefined && isAnswered(noAlpn)) {
    return {
      code: "alpn-cut",
      cause: `${at} ${first === "tls-timeout" ? "is silent" : "hangs up"} when asked for protocol ${
        quote(target.alpn)
      }, and not without: a firewall, or a server that does not know that protocol`,
      hint: "ask for outgoing TLS to that host and port without inspection; for a broker without " +
        "ALPN pass --alpn none",
    };
  }
  const others = [otherName, noName].filter((probe) =>
    isAnswered(probe) && probe.name !== same.name
  );
  if (!isAnswered(same) && others.length > 0) {
    const which = others[0]!.name === undefined
      ? "without a name"
      : `for ${quote(others[0]!.name)}`;
    return {
      code: "tls-name-cut",
      cause: `asked for ${name} ${ends}, and asked ${which} the same address answers: a firewall ` +
        "stops TLS by the server's name, or the server does; our certificate was not sent",
      hint:
        `ask who runs the network to allow TLS with the server name ${target.endpoint} (SNI), ` +
        `port ${target.port}`,
    };
  }
  if (isAnswered(same)) {
    return {
      cause:
        "the same handshake was answered a moment later: the link or the server is unsteady, " +
        "or an inspection begins with the second connection",
      hint: "run it again; if it comes and goes, ask who runs the network",
    };
  }
  if (isPlainMqtt) {
    return {
      code: "plain-mqtt",
      cause: `${at} is a listener without TLS: in plain text it speaks MQTT`,
      hint: "pass the broker's TLS port: --port 8883 (mosquitto and AWS), or --port 443 (AWS)",
    };
  }
  if (first === "server-name-unknown") {
    const isWeb = typeof speech === "object" && /^HTTP\//.test(speech.said);
    return {
      cause: `${at} takes neither the name ${name} nor another one, nor none: ${
        isWeb ? "a web server (it says so in plain text)" : "a server"
      } that is set up for other names, or a firewall in its place; our certificate was not sent`,
      hint:
        "check --endpoint and --port; ask who runs that server which name its certificate is for",
    };
  }
  if (first === "tls-alert") {
    return {
      cause:
        `${at} answers each handshake with the TLS alert ${same.said ?? "seen"}: no version or ` +
        "cipher in common, or it is set to refuse this device's address; our certificate was not sent",
      hint: "TLS 1.2 and 1.3 are spoken here; its log says more",
    };
  }
  return verdictOnSpeech(speech, target, first);
}

/** The server's answer had begun. */
const LATE: readonly Code[] = ["tls-stalled", "tls-broken-off"];

/** The server had answered: what ended the handshake then. */
function afterAnswer({ first, same }: Handshakes, target: Target): Verdict {
  const at = place(target);
  const ends = first === "tls-stalled" ? "goes no further" : "is broken off";
  // Without a certificate it gets to the point of saying that it wants one, or is content.
  if (same.outcome === "secured" || same.outcome === "alert") {
    return {
      code: "client-certificate-refused",
      exitCode: EXIT.refused,
      cause: `the handshake with ${at} ${ends} once this device's certificate is shown, and not ` +
        "before: most likely it does not accept this device's certificate (not registered, or not active)",
      hint:
        "AWS: in the IoT console, Security, Certificates, see that it is registered and active; " +
        `the console's MQTT test client shows the refusal on ${
          presenceTopic("connect_failed", target)
        }; another broker: see that it trusts the CA that signed it, and what its log says`,
    };
  }
  return {
    cause: `the handshake with ${at} ${ends} after the server's answer had begun, with our ` +
      "certificate and without: a firewall that looks into the answer, or larger packets are lost " +
      "on the way (MTU)",
    hint: `${comparePings(target)}; ask for outgoing TLS to that host and port without inspection`,
  };
}

function comparePings({ endpoint, proxy }: Target): string {
  const host = proxy?.endpoint ?? endpoint;
  return `compare \`ping -c 3 -M do -s 1400 ${host}\` with \`-s 500\``;
}

/** What answers where TLS was expected. */
export function verdictOnSpeech(speech: Speech, target: Target, first?: Code): Verdict {
  const at = place(target);
  if (speech === "silent") {
    return {
      cause: `${at} takes connections and says nothing: a firewall holds them, or the server hangs`,
      hint: "check --endpoint and --port; ask for outgoing TLS to that host and port",
    };
  }
  if (speech === "closed") {
    return {
      cause:
        `${at} hangs up whatever is said: a firewall that cuts it, or a server that does not ` +
        "speak to this device's address",
      hint: "check --endpoint and --port; ask for outgoing TLS to that host and port",
    };
  }
  if (speech.said.startsWith(TLS_ALERT)) {
    return first === "tls-timeout"
      ? {
        cause: `${at} speaks TLS (to plain text it answers with an alert), and no answer to a ` +
          "handshake comes: larger packets are lost on the way (MTU), or a firewall swallows TLS; " +
          "our certificate was not sent",
        hint: `${comparePings(target)}; ask who runs the network`,
      }
      : {
        cause: `${at} speaks TLS (to plain text it answers with an alert), and each handshake is ` +
          "cut at its first packet: a firewall, or a server set to refuse this device's address; our " +
          "certificate was not sent",
        hint:
          "ask for outgoing TLS to that host and port without inspection; the server's log says more",
      };
  }
  const [line = ""] = speech.said.split(/[\r\n]/);
  const shown = quote(line.replace(/[^\x20-\x7e]/g, ".").slice(0, 60));
  if (/^HTTP\//.test(speech.said)) return verdictOnHttp(speech.said, shown, at);
  const kind = /^SSH-/.test(speech.said)
    ? "an SSH server"
    : /^220[ -]/.test(speech.said)
    ? "a mail or FTP server"
    : "a server of another protocol";
  return {
    cause: `${at} is ${kind}: it says ${shown}`,
    hint: "check --endpoint and --port",
  };
}

function verdictOnHttp(said: string, shown: string, at: string): Verdict {
  const to = /^location:\s*(\S+)/im.exec(said)?.[1];
  if (to !== undefined) {
    return {
      cause: `a captive portal or proxy answers on ${at} with plain HTTP and sends to ${quote(to)}`,
      hint: `ask who runs the network to let ${at} through, or sign in there from this network`,
    };
  }
  return {
    cause: `a web server or HTTP proxy answers on ${at} in plain text (${shown}), not in TLS`,
    hint: `check --endpoint and --port, or ask who runs the network to let ${at} through`,
  };
}
