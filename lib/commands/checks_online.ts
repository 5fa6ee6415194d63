/**
 * The checks of `doctor` that need the network: DNS, TCP, TLS, ALPN, MQTT, PUBLISH.
 *
 * Where our own verified connection fails, a second look finds out what is really there.
 */

import { explainTimeout, explainTransport, place, type Target } from "../causes.ts";
import { type Connection, openConnection, targetOf } from "../connection.ts";
import { type Check, type Finding, findingOf } from "../doctor.ts";
import { EXIT, UserError } from "../errors.ts";
import { sleep } from "../gather.ts";
import { type Identity, identityOf } from "../identity.ts";
import { describeBytes, firstBytes, lookAtTls, type TlsLook } from "../second_look.ts";
import type { Settings } from "../settings.ts";
import { limitTrust, openTransport } from "../transport.ts";
import { quote } from "../words.ts";
import type { World } from "../world.ts";
import type { Case } from "./checks_local.ts";

/** How long after PUBACK a session is watched for being taken over, in ms. */
const TAKEOVER_MS = 1000;

/** The online checks, in their order, and what they hold open. */
export function onlineChecks(
  world: World,
  facts: Case,
): { checks: Check[]; close: () => Promise<void> } {
  let connection: Connection | undefined;
  let addressKnown = "";
  let alpnFailure: UserError | undefined;
  let negotiated: string | null = null;
  const settings = () => facts.loaded!.settings;
  const identity = (): Identity => identityOf(facts.files!, facts.parsed!);
  const target = (): Target => targetOf(settings(), { caFiles: facts.files?.ca ?? [] });
  const idle = (): Finding | undefined =>
    facts.isBusy
      ? { status: "ok", saw: "not tried: the running mqtt443 would be thrown out (see queue)" }
      : undefined;
  const checks: Check[] = [
    {
      name: "dns",
      needs: ["settings"],
      async look() {
        const outcome = await tryTcp(settings(), target(), world);
        addressKnown = outcome.peer;
        if (outcome.error?.step === "dns") return findingOf(outcome.error);
        facts.tcp = outcome.error;
        return ok(`${settings().endpoint}${outcome.peer ? ` is ${outcome.peer}` : " was found"}`);
      },
    },
    {
      name: "tcp",
      needs: ["dns"],
      look: () => facts.tcp ? findingOf(facts.tcp) : ok(`connected to ${addressKnown}`),
    },
    {
      name: "tls",
      needs: ["tcp", "key-match"],
      async look() {
        limitTrust(world.env, facts.files!.ca.length > 0);
        try {
          const transport = await openTransport({
            target: target(),
            identity: identity(),
            signal: AbortSignal.timeout(settings().connectTimeout),
            timeoutMs: settings().connectTimeout,
            now: world.now,
            connect: Deno.connectTls,
          });
          negotiated = transport.alpn;
          transport.stream.destroy();
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          if (error.step !== "alpn") {
            return await explainTls(error, target(), identity().caPems, settings());
          }
          alpnFailure = error;
        }
        const look = await lookAtTls(target(), identity().caPems, settings().connectTimeout);
        return ok(look ? describeLook(look) : "the certificate is trusted");
      },
    },
    {
      name: "alpn",
      needs: ["tls"],
      look() {
        if (alpnFailure) return findingOf(alpnFailure);
        const asked = settings().alpn;
        return ok(
          asked === undefined
            ? "not asked for"
            : `asked for ${quote(asked)}, got ${quote(negotiated)}`,
        );
      },
    },
    {
      name: "mqtt-connect",
      needs: ["alpn"],
      async look() {
        const wait = idle();
        if (wait) return wait;
        connection = await openConnection(settings(), identity(), { now: world.now });
        const { receiveMaximum, ms, serverKeepAliveS } = connection.facts;
        const keepAlive = serverKeepAliveS === undefined
          ? ""
          : `, server keep-alive ${serverKeepAliveS} s`;
        return ok(
          `CONNACK for client id ${
            quote(settings().clientId)
          } in ${ms} ms; MQTT ${settings().mqttVersion}, ` +
            `Receive Maximum ${receiveMaximum}${keepAlive}`,
        );
      },
    },
    {
      name: "publish",
      needs: ["mqtt-connect"],
      look: async () => idle() ?? await lookAtPublish(connection!, settings(), target(), world),
    },
  ];
  return { checks, close: async () => await connection?.end() };
}

