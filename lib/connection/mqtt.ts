/**
 * One MQTT session: from CONNECT to its end. This file and no_store.ts alone import MQTT.js.
 *
 * Rules: one MQTT.js client for each attempt, without its reconnect, store and queue (they wait a fixed time and keep
 * messages in memory); every wait has a deadline; any error ends the session.
 */

import type { Buffer } from "node:buffer";
import mqtt from "mqtt/lib/client";
import type { IConnackPacket, MqttClient } from "mqtt";
import { place, type Target } from "../core/endpoint.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { utf8Bytes } from "../core/message.ts";
import { explainHangUp, explainSilence, explainTimeout } from "./explain.ts";
import { KeepAlive } from "./keep_alive.ts";
import { createLengthWatch } from "./length_watch.ts";
import { NoStore } from "./no_store.ts";
import { packetProblem, type ReceivedPacket } from "./packet_rules.ts";
import {
  explainConnack,
  explainDisconnect,
  PublishRefusedError,
  reasonName,
} from "./reason_codes.ts";
import type { Transport } from "./tls.ts";
import type { Connection, ConnectionFacts, ConnectionSettings, OutgoingMessage } from "./types.ts";

/** Longest packet taken: the largest payload and topic of AWS IoT Core, with room for MQTT 5's properties. */
const MAX_PACKET_BYTES = 256 * 1024;
/** How long a DISCONNECT may take to leave, in ms. */
const END_MS = 1000;
/** Bytes of a PUBLISH besides topic and payload, at most: header, lengths, packet id, property length. */
const PUBLISH_OVERHEAD = 10;
/** MQTT 5's reason code for a packet above the server's Maximum Packet Size. */
const PACKET_TOO_LARGE = 0x95;
/** Receive Maximum where CONNACK has none (MQTT 5 section 3.2.2.3.3). */
const NO_RECEIVE_MAXIMUM = 65_535;
/** Messages handed out before timers, signals and other work have their turn. */
const TURN_MESSAGES = 50;
/** PUBACKs of ours that may wait to be sent: some MiB of memory, as MQTT.js keeps them. */
const MOST_OWED = 10_000;
/** MQTT.js's keep-alive counts from what is received and waits half of it for PINGRESP; keep_alive.ts is used instead. */
const NO_TIMER = { set: () => 0, clear: () => {} };

/** What CONNACK says. */
type Granted = Pick<ConnectionFacts, "receiveMaximum" | "serverKeepAliveS">;

/** The settings of a session, with what CONNECT holds besides. */
type SessionSettings = ConnectionSettings & { readonly password?: string | undefined };

