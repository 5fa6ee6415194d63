/** The check publish: a test message with the QoS that is set, in the session that mqtt-connect opened. */

import { type Connection, PublishRefusedError } from "../connection/mod.ts";
import { isAws, place, presenceTopic } from "../core/endpoint.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { isRuleTopic, isShadowTopic } from "../core/shadow.ts";
import { quote } from "../core/text.ts";
import { sleep } from "../core/wait.ts";
import type { Settings } from "../settings/mod.ts";
import { openSources } from "../sources/mod.ts";
import type { Site } from "./facts.ts";
import { type Finding, findingOf, ok } from "./finding.ts";
import { policyLine } from "./policy.ts";

/** How long after the message a session is watched for its end, in ms. */
const TAKEOVER_MS = 1000;

/** Messages a second that AWS IoT Core takes on one connection: quotas page "iot-core". */
const AWS_MESSAGES_PER_S = 100;

/** Reason codes of MQTT 5 that decide here. */
const TAKEN_OVER = 0x8e;
const NOT_AUTHORIZED = 0x87;

/**
 * Publishes one test message.
 *
 * @param isYes Whether a rule may be run for it.
 */
export async function lookAtPublish(
  connection: Connection,
  site: Site,
  isYes: boolean,
): Promise<Finding> {
  const { world, settings } = site;
  const { topic, qos, ackTimeout, mqttVersion } = settings;
  if (isRuleTopic(topic) && !isYes) {
    return {
      status: "skipped",
      code: "runs-a-rule",
      saw: `a test message to ${quote(topic)} would run that rule of AWS`,
      hint: "type the same again with --yes to send one all the same",
    };
  }
  const startMs = world.monotonicMs();
  const done = Promise.withResolvers<UserError | undefined>();
  connection.publish({ topic, payload: testMessage(site), qos }, done.resolve);
  const ended = connection.closed.then((reason) => ({ reason }));
  const waiting = new AbortController();
  const late = sleep(ackTimeout, waiting.signal).then(() => "late" as const);
  const outcome = await Promise.race([done.promise, ended, late]);
  waiting.abort();
  if (outcome === "late") {
    return findingOf(
      new UserError(`No PUBACK from ${place(settings)} within ${ackTimeout / 1000} s`, {
        code: "no-puback",
        hint: "on a slow link raise --ack-timeout; else ask who runs the broker",
        exitCode: EXIT.unavailable,
      }),
    );
  }
  const isAwsLike = connection.facts.isAws || isAws(settings.endpoint) || mqttVersion !== "5";
  const denied = notAllowed(settings, isAwsLike);
  if (outcome instanceof UserError) return explainRefusal(outcome, denied);
  if (outcome !== undefined) return explainEnd(outcome.reason, settings, denied);
  const ms = Math.round(world.monotonicMs() - startMs);
  // QoS 0 is answered by nobody; a server that does not allow it ends the session soon.
  const saw = qos === 0
    ? `a test message was sent to ${quote(topic)} with QoS 0, which no server acknowledges`
    : `PUBACK for a test message on ${quote(topic)} in ${ms} ms`;
  const watching = new AbortController();
  const after = await Promise.race([ended, sleep(TAKEOVER_MS, watching.signal)]);
  watching.abort();
  if (!after) {
    const kept = qos === 0 ? `; the session stayed open for ${TAKEOVER_MS / 1000} s` : "";
    const note = isShadowTopic(topic)
      ? "; AWS says on …/rejected whether it takes the document"
      : qos > 0 && mqttVersion === "3.1.1" && !isAws(settings.endpoint)
      ? "; with MQTT 3.1.1 a broker may acknowledge a message that it denies, and drop it: --mqtt-version 5 tells"
      : "";
    return adviseOnPacks(`${saw}${kept}${note}`, connection, settings);
  }
  if (qos === 0) return explainEnd(after.reason, settings, denied);
  return {
    status: "warn",
    code: after.reason?.code ?? "session-hung-up",
    saw: `${saw}, then: ${after.reason?.message ?? "the session ended"}`,
    ...saidBy(after.reason),
    ...duplicateId(settings),
  };
}

/** In the form that messages have. */
function testMessage({ world, settings }: Site): string {
  const { clientId: device, topic, pack, packAs } = settings;
  // A shadow takes it as an update that changes nothing.
  if (isShadowTopic(topic)) return JSON.stringify({ state: { reported: {} } });
  const test = { time: world.now().toISOString(), doctor: "test message" };
  if (pack === undefined) return JSON.stringify({ device, ...test });
  return JSON.stringify(
    packAs === "samples"
      ? { device, samples: [{ device, ...test }] }
      : { device, names: Object.keys(test), rows: [Object.values(test)] },
  );
}

