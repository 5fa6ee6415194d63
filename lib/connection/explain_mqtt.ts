/** What the end of a session means, or silence in it. Pure. */

import { firstHop, nameOf, place, presenceTopic, type Target } from "../core/endpoint.ts";
import { messageOf, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";
import { spokenWords } from "./explain_tls.ts";
import { failure, type Words } from "./words.ts";

/** What a session had done when it ended. */
export interface Doings {
  /** Messages sent, and those of them that were acknowledged. */
  readonly sent: number;
  readonly acknowledged: number;
  /** Since CONNACK, in ms. */
  readonly ms: number;
}

/** The failure of a link that ended: before CONNACK, or in a session that had done something by then. */
export function explainHangUp(
  reached: "connect" | Doings,
  error: unknown,
  target: Target,
  now: Date,
  version: "5" | "3.1.1" = "5",
): UserError {
  if (error instanceof UserError) return error;
  const text = error === undefined ? "" : messageOf(error);
  const told = spokenWords(text, target, { now });
  if (told !== undefined) return failure(told, error);
  const how = /reset/i.test(text) ? " (connection reset)" : "";
  const words = reached === "connect" ? noConnack(target, version) : noMore(reached, how, target);
  return failure(words, error);
}

function noConnack(target: Target, version: "5" | "3.1.1"): Words {
  const older = version === "5" ? ", and it may speak MQTT 3.1.1 alone (--mqtt-version 3.1.1)" : "";
  return {
    code: "connect-hung-up",
    message: `${place(target)} hung up before CONNACK`,
    hint: `${inspection(target)}in the AWS IoT console see that the certificate is active and ` +
      `attached to a policy that allows iot:Connect for client/${target.clientId}; watch ${
        presenceTopic("connect_failed", target)
      }; another broker: its log says why${older}`,
    step: "mqtt",
  };
}

function noMore({ sent, acknowledged, ms }: Doings, how: string, target: Target): Words {
  const id = quote(target.clientId);
  const limits = target.proxy === undefined ? "" : `${tunnelLimits(target)}; if not, `;
  const watch = `watch ${presenceTopic("disconnected", target)}`;
  const again = `if this comes again and again: ${inspection(target)}${limits}`;
  const words = { code: "session-hung-up", step: "mqtt" } as const;
  const head = `${place(target)} hung up${how}`;
  // What it acknowledged it allows: then it is not the policy.
  if (acknowledged > 0) {
    return {
      ...words,
      message: `${head} after ${
        Math.round(ms / 1000)
      } s, in which it acknowledged ${acknowledged} ${acknowledged === 1 ? "message" : "messages"}`,
      hint: `${again}another device may use client id ${id}, or something on the way ends each ` +
        `connection after a time; ${watch}`,
    };
  }
  return {
    ...words,
    message: head,
    hint: sent > 0
      ? `${again}the policy may lack iot:Publish on this topic, or another device uses client id ` +
        `${id}; ${watch}`
      : `${again}another device may use client id ${id}; ${watch}`,
  };
}

/** TLS inspection was seen: whatever it does to MQTT comes before all else. */
export function inspection({ inspectedBy }: Target): string {
  return inspectedBy === undefined
    ? ""
    : `the server's certificate is issued by ${quote(inspectedBy)}, which is not Amazon: TLS is ` +
      "inspected on the way; ask who runs the network to let this host through; if not, ";
}

/** What may end a session in a tunnel before anything else does. */
export function tunnelLimits(target: Target): string {
  return `${
    nameOf(firstHop(target))
  } may limit how long a tunnel lives, or is idle (ask who runs it)`;
}

/** A rate at which messages were acknowledged, below which no limit of a server is suspected, per s. */
const RATE_PER_S = 20;
/** Messages from which on a rate is a rate. */
const RATE_MESSAGES = 50;

/** The failure of a link on which nothing came back in time. */
export function explainSilence(
  what: "PUBACK" | "PINGRESP",
  timeoutMs: number,
  target: Target,
  done?: Doings,
): UserError {
  const head = `No ${what} from ${place(target)} within ${timeoutMs / 1000} s`;
  const words = {
    code: what === "PUBACK" ? "no-puback" : "no-pingresp",
    step: what === "PUBACK" ? "publish" : "mqtt",
  } as const;
  const perS = done ? done.acknowledged / (Math.max(1000, done.ms - timeoutMs) / 1000) : 0;
  if (what === "PUBACK" && done && done.acknowledged >= RATE_MESSAGES && perS >= RATE_PER_S) {
    const rate = Math.round(perS);
    return failure({
      ...words,
      message: `${head}, after ${done.acknowledged} PUBACKs at ${rate} a second`,
      hint:
        `a server that takes so many a second and discards the rest looks so: pass --max-rate ` +
        `${
          Math.max(1, Math.floor(perS * 0.9))
        } (AWS IoT Core takes 100 a second); else the link is dead or very slow`,
    });
  }
  return failure({
    ...words,
    message: head,
    hint:
      "the link is dead or very slow; what was not acknowledged is sent again. On a slow link " +
      (what === "PUBACK" ? "raise --ack-timeout, or lower --inflight" : "raise --ack-timeout"),
  });
}

/** The failure of a peer that breaks the rules of MQTT. */
export function brokenProtocol(what: string, target: Target, cause?: unknown): UserError {
  return failure({
    code: "not-mqtt",
    message: `${place(target)} does not speak MQTT as it should: ${what}`,
    hint: "check --endpoint, --port and --mqtt-version",
    step: "mqtt",
  }, cause);
}
