/**
 * What a failed attempt means: from what Deno, TLS and MQTT say to a sentence and a hint.
 *
 * Pure. The publisher's log and every diagnosis use these words. The codes and texts matched here and in explain_tcp.ts,
 * explain_tls.ts and explain_mqtt.ts are those of node:net, node:tls and rustls in Deno 2.9.6, each seen against a peer
 * that misbehaves that way.
 */

import { messageOf, UserError } from "../core/errors.ts";
import { firstHop, nameOf, place, type Target } from "../core/endpoint.ts";
import { inspection } from "./explain_mqtt.ts";
import { network, notCapable } from "./explain_tcp.ts";
import { tlsWords } from "./explain_tls.ts";
import { failure, hostOf, type Words } from "./words.ts";

/**
 * The failure behind an error of DNS, TCP or TLS.
 *
 * @param bytes What the server had sent in the TLS handshake; undefined where that is not known.
 */
export function explainTransport(
  error: unknown,
  target: Target,
  now: Date,
  bytes?: number,
): UserError {
  if (error instanceof UserError) return error;
  const words = notCapable(error, target) ?? network(error, target) ??
    tlsWords(error, target, { now, bytes }) ?? {
    code: "tcp-failed",
    message: `Cannot connect to ${nameOf(target)}: ${messageOf(error)}`,
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

/** What an attempt was doing when its time was up. */
export type Reached = "dns" | "tcp" | "proxy" | "tls" | "mqtt" | "suback";

/**
 * The failure of an attempt whose time was up.
 *
 * @param bytes What the server had sent in the TLS handshake.
 */
export function explainTimeout(
  reached: Reached,
  timeoutMs: number,
  target: Target,
  bytes = 0,
): UserError {
  const step = reached === "suback" ? "mqtt" : reached;
  return failure({ ...late(reached, `${timeoutMs / 1000} s`, target, bytes), step });
}

function late(
  reached: Reached,
  seconds: string,
  target: Target,
  bytes: number,
): Omit<Words, "step"> {
  const hop = firstHop(target);
  const at = place(target);
  switch (reached) {
    case "dns":
      return {
        code: "dns-timeout",
        message: `Cannot find the address of ${
          hostOf(hop)
        }: no name server answered within ${seconds}`,
        hint:
          "check `cat /etc/resolv.conf`, and ask for DNS (port 53) or a name server on this site",
      };
    case "tcp":
      return {
        code: "tcp-timeout",
        message: `Cannot connect to ${nameOf(hop)}: no answer within ${seconds}`,
        hint: hop.isProxy
          ? "check --proxy; a firewall may drop the packets"
          : "a firewall may drop the packets: ask for outgoing TCP to that host and port",
      };
    case "proxy":
      return {
        code: "proxy-timeout",
        message: `No tunnel to ${at}: ${nameOf(hop)} did not answer CONNECT within ${seconds}`,
        hint: "check scheme (http, https, socks5) and port of --proxy, and ask who runs it",
      };
    case "tls":
      return bytes > 0
        ? {
          code: "tls-stalled",
          message: `Cannot secure the connection to ${at}: the TLS handshake began, and went no ` +
            `further within ${seconds}`,
          hint:
            "the link is very slow, or larger packets are lost on the way (MTU): raise --connect-timeout; " +
            `compare \`ping -c 3 -M do -s 1400 ${hop.endpoint}\` with \`-s 500\``,
        }
        : {
          code: "tls-timeout",
          message:
            `Cannot secure the connection to ${at}: connected, but no TLS answer within ${seconds}`,
          hint:
            "a firewall may swallow TLS, or another kind of server is there: `mqtt443 doctor` " +
            "finds out which; check --endpoint and --port",
        };
    case "mqtt":
      return {
        code: "no-connack",
        message: `Cannot open an MQTT session with ${at}: no CONNACK within ${seconds}`,
        hint: `${
          inspection(target)
        }check that this is an MQTT broker; on a slow link raise --connect-timeout`,
      };
    case "suback":
      return {
        code: "no-suback",
        message: `No SUBACK from ${at} within ${seconds}`,
        hint: "see what the broker's log says of it; on a slow link raise --connect-timeout",
      };
  }
}
