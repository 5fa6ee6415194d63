/**
 * One MQTT session: from CONNECT to its end. This file and no_store.ts alone import MQTT.js.
 *
 * Rules: one MQTT.js client for each attempt, without its reconnect, store and queue (they wait a fixed time and keep
 * messages in memory); every wait has a deadline; any error ends the session.
 */

import type { Buffer } from "node:buffer";
import type { Transform, Writable } from "node:stream";
import mqtt from "mqtt/lib/client";
import type { IClientPublishOptions, IConnackPacket, MqttClient } from "mqtt";
import { place, type Target } from "../core/endpoint.ts";
import { EXIT, UserError } from "../core/errors.ts";
import type { Qos } from "../core/message.ts";
import { passEveryReason } from "./codec.ts";
import { isAwsLike, readConnack } from "./connack.ts";
import { explainTimeout } from "./explain.ts";
import { brokenProtocol, type Doings, explainHangUp, explainSilence } from "./explain_mqtt.ts";
import { KeepAlive } from "./keep_alive.ts";
import { createLengthWatch } from "./length_watch.ts";
import { type LongMessage, LongMessages } from "./long_messages.ts";
import { NoStore } from "./no_store.ts";
import { publishBytes } from "./packet.ts";
import { packetProblem, type ReceivedPacket } from "./packet_rules.ts";
import {
  explainDisconnect,
  explainSuback,
  PacketTooLargeError,
  PublishRefusedError,
  type Said,
} from "./reason_codes.ts";
import type { Transport } from "./tls.ts";
import { TOPIC_ALIAS_BYTES, TopicAliases } from "./topic_aliases.ts";
import {
  type Connection,
  type ConnectionFacts,
  type ConnectionSettings,
  type Opening,
  type OutgoingMessage,
  type ServerLimits,
  WILL_DELAY_S,
} from "./types.ts";

/** Longest packet that is taken: the largest payload and topic of AWS IoT Core, with room for MQTT 5's properties. */
const MAX_PACKET_BYTES = 256 * 1024;
/** How long a DISCONNECT may take to leave, in ms. */
const END_MS = 1000;
/** The packet, in both versions. */
const DISCONNECT = Uint8Array.of(0xe0, 0);
/** The one of MQTT 5 after which the will is sent. */
const DISCONNECT_WITH_WILL = Uint8Array.of(0xe0, 2, 0x04, 0);
/** Messages handed out before timers, signals and other work have their turn. */
const TURN_MESSAGES = 50;
/** PUBACKs of ours that may wait to be sent: some MiB of memory, as MQTT.js keeps them. */
const MOST_OWED = 10_000;
/** MQTT.js's keep-alive counts from what is received and waits half of it for PINGRESP; keep_alive.ts is used instead. */
const NO_TIMER = { set: () => 0, clear: () => {} };

/** What CONNACK says. */
type Granted = Pick<ConnectionFacts, "receiveMaximum" | "limits" | "isAws">;

/** The settings of a session, with what CONNECT holds besides. */
type SessionSettings = ConnectionSettings & Opening & { readonly password?: string | undefined };

/** A session: CONNECT is sent when it is made. */
export class MqttSession implements Omit<Connection, "facts"> {
  readonly #settings: ConnectionSettings & Opening;
  readonly #transport: Transport;
  readonly #target: Target;
  readonly #now: () => Date;
  readonly #client: MqttClient;
  /** Has the bytes from now on go through a filter before MQTT.js gets them. */
  readonly #filterBytes: (filter: Transform) => void;
  readonly #opened = Promise.withResolvers<Granted>();
  readonly #closed = Promise.withResolvers<UserError | undefined>();
  /** CONNACK has come. */
  #isOpen = false;
  /** DISCONNECT was asked for, or the session was given up. */
  #isEnding = false;
  /** Nothing more is sent or taken. */
  #isOver = false;
  #isSubscribed = false;
  /** Begins at CONNACK. */
  #keepAlive: KeepAlive | undefined;
  /** Messages taken while nothing could be written: MQTT.js keeps a PUBACK of each. */
  #owed = 0;
  /** What CONNACK limits. */
  #limits: ServerLimits = {};
  #aliases = new TopicAliases();
  /** When CONNACK came, ms of a clock that never jumps. */
  #openedMs = 0;
  /** Messages handed to MQTT.js, and PUBACKs for them. */
  #sent = 0;
  #acknowledged = 0;
  /** Why the session ended: the first reason stays. */
  #reason: UserError | undefined;

