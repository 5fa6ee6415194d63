/**
 * One MQTT session: from CONNECT to its end. The only file that imports MQTT.js.
 *
 * Rules: one client object an attempt, never its reconnect, its store or its queue (they wait a fixed time and keep
 * messages in memory); every wait has a deadline; any error ends the session.
 */

import type { Buffer } from "node:buffer";
import mqtt from "mqtt/lib/client";
import type { MqttClient } from "mqtt";
import { passEveryReason } from "./codec.ts";
import { isAwsLike, readConnack } from "./connack.ts";
import { explainTimeout } from "./explain.ts";
import { brokenProtocol, type Doings, explainHangUp, explainSilence } from "./explain_mqtt.ts";
import { place, type Target } from "../core/endpoint.ts";
import type { Connection, ConnectionFacts, ConnectionSettings, ServerLimits } from "./types.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { KeepAlive } from "./keep_alive.ts";
import { createLengthWatch } from "./length_watch.ts";
import type { Qos } from "../core/message.ts";
import { publishBytes } from "./packet.ts";
import { NoStore } from "./no_store.ts";
import {
  explainDisconnect,
  explainSuback,
  PacketTooLargeError,
  PublishRefusedError,
  type Said,
} from "./reason_codes.ts";
import type { Transport } from "./tls.ts";

/** Longest packet taken: the largest payload and topic of AWS IoT Core, with room for MQTT 5's properties. */
const MAX_PACKET_BYTES = 256 * 1024;
/** How long a DISCONNECT may take to leave. */
const END_MS = 1000;
/** The packet, in both versions. */
const DISCONNECT = Uint8Array.of(0xe0, 0);

/** MQTT.js's keep-alive counts from what is received, and waits for half of it for PINGRESP: keep_alive.ts is ours. */
const NO_TIMER = { set: () => 0, clear: () => {} };

/** Packets of QoS 2 alone. MQTT.js would take PUBCOMP for a PUBACK, and keep what it receives. */
const QOS_2: readonly string[] = ["pubrec", "pubrel", "pubcomp"];

/** Packets that only answer one of ours, of which MQTT.js keeps a note until then. */
const ANSWERS: readonly string[] = ["puback", "suback", "unsuback"];

/** Packets that a server never sends to a client of this kind. */
const NEVER: readonly string[] = ["auth", "connect", "subscribe", "unsubscribe", "pingreq"];

/** Messages handed out before timers, signals and other work have their turn. */
const TURN_MESSAGES = 50;

/** Answers that may wait to be sent: some MiB of memory, as MQTT.js keeps them. */
const MOST_OWED = 10_000;

/** A session whose CONNACK is still to come. */
export interface Session extends Omit<Connection, "facts"> {
  /** Settles at CONNACK with what the server said in it. */
  readonly opened: Promise<Granted>;
}

/** What is known at CONNACK. */
type Granted = Pick<ConnectionFacts, "receiveMaximum" | "limits" | "isAws">;

