/** The check mqtt-connect: CONNECT, what the server grants in CONNACK, and why it hangs up where it does. */

import { openConnection, publishBytes } from "../connection/mod.ts";
import type { Connection } from "../connection/mod.ts";
import { place } from "../core/endpoint.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { metricsOf, payloadOf } from "../core/message.ts";
import type { Code } from "../core/codes.ts";
import type { World } from "../core/process.ts";
import type { Settings } from "../settings/mod.ts";
import { isShadowTopic, shadowDoubt } from "../core/shadow.ts";
import { quote } from "../core/text.ts";
import { openSources, readAll } from "../sources/mod.ts";
import type { Check, Found } from "./checks.ts";
import { need, type Site, siteOf } from "./facts.ts";
import { type Evidence, type Finding, findingOf, ok } from "./finding.ts";
import { policyLine } from "./policy.ts";
import { lookAtPublish, watchHint } from "./publish.ts";
import { openVerified } from "./tls.ts";

/** How long a connection without CONNECT is watched for being closed, in ms. */
const IDLE_MS = 2000;

/** A running publisher would lose its session to the test. */
const BUSY = {
  status: "skipped",
  saw: "the running mqtt443 would be thrown out (see queue)",
} as const;

/** CONNECT and PUBLISH; the second ends the session that the first opens. */
export function sessionChecks(world: World, isYes: boolean): Check[] {
  return [
    {
      name: "mqtt-connect",
      needs: ["alpn"],
      look: (known) => known.isBusy ? BUSY : lookAtConnect(siteOf(world, known)),
    },
    {
      name: "publish",
      needs: ["mqtt-connect"],
      async look(known) {
        if (known.isBusy) return BUSY;
        const connection = need(known, "connection");
        try {
          return await lookAtPublish(connection, siteOf(world, known), isYes);
        } finally {
          await connection.end();
        }
      },
    },
  ];
}

async function lookAtConnect(site: Site): Promise<Found> {
  const { settings, identity, world } = site;
  try {
    const connection = await openConnection(settings, identity, {
      now: world.now,
      avoid: new Set(site.avoid),
    });
    const finding = await lookAtLimits(connection, site);
    // Nothing is published where it cannot work.
    if (finding.status === "fail") await connection.end();
    return { ...finding, facts: { connection } };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (site.inspectedBy !== undefined && UNANSWERED.includes(error.code)) {
      return explainInspected(error, site.inspectedBy, settings);
    }
    return error.code === "connect-hung-up"
      ? await explainNoConnack(error, site)
      : findingOf(error);
  }
}

/** What the server granted, held against the settings and a message as it will be. */
async function lookAtLimits({ facts }: Connection, site: Site): Promise<Finding> {
  const { settings } = site;
  const { receiveMaximum, ms, limits, isAws } = facts;
  const { maximumQos, maximumPacketSize, serverKeepAliveS, assignedClientId, said } = limits;
  const isShadow = isShadowTopic(settings.topic);
  const payload = maximumPacketSize === undefined && !isShadow
    ? undefined
    : await samplePayload(site);
  const sample = payload === undefined
    ? undefined
    : publishBytes({ ...settings, payload }, settings.mqttVersion);
  const granted = [
    // MQTT 3.1.1 has none.
    ...(settings.mqttVersion === "5" ? [`Receive Maximum ${receiveMaximum}`] : []),
    ...(maximumQos === undefined ? [] : [`Maximum QoS ${maximumQos}`]),
    ...(maximumPacketSize === undefined ? [] : [
      `Maximum Packet Size ${maximumPacketSize} bytes` +
      (sample === undefined ? "" : ` (a message of now has ${sample})`),
    ]),
    ...(serverKeepAliveS === undefined ? [] : [`server keep-alive ${serverKeepAliveS} s`]),
    ...(limits.topicAliasMaximum ? [`Topic Alias Maximum ${limits.topicAliasMaximum}`] : []),
    ...(limits.isRetainAvailable === false ? ["no retained messages"] : []),
    ...(assignedClientId === undefined ? [] : [`client id ${quote(assignedClientId)} assigned`]),
    ...(isAws ? ["the limits are AWS IoT Core's"] : []),
  ];
  const saw = `CONNACK 0 (accepted) for client id ${quote(settings.clientId)} in ${ms} ms; ` +
    [`MQTT ${settings.mqttVersion}`, ...granted].join(", ");
  const evidence: Evidence[] = [{
    probe: "mqtt",
    version: settings.mqttVersion,
    outcome: "accepted",
    receiveMaximum,
    ...(maximumQos !== undefined && { maximumQos }),
    ...(maximumPacketSize !== undefined && { maximumPacketSize }),
    ...(serverKeepAliveS !== undefined && { serverKeepAliveS }),
    ...(sample !== undefined && { sampleBytes: sample }),
  }];
  const words = said === undefined ? {} : { said };
  if (maximumQos !== undefined && maximumQos < settings.qos) {
    return {
      status: "fail",
      code: "qos-not-supported",
      saw,
      ...words,
      evidence,
      cause: `the server takes no message with QoS ${settings.qos} (Maximum QoS ${maximumQos})`,
      hint: "pass --qos 0; then messages can be lost; or have the broker take QoS 1",
      exitCode: EXIT.refused,
    };
  }
  if (sample !== undefined && sample > (maximumPacketSize ?? Infinity)) {
    return {
      status: "fail",
      code: "packet-too-large",
      saw,
      ...words,
      evidence,
      cause: `a message of this device has ${sample} bytes as a packet, and the server takes ` +
        `${maximumPacketSize} at most`,
      hint:
        "send smaller messages (fewer sources), or raise the broker's limit (mosquitto: max_packet_size)",
      exitCode: EXIT.refused,
    };
  }
  const doubt = isShadow && payload ? shadowDoubt(payload) : undefined;
  if (doubt !== undefined) {
    return {
      status: "warn",
      code: "shadow-format",
      saw,
      ...words,
      evidence,
      cause: `AWS will refuse the messages of this device for its shadow: ${doubt}`,
      hint: "pass --format shadow, with fewer sources; AWS says what it refuses on …/rejected",
    };
  }
  return { ...ok(saw), ...words, evidence };
}