/** Connects and closes: tells a name that is not found from a port that is not reached. */
async function tryTcp(
  settings: Settings,
  target: Target,
  world: World,
): Promise<{ peer: string; error: UserError | undefined }> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), settings.connectTimeout);
  try {
    using conn = await Deno.connect({
      hostname: settings.endpoint,
      port: settings.port,
      signal: controller.signal,
    });
    const { hostname, port } = conn.remoteAddr;
    return { peer: `${hostname}:${port}`, error: undefined };
  } catch (error) {
    const told = controller.signal.aborted
      ? explainTimeout("tcp", settings.connectTimeout, target)
      : explainTransport(error, target, world.now());
    return { peer: "", error: told };
  } finally {
    clearTimeout(timer);
  }
}

/** Adds to a TLS failure what a second look shows. */
async function explainTls(
  error: UserError,
  target: Target,
  caPems: readonly string[],
  settings: Settings,
): Promise<Finding> {
  const finding = findingOf(error);
  const look = await lookAtTls(target, caPems, settings.connectTimeout);
  if (look) return { ...finding, saw: describeLook(look) };
  const bytes = await firstBytes(target, Math.min(5000, settings.connectTimeout));
  return { ...finding, saw: `no TLS handshake: ${describeBytes(bytes)}` };
}

function describeLook({ version, alpn, certificate }: TlsLook): string {
  const { subject, issuer, names, validFrom, validTo, fingerprint, chain } = certificate;
  return `${version}, ALPN ${quote(alpn ?? "none")}; server certificate: subject ${
    quote(subject)
  }, ` +
    `issuer ${quote(issuer)}, names ${quote(names)}, valid ${validFrom} to ${validTo}, ` +
    `SHA-256 ${fingerprint}${
      chain.length > 1 ? `, signed by ${chain.map(quote).join(", by ")}` : ""
    }`;
}

/** Publishes one test message with QoS 1 whatever the setting is, as only that is answered. */
async function lookAtPublish(
  connection: Connection,
  settings: Settings,
  target: Target,
  world: World,
): Promise<Finding> {
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
      new UserError(`No PUBACK from ${place(target)} within ${settings.ackTimeout / 1000} s`, {
        hint: "on a slow link raise --ack-timeout; else ask who runs the broker",
        exitCode: EXIT.unavailable,
      }),
    );
  }
  if (outcome instanceof UserError) return findingOf(outcome);
  if (outcome !== undefined) return hungUp(outcome.reason, settings, target);
  const ms = Math.round(world.monotonicMs() - startMs);
  const saw = `PUBACK for a test message on ${quote(settings.topic)} in ${ms} ms`;
  const watching = new AbortController();
  const after = await Promise.race([ended, sleep(TAKEOVER_MS, watching.signal)]);
  watching.abort();
  if (!after) return ok(saw);
  return {
    status: "warn",
    saw: `${saw}, then: ${after.reason?.message ?? "the session ended"}`,
    cause: `most likely another device uses client id ${quote(settings.clientId)}`,
    hint:
      `give each its own --client-id; watch $aws/events/presence/disconnected/${settings.clientId}`,
  };
}

function hungUp(reason: UserError | undefined, settings: Settings, target: Target): Finding {
  return {
    status: "fail",
    saw: `${reason?.message ?? `${place(target)} hung up`}, right after PUBLISH to ${
      quote(settings.topic)
    }`,
    cause: "the policy most likely does not allow iot:Publish on this topic",
    hint:
      `add iot:Publish on topic/${settings.topic} to the policy (\`mqtt443 doctor --policy\` prints it); ` +
      `watch $aws/events/presence/disconnected/${settings.clientId}`,
    exitCode: EXIT.refused,
  };
}

function ok(saw: string): Finding {
  return { status: "ok", saw };
}