/** Sends CONNECT on a connection. */
export function openSession(
  settings: ConnectionSettings,
  transport: Transport,
  target: Target,
  now: () => Date,
  password?: string,
): Session {
  passEveryReason();
  const opened = Promise.withResolvers<Granted>();
  const closed = Promise.withResolvers<UserError | undefined>();
  let isOpen = false;
  let isEnding = false;
  let isOver = false;
  /** Answers that MQTT.js has given while nothing left. */
  let owed = 0;
  let limits: ServerLimits = {};
  let openedMs = 0;
  let sent = 0;
  let acknowledged = 0;
  let isSubscribed = false;
  let keepAlive: KeepAlive | undefined;
  let reason: UserError | undefined;
  const client: MqttClient = new mqtt.default(() => transport.stream as never, {
    protocolId: "MQTT",
    protocolVersion: settings.mqttVersion === "5" ? 5 : 4,
    clientId: settings.clientId,
    ...(settings.username !== undefined && { username: settings.username }),
    ...(password !== undefined && { password }),
    keepalive: Math.round(settings.keepAlive / 1000),
    // The queue redelivers; a session kept by the server would do it a second time.
    clean: true,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    // Our own deadline covers the attempt from its start.
    connectTimeout: settings.connectTimeout * 2,
    // Its cache of numbers costs 15 MiB and 20 ms.
    writeCache: false,
    // Its debug lines cost a twentieth of the CPU even when nobody reads them.
    log: () => {},
    outgoingStore: new NoStore(),
    timerVariant: NO_TIMER,
    reschedulePings: false,
    ...(settings.mqttVersion === "5" && { properties: { maximumPacketSize: MAX_PACKET_BYTES } }),
  });
  const doings = (): Doings => ({ sent, acknowledged, ms: performance.now() - openedMs });

  /** Ends the session; the first reason given stays. */
  const finish = (why: UserError | undefined) => {
    isOver = true;
    keepAlive?.stop();
    reason ??= why;
    client.end(true);
    transport.stream.destroy();
  };
  const hungUp = () =>
    explainHangUp(isOpen ? doings() : "connect", transport.failure(), target, now());
  const lengthIn = createLengthWatch();
  transport.stream.prependListener("data", (bytes: Uint8Array) => {
    keepAlive?.received();
    if (!isOpen && isHttp(bytes)) return finish(brokenProtocol("it answers in HTTP", target));
    const length = lengthIn(bytes);
    // MQTT.js would gather the whole of it in memory.
    if (length > MAX_PACKET_BYTES) {
      finish(brokenProtocol(`it sent a packet of ${length} bytes`, target));
    }
  });
  /** What is wrong with a packet that nothing asked for. A flood of them would leave no time for anything else. */
  const unaskedFor = (
    { cmd, messageId = 0 }: { cmd: string; messageId?: number },
  ): string | undefined => {
    if (ANSWERS.includes(cmd) && client.outgoing[messageId] === undefined) {
      return cmd === "puback"
        ? "it acknowledged a message that was not sent"
        : `it sent ${cmd.toUpperCase()}, unasked`;
    }
    if (cmd === "pingresp" && !keepAlive?.answered()) return "it sent PINGRESP, unasked";
    if (cmd === "connack" && isOpen) return "it sent a second CONNACK";
    if (NEVER.includes(cmd)) return `it sent ${cmd.toUpperCase()}, unasked`;
    if (cmd === "publish" && !isOpen) return "it sent a message before CONNACK";
    if (cmd === "publish" && !isSubscribed) {
      return "it sent a message, and nothing is subscribed to";
    }
    return undefined;
  };
  client.on("packetsend", () => keepAlive?.sent());
  client.on("packetreceive", (packet) => {
    // It would act on stores that are closed by now, and throw.
    if (isOver) return passOver(packet);
    if (QOS_2.includes(packet.cmd) || (packet.cmd === "publish" && packet.qos === 2)) {
      finish(brokenProtocol(`it sent ${packet.cmd.toUpperCase()} of QoS 2, unasked`, target));
      return passOver(packet);
    }
    if (packet.cmd === "publish") {
      owed = transport.stream.writableNeedDrain ? owed + 1 : 0;
      if (owed > MOST_OWED) {
        finish(brokenProtocol("it sends messages, and does not read our answers", target));
        return passOver(packet);
      }
    }
    const unasked = unaskedFor(packet);
    if (unasked !== undefined) {
      finish(brokenProtocol(unasked, target));
      return passOver(packet);
    }
    if (packet.cmd === "connack") {
      const granted = readConnack(packet, settings.mqttVersion, target);
      if (granted instanceof UserError) {
        finish(granted);
        return passOver(packet);
      }
      isOpen = true;
      openedMs = performance.now();
      limits = granted.limits;
      const { serverKeepAliveS } = limits;
      keepAlive = new KeepAlive({
        keepAliveMs: serverKeepAliveS ? serverKeepAliveS * 1000 : settings.keepAlive,
        ackTimeoutMs: settings.ackTimeout,
        ping: () => client.sendPing(),
        onSilence: () => finish(explainSilence("PINGRESP", settings.ackTimeout, target)),
      });
      opened.resolve({ ...granted, isAws: isAwsLike(granted) });
    } else if (packet.cmd === "disconnect") {
      finish(explainDisconnect(packet.reasonCode ?? 0, target, packet.properties));
    }
  });
  client.on("error", (error) => {
    // TLS errors come here a second time, in other words; what the transport met is the deeper one.
    if (transport.failure() !== undefined || reason !== undefined) return finish(undefined);
    // What is written once the server has hung up.
    if (/^write after end/.test(error.message)) return finish(hungUp());
    finish(brokenProtocol(error.message, target, error));
  });
  client.on("close", () => {
    isOver = true;
    keepAlive?.stop();
    client.end(true);
    if (!isEnding) {
      reason ??= hungUp();
    }
    // Never heard where the session was already open.
    opened.reject(reason);
    closed.resolve(reason);
  });
  opened.promise.catch(() => {});

  return {
    opened: opened.promise,
    closed: closed.promise,
    publish({ topic, payload, qos }, done) {
      // MQTT.js would throw: its store is closed.
      if (isOver) return;
      const { maximumQos = 1, maximumPacketSize: most = Infinity } = limits;
      // A message that was queued before --qos 0 was passed goes the only way there is.
      if (qos > maximumQos && settings.qos !== 0) return finish(explainQos(maximumQos, target));
      // A string is at most three bytes of UTF-8 per unit: most need no counting here.
      if (3 * (topic.length + payload.length) + 10 > most) {
        const bytes = publishBytes({ topic, payload, qos }, settings.mqttVersion);
        if (bytes > most) {
          queueMicrotask(() => done(new PacketTooLargeError(bytes, most, topic)));
          return;
        }
      }
      sent++;
      const options = { qos: Math.min(qos, maximumQos) as Qos };
      client.publish(topic, payload, options, (error?: unknown, packet?: unknown) => {
        if (!client.connected && error) return;
        const code = (error as { code?: unknown } | undefined)?.code;
        if (typeof code === "number") {
          const { properties } = (packet ?? {}) as { properties?: Said };
          done(new PublishRefusedError(code, topic, properties));
        } else if (!error) {
          if (options.qos > 0) acknowledged++;
          done();
        }
      });
    },
    doings,
    async subscribe(filter, onMessage) {
      isSubscribed = true;
      let messages = 0;
      client.handleMessage = (_packet, done) => {
        if (++messages % TURN_MESSAGES === 0) setImmediate(done);
        else done();
      };
      client.on("message", (topic, payload: Buffer) => onMessage(topic, payload));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      client.subscribe(filter, { qos: 1 }, (error) => {
        if (!error) return resolve();
        const { packet } = error as {
          packet?: { granted?: readonly number[]; properties?: Said };
        };
        // An error without a SUBACK means that the session has ended: its reason is told below.
        if (packet === undefined) return;
        const said = packet.properties;
        reject(explainSuback(packet.granted?.[0] ?? 0x80, { filter, target, said, cause: error }));
      });
      void closed.promise.then((why) => reject(why));
      const late = explainTimeout("suback", settings.connectTimeout, target);
      const timer = setTimeout(() => finish(late), settings.connectTimeout);
      await promise.finally(() => clearTimeout(timer));
    },
    async end() {
      isEnding = isOver = true;
      keepAlive?.stop();
      const timer = setTimeout(() => finish(undefined), END_MS);
      // By itself MQTT.js would wait for the PUBACKs of what is in flight, or say no DISCONNECT.
      transport.stream.end(DISCONNECT);
      await closed.promise;
      clearTimeout(timer);
    },
    abort(why) {
      isEnding = why === undefined;
      finish(why);
    },
  };
}

/** Whether that is a web server's answer. */
function isHttp(bytes: Uint8Array): boolean {
  return bytes[0] === 0x48 && new TextDecoder().decode(bytes.subarray(0, 5)) === "HTTP/";
}

/** Makes MQTT.js pass over a packet, which it looks at next: it does nothing with a type it does not know. */
function passOver(packet: { cmd: string }): void {
  packet.cmd = "passed over";
}

/** The server takes no message of the QoS that is set. */
function explainQos(maximumQos: Qos, target: Target): UserError {
  return new UserError(
    `${place(target)} takes no message with QoS 1: Maximum QoS ${maximumQos} in its CONNACK`,
    {
      code: "qos-not-supported",
      hint: "pass --qos 0; then messages can be lost; or have the broker take QoS 1",
      step: "publish",
      exitCode: EXIT.refused,
    },
  );
}