  /**
   * @param transport An open TLS connection, which the session closes.
   * @param now The time of this device, for causes that depend on it.
   */
  constructor(
    settings: SessionSettings,
    transport: Transport,
    target: Target,
    now: () => Date,
  ) {
    this.#settings = settings;
    this.#transport = transport;
    this.#target = target;
    this.#now = now;
    passEveryReason();
    this.#opened.promise.catch(() => {});
    this.#filterBytes = filterable(transport.stream);
    this.#client = openClient(settings, transport);
    this.#watchBytes();
    this.#client.on("packetsend", () => this.#keepAlive?.sent());
    this.#client.on("packetreceive", (packet) => this.#receive(packet as ReceivedPacket));
    this.#client.on("error", (error) => this.#fail(error));
    this.#client.on("close", () => this.#close());
  }

  /** Settles at CONNACK with what the server said in it. */
  get opened(): Promise<Granted> {
    return this.#opened.promise;
  }

  get closed(): Promise<UserError | undefined> {
    return this.#closed.promise;
  }

  publish(
    { topic, payload, qos, retain = false }: OutgoingMessage,
    done: (refused?: PublishRefusedError | PacketTooLargeError) => void,
  ): void {
    // MQTT.js would throw: its store is closed.
    if (this.#isOver) return;
    const { maximumQos = 1, maximumPacketSize: most = Infinity } = this.#limits;
    // A message that was queued before --qos 0 was passed goes the only way there is.
    if (qos > maximumQos && this.#settings.qos !== 0) {
      return this.#finish(explainQos(maximumQos, this.#target));
    }
    let alias = this.#aliases.of(topic);
    // A string is at most three bytes of UTF-8 per unit: most need no counting here.
    if (3 * (topic.length + payload.length) + 20 > most) {
      const bytes = publishBytes({ topic, payload, qos }, this.#settings.mqttVersion);
      if (bytes > most) {
        return queueMicrotask(() => done(new PacketTooLargeError(bytes, most, topic)));
      }
      if (bytes + TOPIC_ALIAS_BYTES + 1 > most) alias = undefined;
    }
    this.#sent++;
    const options: IClientPublishOptions = { qos: Math.min(qos, maximumQos) as Qos, retain };
    if (alias !== undefined) options.properties = alias.properties;
    const named = alias?.isKnown ? "" : topic;
    this.#client.publish(named, payload, options, (error?: unknown, packet?: unknown) => {
      if (!this.#client.connected && error) return;
      const code = (error as { code?: unknown } | undefined)?.code;
      if (typeof code === "number") {
        const { properties } = (packet ?? {}) as { properties?: Said };
        done(new PublishRefusedError(code, topic, properties));
      } else if (!error) {
        if (options.qos! > 0) this.#acknowledged++;
        if (alias !== undefined) alias.isKnown = true;
        done();
      }
    });
  }

  doings(): Doings {
    const [sent, acknowledged] = [this.#sent, this.#acknowledged];
    return { sent, acknowledged, ms: performance.now() - this.#openedMs };
  }

  async subscribe(
    filter: string,
    onMessage: (topic: string, payload: Uint8Array) => void,
    onLong: (message: LongMessage) => void = () => {},
  ): Promise<void> {
    this.#isSubscribed = true;
    if (this.#settings.mqttVersion === "3.1.1") this.#leaveOut(onLong);
    let messages = 0;
    this.#client.handleMessage = (_packet, done) => {
      if (++messages % TURN_MESSAGES === 0) setImmediate(done);
      else done();
    };
    this.#client.on("message", (topic, payload: Buffer) => onMessage(topic, payload));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#client.subscribe(filter, { qos: 1 }, (error) => {
      if (!error) return resolve();
      const { packet } = error as {
        packet?: { granted?: readonly number[]; properties?: Said };
      };
      // Without SUBACK the session has ended; then its own reason is the cause.
      if (packet === undefined) return;
      const target = this.#target;
      const said = packet.properties;
      reject(explainSuback(packet.granted?.[0] ?? 0x80, { filter, target, said, cause: error }));
    });
    void this.closed.then((why) => reject(why));
    const late = explainTimeout("suback", this.#settings.connectTimeout, this.#target);
    const timer = setTimeout(() => this.#finish(late), this.#settings.connectTimeout);
    await promise.finally(() => clearTimeout(timer));
  }

  async end({ keepsWill = false } = {}): Promise<void> {
    this.#isEnding = true;
    const timer = setTimeout(() => this.#finish(undefined), END_MS);
    // By itself MQTT.js would wait for the PUBACKs of what is in flight, or send no DISCONNECT.
    this.#isOver = true;
    this.#keepAlive?.stop();
    const { mqttVersion } = this.#settings;
    // MQTT 3.1.1 has no word for it: there the will is sent where DISCONNECT is missing.
    this.#transport.stream.end(
      !keepsWill ? DISCONNECT : mqttVersion === "5" ? DISCONNECT_WITH_WILL : undefined,
    );
    await this.closed;
    clearTimeout(timer);
  }

  abort(why?: UserError): void {
    this.#isEnding = why === undefined;
    this.#finish(why);
  }

  /** Ends the session at once; the first reason given stays. */
  #finish(why: UserError | undefined): void {
    this.#isOver = true;
    this.#keepAlive?.stop();
    this.#reason ??= why;
    this.#client.end(true);
    this.#transport.stream.destroy();
  }

  #finishBroken(what: string, cause?: unknown): void {
    this.#finish(brokenProtocol(what, this.#target, cause));
  }

  #hungUp(): UserError {
    const when = this.#isOpen ? this.doings() : "connect";
    const { mqttVersion } = this.#settings;
    return explainHangUp(when, this.#transport.failure(), this.#target, this.#now(), mqttVersion);
  }

  /** From now on messages that are too long are acknowledged and told, and not gathered. */
  #leaveOut(onLong: (message: LongMessage) => void): void {
    this.#filterBytes(
      new LongMessages(MAX_PACKET_BYTES, (message) => {
        if (message === undefined) return this.#finishBroken("it sent a packet that is too long");
        const { id } = message;
        if (id !== undefined) {
          this.#transport.stream.write(Uint8Array.of(0x40, 2, id >> 8, id & 0xff));
        }
        onLong(message);
      }),
    );
  }

  /** Looks at the bytes before MQTT.js gathers a whole packet of them in memory. */
  #watchBytes(): void {
    const lengthIn = createLengthWatch();
    this.#transport.stream.prependListener("data", (bytes: Uint8Array) => {
      this.#keepAlive?.received();
      if (!this.#isOpen && isHttp(bytes)) return this.#finishBroken("it answers in HTTP");
      const length = lengthIn(bytes);
      const isLeftOut = this.#isSubscribed && this.#settings.mqttVersion === "3.1.1";
      if (length > MAX_PACKET_BYTES && !isLeftOut) {
        this.#finishBroken(`it sent a packet of ${length} bytes`);
      }
    });
  }

  readonly #isAwaited = (messageId: number) => this.#client.outgoing[messageId] !== undefined;
  readonly #isPingAwaited = () => this.#keepAlive?.answered() ?? false;

  /** Looks at a packet before MQTT.js does. */
  #receive(packet: ReceivedPacket): void {
    // MQTT.js would act on stores that are closed by now, and throw.
    if (this.#isOver) return passOver(packet);
    const problem = packetProblem(packet, {
      isOpen: this.#isOpen,
      isSubscribed: this.#isSubscribed,
      isAwaited: this.#isAwaited,
      isPingAwaited: this.#isPingAwaited,
    }) ?? this.#floodProblem(packet);
    if (problem !== undefined) {
      this.#finishBroken(problem);
      return passOver(packet);
    }
    if (packet.cmd === "connack") this.#acceptConnack(packet as unknown as IConnackPacket);
    if (packet.cmd === "disconnect") {
      const { reasonCode = 0 } = packet as { reasonCode?: number };
      const { properties } = packet as { properties?: Said };
      this.#finish(explainDisconnect(reasonCode, this.#target, properties));
    }
  }

  #floodProblem({ cmd }: ReceivedPacket): string | undefined {
    if (cmd !== "publish") return undefined;
    this.#owed = this.#transport.stream.writableNeedDrain ? this.#owed + 1 : 0;
    return this.#owed > MOST_OWED ? "it sends messages, and does not read our answers" : undefined;
  }

  #acceptConnack(packet: IConnackPacket): void {
    const { mqttVersion, keepAlive, ackTimeout, resumes } = this.#settings;
    const granted = readConnack(packet, mqttVersion, this.#target, resumes);
    if (granted instanceof UserError) return this.#finish(granted);
    this.#isOpen = true;
    this.#openedMs = performance.now();
    this.#limits = granted.limits;
    this.#aliases = new TopicAliases(granted.limits.topicAliasMaximum);
    const { serverKeepAliveS } = granted.limits;
    this.#keepAlive = new KeepAlive({
      keepAliveMs: serverKeepAliveS ? serverKeepAliveS * 1000 : keepAlive,
      ackTimeoutMs: ackTimeout,
      ping: () => this.#client.sendPing(),
      onSilence: () => this.#finish(explainSilence("PINGRESP", ackTimeout, this.#target)),
    });
    this.#opened.resolve({ ...granted, isAws: isAwsLike(granted) });
  }

  /** An error of MQTT.js. Those of TLS come here a second time; what the transport met is the deeper cause. */
  #fail(error: Error): void {
    if (this.#transport.failure() !== undefined || this.#reason !== undefined) {
      return this.#finish(undefined);
    }
    // What is written once the server has hung up.
    if (/^write after end/.test(error.message)) return this.#finish(this.#hungUp());
    this.#finishBroken(error.message, error);
  }

  #close(): void {
    this.#isOver = true;
    this.#keepAlive?.stop();
    this.#client.end(true);
    if (!this.#isEnding) this.#reason ??= this.#hungUp();
    // Never heard where the session was already open.
    this.#opened.reject(this.#reason);
    this.#closed.resolve(this.#reason);
  }
}

