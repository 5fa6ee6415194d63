/**
 * What a second look means: which of the likely causes fits a certificate that was shown, or bytes that came instead of
 * TLS. Pure; the looking is second_look.ts's business.
 */

import { isAws, place, presenceTopic, type Target } from "../core/endpoint.ts";
import type { ShownCertificate, Speech } from "./look.ts";
import { quote } from "../core/text.ts";

/** The one likely cause, and what to do about it. */
export interface Verdict {
  readonly cause: string;
  readonly hint: string;
}

/** Who signs AWS IoT Core's certificates: Amazon Trust Services, and Starfield's root above it. */
const AWS_ISSUERS = /\b(Amazon|Starfield)\b/;

/** Why a certificate that chains up to no CA of ours was shown. */
export function verdictOnIssuer(
  { subject, issuer, chain }: Pick<ShownCertificate, "subject" | "issuer" | "chain">,
  target: Target,
): Verdict {
  const top = chain.at(-1) ?? issuer;
  if (isAws(target.endpoint) && !AWS_ISSUERS.test(`${issuer} ${top}`)) {
    return {
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
  return {
    cause: `${
      quote(top)
    } vouches for the server, and ${by} does not hold it: the wrong CA file, or a proxy in the way`,
    hint:
      "if that is your broker's CA, pass it with --ca PATH (AWS: AmazonRootCA1.pem); if it is a " +
      `proxy's, ask who runs the network to let ${place(target)} through`,
  };
}

/** How a TLS server answers plain text: the head of an alert. */
const TLS_ALERT = "\x15\x03";

/** What was seen of it, as the end of a sentence. */
export function describeSpeech(speech: Speech): string {
  if (speech === "closed") return "it hangs up on plain text, too";
  if (speech === "silent") return "nothing comes in plain text either";
  if (speech.said.startsWith(TLS_ALERT)) return "to plain text it answers with a TLS alert";
  return `in plain text it says ${quote(speech.said.split(/[\r\n]/)[0]!.slice(0, 60))}`;
}

/** What answers where TLS was expected. */
export function verdictOnSpeech(speech: Speech, target: Target): Verdict {
  const at = place(target);
  if (speech === "silent") {
    return {
      cause: `${at} takes connections and says nothing: a firewall holds them, or the server hangs`,
      hint: "check --endpoint and --port; ask for outgoing TLS to that host and port",
    };
  }
  if (speech === "closed") {
    return target.port === 1883
      ? {
        cause: "port 1883 is plain MQTT: it hangs up when TLS is spoken",
        hint: "pass the broker's TLS port: --port 8883 (mosquitto and AWS), or --port 443 (AWS)",
      }
      : {
        cause: `${at} hangs up as soon as TLS is spoken: a listener without TLS (plain MQTT), or ` +
          "a firewall that cuts it",
        hint: "check --port: 443 and 8883 speak TLS; ask for outgoing TLS to that host and port",
      };
  }
  if (speech.said.startsWith(TLS_ALERT)) {
    return {
      cause: `${at} speaks TLS and hung up in the handshake: most likely it does not accept this ` +
        "device's certificate (not registered, or not active)",
      hint:
        "AWS: in the IoT console, Security, Certificates, see that it is registered and active; " +
        "the console's MQTT test client shows the refusal on " +
        `${presenceTopic("connect_failed", target)}. Another broker: its log says why`,
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