/** The payload of a message as it would be now; undefined where that cannot be known before. */
async function samplePayload({ settings, world }: Site): Promise<string | undefined> {
  const { message, source, format, clientId } = settings;
  if (message !== undefined) return message;
  if (source.includes("stdin")) return undefined;
  try {
    const { readings } = await readAll(openSources(source, { now: world.now }), {
      timeoutMs: 2000,
    });
    const sample = {
      device: clientId,
      timeMs: world.now().getTime(),
      metrics: metricsOf(readings),
    };
    return payloadOf(sample, format, Number.MAX_SAFE_INTEGER);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  }
}

/** CONNECT was not answered as a broker does. */
const UNANSWERED: readonly Code[] = ["connect-hung-up", "no-connack", "not-mqtt"];

function explainInspected(error: UserError, by: string, settings: Settings): Finding {
  return {
    ...findingOf(error),
    code: "tls-inspected",
    cause:
      `TLS is inspected on the way by ${quote(by)} (see tls): it cannot hand on this device's ` +
      "certificate",
    hint: `ask who runs the network to let ${place(settings)} through without TLS inspection`,
    exitCode: EXIT.unavailable,
  };
}

/** Whether it was the certificate, the version or CONNECT: with the first it closes before anything is sent. */
async function explainNoConnack(error: UserError, site: Site): Promise<Finding> {
  const { settings } = site;
  const finding = findingOf(error);
  if (await closesUnasked(site)) return explainClosed(finding, site);
  const evidence: Evidence[] = [{
    probe: "mqtt",
    version: settings.mqttVersion,
    outcome: "hung-up",
  }];
  if (settings.mqttVersion === "5") {
    const older = await tryOlder(site);
    evidence.push({ probe: "mqtt", version: "3.1.1", outcome: older ? "accepted" : "hung-up" });
    if (older) {
      return {
        ...finding,
        code: "mqtt-version",
        saw: `${error.message}, asked for MQTT 5; asked for MQTT 3.1.1 it sends CONNACK 0`,
        cause: `${place(settings)} speaks MQTT 3.1.1 alone`,
        hint: "pass --mqtt-version 3.1.1",
        exitCode: EXIT.refused,
        evidence,
      };
    }
  }
  const versions = settings.mqttVersion === "5" ? ", with MQTT 3.1.1 too" : "";
  return {
    ...finding,
    saw: `${error.message}: it keeps the connection open until CONNECT, then closes${versions}`,
    cause: `most likely the policy does not allow iot:Connect for client id ${
      quote(settings.clientId)
    }, or ${
      settings.username === undefined
        ? "no policy is attached to the certificate"
        : "the user name and password are not those it wants"
    }`,
    hint: `AWS: add to the policy: ${policyLine("iot:Connect", settings)}; ` +
      `\`mqtt443 doctor --policy\` prints it whole; ${
        watchHint("connect_failed", settings)
      }. Another broker: its log says why`,
    exitCode: EXIT.refused,
    evidence,
  };
}

function explainClosed(finding: Finding, site: Site): Finding {
  const events = watchHint("connect_failed", site.settings);
  return {
    ...finding,
    code: "not-active",
    saw: `${finding.saw}: it closes as soon as TLS is done, before CONNECT`,
    ...(site.isOutOfDate
      ? { cause: "the device certificate is out of date (see dates)", hint: "see dates above" }
      : {
        cause: site.identity.facts === undefined
          ? "it takes no device without a certificate"
          : "most likely the certificate is not registered, or not active, in that account and region",
        hint: "AWS: in the IoT console, Security, Certificates, activate it, or register it; see " +
          `that --endpoint is of the same account and region; ${events}. Another broker: its log ` +
          "says why",
      }),
    exitCode: EXIT.refused,
  };
}

/** Whether a session with MQTT 3.1.1 comes about. */
async function tryOlder(site: Site): Promise<boolean> {
  const { settings, identity, world } = site;
  try {
    const older = { ...settings, mqttVersion: "3.1.1" } as const;
    const connection = await openConnection(older, identity, {
      now: world.now,
      avoid: new Set(site.avoid),
    });
    await connection.end();
    return true;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return false;
  }
}

async function closesUnasked(site: Site): Promise<boolean> {
  const { stream } = await openVerified(site, site.avoid);
  const closed = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => closed.resolve(false), IDLE_MS);
  stream.on("error", () => {}).on("close", () => closed.resolve(true)).resume();
  try {
    return await closed.promise;
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}