function openClient(
  { username, password, will, resumes = false, ...settings }: SessionSettings,
  transport: Transport,
): MqttClient {
  const isV5 = settings.mqttVersion === "5";
  const client = new mqtt.default(() => transport.stream as never, {
    protocolId: "MQTT",
    protocolVersion: isV5 ? 5 : 4,
    clientId: settings.clientId,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    keepalive: Math.round(settings.keepAlive / 1000),
    // The queue redelivers; a session kept by the server would do it a second time. One that is resumed had no
    // subscriptions, and a publisher's holds nothing else: it is resumed for its will alone.
    clean: !(isV5 && resumes),
    ...(will && {
      will: {
        ...{ ...will, payload: will.payload as never, qos: 1, retain: true },
        ...(isV5 && { properties: { willDelayInterval: WILL_DELAY_S } }),
      },
    }),
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
    ...(isV5 && {
      properties: {
        maximumPacketSize: MAX_PACKET_BYTES,
        // The will of a session that the server forgets at once would not be delayed.
        ...(will && { sessionExpiryInterval: WILL_DELAY_S }),
      },
    }),
  });
  // It would put topics back in place of their aliases, for the store.
  return Object.assign(client, { _removeTopicAliasAndRecoverTopicName() {} });
}

/** Makes a stream that is piped to MQTT.js later one that can be piped through a filter after that. */
function filterable(stream: Transport["stream"]): (filter: Transform) => void {
  let sink: Writable | undefined;
  const pipe = stream.pipe.bind(stream);
  stream.pipe = <T extends NodeJS.WritableStream>(to: T): T => {
    sink = to as unknown as Writable;
    return pipe(to);
  };
  return (filter) => {
    stream.unpipe(sink!);
    pipe(filter).pipe(sink!);
  };
}

/** Whether that is a web server's answer. */
function isHttp(bytes: Uint8Array): boolean {
  return bytes[0] === 0x48 && new TextDecoder().decode(bytes.subarray(0, 5)) === "HTTP/";
}

/** Makes MQTT.js pass over a packet: it does nothing with a type that it does not know. */
function passOver(packet: ReceivedPacket): void {
  (packet as { cmd: string }).cmd = "passed over";
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