/** All is well; on AWS, whose rate is limited, packs are advised where many messages are made. */
function adviseOnPacks(saw: string, { facts }: Connection, settings: Settings): Finding {
  const perS = messagesPerS(settings);
  const isAwsHere = isAws(settings.endpoint) || facts.isAws;
  if (settings.pack !== undefined || !isAwsHere || perS <= AWS_MESSAGES_PER_S / 2) return ok(saw);
  return {
    status: "warn",
    code: "pack-advised",
    saw,
    cause:
      `the sources give ${Math.round(perS)} messages a second, each a PUBLISH of its own, and ` +
      `AWS takes ${AWS_MESSAGES_PER_S} a second: what waited in an outage is sent slowly, and each ` +
      "is billed",
    hint: "pass --pack 5KiB: messages share a PUBLISH then, and a rule of AWS takes them apart",
  };
}

/** Messages a second that the sources give; those of standard input and a socket are not known before. */
function messagesPerS({ source, interval }: Settings): number {
  if (source.includes("stdin")) return 0;
  const intervalsMs = new Set(openSources(source).map(({ intervalMs }) => intervalMs ?? interval));
  // Sources that are due at one tick share a message.
  const ticks = [...intervalsMs].flatMap((ms) =>
    Array.from({ length: Math.floor(SPAN_MS / ms) }, (_, at) => (at + 1) * ms)
  );
  return new Set(ticks).size * 1000 / SPAN_MS;
}

/** In which ticks are counted. */
const SPAN_MS = 10_000;

/** A cause and a hint. */
type Words = Pick<Finding, "cause" | "hint">;

/** The server refused the message and let the session be. */
function explainRefusal(error: UserError, denied: Words): Finding {
  const finding = findingOf(error);
  if (!(error instanceof PublishRefusedError) || error.reason !== NOT_AUTHORIZED) return finding;
  return { ...finding, ...denied };
}

/** Why the session ended after PUBLISH. */
function explainEnd(
  reason: UserError | undefined,
  settings: Settings,
  denied: Words,
): Finding {
  const said = reason?.message ?? `${place(settings)} hung up`;
  const failed = {
    status: "fail",
    code: reason?.code ?? "session-hung-up",
    saw: `${said}, right after PUBLISH to ${quote(settings.topic)}`,
    ...saidBy(reason),
  } as const;
  if (reason?.reason === TAKEN_OVER) {
    return { ...failed, code: "taken-over", ...duplicateId(settings), exitCode: EXIT.refused };
  }
  // What the server gave as its reason is the cause.
  const hasSaid = reason !== undefined && reason.code !== "session-hung-up";
  if (hasSaid && reason.reason !== NOT_AUTHORIZED) {
    return { ...failed, cause: reason.message, hint: reason.hint, exitCode: reason.exitCode };
  }
  return {
    ...failed,
    ...(hasSaid ? {} : { code: "publish-cut" }),
    ...denied,
    exitCode: EXIT.refused,
  };
}

function saidBy(reason: UserError | undefined): { readonly said?: string } {
  return reason?.said === undefined ? {} : { said: reason.said };
}

/** What a refusal for lack of a right means. @param isAwsLike It is AWS, or may be. */
function notAllowed(settings: Settings, isAwsLike: boolean): Words {
  const { clientId, topic } = settings;
  if (!isAwsLike) {
    return {
      cause: "the broker does not allow this client to publish on this topic",
      hint: `ask who runs the broker to allow client id ${quote(clientId)} to publish to ${
        quote(topic)
      } (mosquitto: acl_file); its log says which rule denied it`,
    };
  }
  return {
    cause: "the policy most likely does not allow iot:Publish on this topic",
    hint:
      `AWS: add to the policy: ${
        policyLine("iot:Publish", settings)
      }; \`mqtt443 doctor --policy\` ` +
      `prints it whole; ${watchHint("disconnected", settings)}. Another broker: its access rules ` +
      "and its log say why",
  };
}

function duplicateId(settings: Settings) {
  const { clientId, proxy } = settings;
  const limits = proxy === undefined
    ? ""
    : `the proxy ${proxy} may limit how long a tunnel lives (ask who runs it); if not, `;
  return {
    cause: `${limits}another device, or a second program on this one, uses client id ${
      quote(clientId)
    }`,
    hint:
      "if the gateway's own mqtt443 runs now, stop it for this test; else give each device its " +
      `own --client-id; ${watchHint("disconnected", settings)}`,
  };
}

/** Where AWS says what it saw. */
export function watchHint(event: "connect_failed" | "disconnected", settings: Settings): string {
  return `the console's MQTT test client shows it on ${presenceTopic(event, settings)}`;
}