/** A session: CONNECT is sent when it is made. */
export class MqttSession implements Omit<Connection, "facts"> {
  readonly #settings: ConnectionSettings;
  readonly #transport: Transport;
  readonly #target: Target;
  readonly #now: () => Date;
  readonly #client: MqttClient;
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
  /** The server's Maximum Packet Size, in bytes. */
  #maximumPacketSize = Infinity;
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
    this.#opened.promise.catch(() => {});
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
    { topic, payload, qos }: OutgoingMessage,
    done: (refused?: PublishRefusedError) => void,
  ): void {
    // MQTT.js would throw: its store is closed.
    if (this.#isOver) return;
    if (this.#isTooLarge(topic, payload)) {
      return queueMicrotask(() => done(new PublishRefusedError(PACKET_TOO_LARGE, topic)));
    }
    this.#client.publish(topic, payload, { qos }, (error?: unknown) => {
      if (!this.#client.connected && error) return;
      const code = (error as { code?: unknown } | undefined)?.code;
      if (typeof code === "number") done(new PublishRefusedError(code, topic));
      else if (!error) done();
    });
  }

  async subscribe(
    filter: string,
    onMessage: (topic: string, payload: Uint8Array) => void,
  ): Promise<void> {
    this.#isSubscribed = true;
    let messages = 0;
    this.#client.handleMessage = (_packet, done) => {
      if (++messages % TURN_MESSAGES === 0) setImmediate(done);
      else done();
    };
    this.#client.on("message", (topic, payload: Buffer) => onMessage(topic, payload));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#client.subscribe(filter, { qos: 1 }, (error) => {
      if (!error) return resolve();
      const { packet } = error as { packet?: { granted?: readonly number[] } };
      // Without SUBACK the session has ended; then its own reason is the cause.
      if (packet === undefined) return;
      reject(subscribeRefused(filter, packet.granted?.[0] ?? 0x80, this.#target, error));
    });
    void this.closed.then((why) => reject(why));
    const late = explainTimeout("suback", this.#settings.connectTimeout, this.#target);
    const timer = setTimeout(() => this.#finish(late), this.#settings.connectTimeout);
    await promise.finally(() => clearTimeout(timer));
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    const timer = setTimeout(() => this.#finish(undefined), END_MS);
    this.#client.end(false);
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
    const when = this.#isOpen ? "session" : "connect";
    return explainHangUp(when, this.#transport.failure(), this.#target, this.#now());
  }

  /** Looks at the bytes before MQTT.js gathers a whole packet of them in memory. */
  #watchBytes(): void {
    const lengthIn = createLengthWatch();
    this.#transport.stream.prependListener("data", (bytes: Uint8Array) => {
      this.#keepAlive?.received();
      if (!this.#isOpen && isHttp(bytes)) return this.#finishBroken("it answers in HTTP");
      const length = lengthIn(bytes);
      if (length > MAX_PACKET_BYTES) this.#finishBroken(`it sent a packet of ${length} bytes`);
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
      this.#finish(explainDisconnect(reasonCode, this.#target));
    }
  }

  #floodProblem({ cmd }: ReceivedPacket): string | undefined {
    if (cmd !== "publish") return undefined;
    this.#owed = this.#transport.stream.writableNeedDrain ? this.#owed + 1 : 0;
    return this.#owed > MOST_OWED ? "it sends messages, and does not read our answers" : undefined;
  }

  #acceptConnack({ reasonCode, returnCode, properties = {} }: IConnackPacket): void {
    const { mqttVersion, keepAlive, ackTimeout } = this.#settings;
    const code = (mqttVersion === "5" ? reasonCode : returnCode) ?? 0;
    if (code !== 0) return this.#finish(explainConnack(code, mqttVersion, this.#target));
    // MQTT 5 section 3.2.2.3.3: a protocol error; nothing could ever be sent.
    if (properties.receiveMaximum === 0) {
      return this.#finishBroken("Receive Maximum 0 in CONNACK");
    }
    this.#isOpen = true;
    this.#maximumPacketSize = properties.maximumPacketSize ?? Infinity;
    const { serverKeepAlive: serverKeepAliveS } = properties;
    this.#keepAlive = new KeepAlive({
      keepAliveMs: serverKeepAliveS ? serverKeepAliveS * 1000 : keepAlive,
      ackTimeoutMs: ackTimeout,
      ping: () => this.#client.sendPing(),
      onSilence: () => this.#finish(explainSilence("PINGRESP", ackTimeout, this.#target)),
    });
    const { receiveMaximum = NO_RECEIVE_MAXIMUM } = properties;
    this.#opened.resolve({ receiveMaximum, serverKeepAliveS });
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

  #isTooLarge(topic: string, payload: string): boolean {
    // A string has at most three bytes of UTF-8 for each unit: most need no counting.
    const most = PUBLISH_OVERHEAD + 3 * (topic.length + payload.length);
    return most > this.#maximumPacketSize &&
      PUBLISH_OVERHEAD + utf8Bytes(topic) + utf8Bytes(payload) > this.#maximumPacketSize;
  }
}

function openClient(
  { username, password, ...settings }: SessionSettings,
  transport: Transport,
): MqttClient {
  return new mqtt.default(() => transport.stream as never, {
    protocolId: "MQTT",
    protocolVersion: settings.mqttVersion === "5" ? 5 : 4,
    clientId: settings.clientId,
    ...(username !== undefined && { username }),
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
  });
}

/** Whether that is a web server's answer. */
function isHttp(bytes: Uint8Array): boolean {
  return bytes[0] === 0x48 && new TextDecoder().decode(bytes.subarray(0, 5)) === "HTTP/";
}

/** Makes MQTT.js pass over a packet: it does nothing with a type that it does not know. */
function passOver(packet: ReceivedPacket): void {
  (packet as { cmd: string }).cmd = "passed over";
}

function brokenProtocol(what: string, target: Target, cause?: unknown): UserError {
  return new UserError(`${place(target)} does not speak MQTT as it should: ${what}`, {
    code: "not-mqtt",
    hint: "check --endpoint, --port and --mqtt-version",
    step: "mqtt",
    exitCode: EXIT.unavailable,
    cause,
  });
}

function subscribeRefused(
  filter: string,
  code: number,
  target: Target,
  cause: unknown,
): UserError {
  const said = `SUBACK ${reasonName(code)}`;
  return new UserError(`${place(target)} refused the subscription to "${filter}": ${said}`, {
    code: "suback-refused",
    reason: code,
    hint:
      `the policy must allow iot:Subscribe on topicfilter/${filter} and iot:Receive on its topics`,
    step: "mqtt",
    exitCode: EXIT.refused,
    cause,
  });
}
