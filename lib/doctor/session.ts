/** The checks of `doctor` within a connection: CONNECT and PUBLISH, and after which of them the endpoint hangs up. */

import { place, presenceTopic } from "../core/endpoint.ts";
import { type Connection, openConnection } from "../connection/mod.ts";
import type { Check, Found } from "./checks.ts";
import { type Finding, findingOf, ok } from "./finding.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { sleep } from "../core/wait.ts";
import { policyLine } from "./policy.ts";
import type { Settings } from "../settings/mod.ts";
import { quote } from "../core/text.ts";
import { need, type Site, siteOf } from "./facts.ts";
import { openVerified } from "./reach.ts";
import type { World } from "../core/process.ts";

/** How long after PUBACK a session is watched for being taken over, in ms. */
const TAKEOVER_MS = 1000;
/** How long a connection without CONNECT is watched for being closed, in ms. */
const IDLE_MS = 2000;

/** Reason codes of MQTT 5 that decide here. */
const TAKEN_OVER = 0x8e;
const NOT_AUTHORIZED = 0x87;

/** A running publisher would lose its session to the test. */
const BUSY = {
  status: "skipped",
  saw: "the running mqtt443 would be thrown out (see queue)",
} as const;

/** CONNECT and PUBLISH; the second ends the session that the first opens. */
export function sessionChecks(world: World): Check[] {
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
          return await lookAtPublish(connection, siteOf(world, known));
        } finally {
          await connection.end();
        }
      },
    },
  ];
}

async function lookAtConnect(site: Site): Promise<Found> {
  const settings = site.settings;
  try {
    const connection = await openConnection(settings, site.identity, { now: site.world.now });
    const { receiveMaximum, ms, serverKeepAliveS } = connection.facts;
    const keepAlive = serverKeepAliveS === undefined
      ? ""
      : `, server keep-alive ${serverKeepAliveS} s`;
    const told = ok(
      `CONNACK 0 (accepted) for client id ${quote(settings.clientId)} in ${ms} ms; ` +
        `MQTT ${settings.mqttVersion}, Receive Maximum ${receiveMaximum}${keepAlive}`,
    );
    return { ...told, facts: { connection } };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.code === "connect-hung-up"
      ? await explainNoConnack(error, site)
      : findingOf(error);
  }
}

/** Whether it was the certificate or CONNECT: with the one it closes before anything is sent. */
async function explainNoConnack(error: UserError, site: Site): Promise<Finding> {
  const settings = site.settings;
  const events = watchHint("connect_failed", settings);
  if (await closesUnasked(site)) {
    return {
      ...findingOf(error),
      saw: `${error.message}: it closes as soon as TLS is done, before CONNECT`,
      ...(site.isOutOfDate
        ? { cause: "the device certificate is out of date (see dates)", hint: "see dates above" }
        : {
          cause: site.identity.facts === undefined
            ? "it takes no device without a certificate"
            : "most likely the certificate is not registered, or not active, in that account and region",
          hint:
            "AWS: in the IoT console, Security, Certificates, activate it, or register it; see " +
            `that --endpoint is of the same account and region; ${events}. Another broker: its log ` +
            "says why",
        }),
      exitCode: EXIT.refused,
    };
  }
  return {
    ...findingOf(error),
    saw: `${error.message}: it keeps the connection open until CONNECT, then closes`,
    cause: `most likely the policy does not allow iot:Connect for client id ${
      quote(settings.clientId)
    }, or ${
      settings.username === undefined
        ? "no policy is attached to the certificate"
        : "the user name and password are not those it wants"
    }`,
    hint: `AWS: add to the policy: ${policyLine("iot:Connect", settings)}; ` +
      `\`mqtt443 doctor --policy\` prints it whole; ${events}. Another broker: its log says why`,
    exitCode: EXIT.refused,
  };
}

async function closesUnasked(site: Site): Promise<boolean> {
  const { stream } = await openVerified(site);
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

/** Publishes one test message with QoS 1 whatever the setting is, as only that is answered. */
async function lookAtPublish(connection: Connection, site: Site): Promise<Finding> {
  const { world } = site;
  const settings = site.settings;
  const startMs = world.monotonicMs();
  const payload = JSON.stringify({
    device: settings.clientId,
    time: world.now().toISOString(),
    doctor: "test message",
  });
  const acked = Promise.withResolvers<UserError | undefined>();
  connection.publish({ topic: settings.topic, payload, qos: 1 }, acked.resolve);
  const ended = connection.closed.then((reason) => ({ reason }));
  const waiting = new AbortController();
  const late = sleep(settings.ackTimeout, waiting.signal).then(() => "late" as const);
  const outcome = await Promise.race([acked.promise, ended, late]);
  waiting.abort();
  if (outcome === "late") {
    return findingOf(
      new UserError(`No PUBACK from ${place(settings)} within ${settings.ackTimeout / 1000} s`, {
        code: "no-puback",
        hint: "on a slow link raise --ack-timeout; else ask who runs the broker",
        exitCode: EXIT.unavailable,
      }),
    );
  }
  if (outcome instanceof UserError) return findingOf(outcome);
  if (outcome !== undefined) return explainNoPuback(outcome.reason, settings);
  const ms = Math.round(world.monotonicMs() - startMs);
  const saw = `PUBACK for a test message on ${quote(settings.topic)} in ${ms} ms`;
  const watching = new AbortController();
  const after = await Promise.race([ended, sleep(TAKEOVER_MS, watching.signal)]);
  watching.abort();
  if (!after) return ok(saw);
  return {
    status: "warn",
    code: after.reason?.code ?? "session-hung-up",
    saw: `${saw}, then: ${after.reason?.message ?? "the session ended"}`,
    ...duplicateId(settings),
  };
}

/** Why the session ended after PUBLISH. */
function explainNoPuback(reason: UserError | undefined, settings: Settings): Finding {
  const said = reason?.message ?? `${place(settings)} hung up`;
  const failed = {
    status: "fail",
    code: reason?.code ?? "session-hung-up",
    saw: `${said}, right after PUBLISH to ${quote(settings.topic)}`,
  } as const;
  if (reason?.reason === TAKEN_OVER) {
    return { ...failed, ...duplicateId(settings), exitCode: EXIT.refused };
  }
  if (reason?.code === "disconnected" && reason.reason !== NOT_AUTHORIZED) {
    return { ...failed, cause: reason.message, hint: reason.hint, exitCode: reason.exitCode };
  }
  return {
    ...failed,
    cause: "the policy most likely does not allow iot:Publish on this topic",
    hint:
      `AWS: add to the policy: ${
        policyLine("iot:Publish", settings)
      }; \`mqtt443 doctor --policy\` ` +
      `prints it whole; ${watchHint("disconnected", settings)}. Another broker: its log says why`,
    exitCode: EXIT.refused,
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
function watchHint(event: "connect_failed" | "disconnected", settings: Settings): string {
  return `the console's MQTT test client shows it on ${presenceTopic(event, settings)}`;
}
