/**
 * What happens to a PUBLISH: limits, throttle, policy and faults, then it is taken, handed to
 * subscribers and acknowledged.
 */

import type { IPublishPacket } from "mqtt-packet";
import { Buffer } from "node:buffer";
import { fires } from "./faults.ts";
import type { Hub, Session } from "./hub.ts";
import type { ReceivedMessage } from "./observe.ts";
import type { Limits } from "./options.ts";
import { isAllowed, isTopic } from "./topics.ts";

/** Deal with one PUBLISH of a session. */
export function takePublish(session: Session, packet: IPublishPacket, hub: Hub): void {
  const { faults, limits, observer } = hub;
  const { link, record } = session;
  const payload = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
  const topic = topicOf(session, packet, limits);
  record.publishes++;
  if (topic === undefined) return session.end("topic alias invalid", 0x94);

  if (packet.qos === 2) {
    observer.counts.refused++;
    // AWS does not answer QoS 2 (its developer guide, page "mqtt", and quotas page "iot-core"); MQTT 5 has a code for it.
    if (link.protocolVersion === 5) session.end("QoS 2", 0x9b);
    return;
  }
  if (packet.qos === 1) {
    session.inFlight++;
    record.maxInFlight = Math.max(record.maxInFlight, session.inFlight);
    if (link.protocolVersion === 5 && session.inFlight > limits.receiveMaximum) {
      return session.end("receive maximum exceeded", 0x93);
    }
  }
  if (payload.length > limits.payloadBytes) {
    return refuse(session, packet, hub, "payload too large", 0x95);
  }
  if (!isTopic(topic, limits)) {
    return refuse(session, packet, hub, "topic name invalid", 0x90);
  }
  if (!isAllowed(hub.policy.publish, session.clientId, topic)) {
    return refuse(
      session,
      packet,
      hub,
      `not allowed to publish to "${topic}"`,
      0x87,
    );
  }
  if (packet.retain && !isAllowed(hub.policy.retain, session.clientId, topic)) {
    return refuse(session, packet, hub, `not allowed to keep a message on "${topic}"`, 0x87);
  }
  if (isThrottled(session, hub)) {
    observer.counts.discarded++;
    return;
  }

  let message: ReceivedMessage | undefined;
  const about = () => message ??= messageOf(session, packet, topic, payload, observer.now());
  if (fires(faults, "closeAtPublish", about)) {
    return session.end("fault: closeAtPublish");
  }
  if (fires(faults, "refusePublish", about)) {
    observer.counts.refused++;
    return answer(session, packet, faults.pubackCode);
  }

  observer.counts.received++;
  if (hub.options.keep === "headers") {
    observer.received.push({ ...about(), payload: "" });
  } else if (hub.options.keep !== "counts") observer.received.push(about());
  hub.options.onMessage?.(about());
  const delivery = { topic, payload, qos: packet.qos };
  if (packet.retain) hub.retain({ ...delivery, payload: Buffer.from(payload) });
  hub.deliver(delivery);

  if (
    faults.closeAfterPublishes > 0 &&
    record.publishes >= faults.closeAfterPublishes
  ) {
    return session.end("fault: closeAfterPublishes");
  }
  if (packet.qos === 0 || packet.messageId === undefined) return;
  if (fires(faults, "forgetPuback", about)) return;
  if (faults.pubackDelayMs === 0) return link.ack(packet.messageId);
  ackLater(session, packet.messageId, faults.pubackDelayMs);
}

/** The topic of a PUBLISH, which an alias may stand for; undefined: nobody knows it. */
function topicOf(
  { aliases }: Session,
  { topic, properties }: IPublishPacket,
  { topicAliasMaximum }: Limits,
): string | undefined {
  const alias = properties?.topicAlias;
  if (alias === undefined) return topic;
  if (alias === 0 || alias > topicAliasMaximum) return undefined;
  if (topic !== "") aliases.set(alias, topic);
  return aliases.get(alias);
}

function refuse(
  session: Session,
  packet: IPublishPacket,
  hub: Hub,
  reason: string,
  code: number,
): void {
  hub.observer.counts.refused++;
  const canAnswer = session.link.protocolVersion === 5 && packet.qos === 1;
  if (hub.options.refusedPublish === "puback" && canAnswer) {
    return answer(session, packet, code);
  }
  session.end(reason, code);
}

/** PUBACK with a reason code; MQTT 3.1.1 has none, so there it stays silent. */
function answer(session: Session, packet: IPublishPacket, reasonCode: number): void {
  if (session.link.protocolVersion !== 5 || packet.messageId === undefined) {
    return;
  }
  session.inFlight--;
  session.link.send({ cmd: "puback", messageId: packet.messageId, reasonCode });
}

/** PUBACKs of one turn wait together: a timer and a TLS record for each would be the bottleneck. */
function ackLater(session: Session, messageId: number, delayMs: number): void {
  if (session.ackBatch !== undefined) {
    session.ackBatch.push(messageId);
    return;
  }
  const batch = [messageId];
  session.ackBatch = batch;
  queueMicrotask(() => session.ackBatch = undefined);
  const timer = setTimeout(() => {
    session.ackTimers.delete(timer);
    for (const id of batch) session.link.ack(id);
  }, delayMs);
  session.ackTimers.add(timer);
}

/** AWS discards what exceeds the rate, without a word (its developer guide, page "mqtt", and quotas page "iot-core"). */
function isThrottled(session: Session, { faults, observer }: Hub): boolean {
  if (faults.publishesPerS === 0) return false;
  const now = observer.now();
  const times = session.publishTimesMs;
  while (times.length > 0 && (times[0] ?? now) <= now - 1_000) times.shift();
  if (times.length >= faults.publishesPerS) return true;
  times.push(now);
  return false;
}

function messageOf(
  session: Session,
  packet: IPublishPacket,
  topic: string,
  payload: Buffer,
  atMs: number,
): ReceivedMessage {
  return {
    clientId: session.clientId,
    connection: session.connection,
    topic,
    payload: payload.toString(),
    bytes: payload.length,
    qos: packet.qos,
    dup: packet.dup,
    retain: packet.retain,
    messageId: packet.messageId,
    isAlias: packet.topic === "",
    atMs,
  };
}
