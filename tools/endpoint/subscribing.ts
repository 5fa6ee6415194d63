/** What happens to a SUBSCRIBE: limits and policy decide what is granted; retained messages follow. */

import type { ISubscribePacket } from "mqtt-packet";
import { fires } from "./faults.ts";
import type { Hub, Session } from "./hub.ts";
import { isAllowed, isFilter } from "./topics.ts";

/** MQTT 3.1.1's only way to say no; everything below grants a QoS. */
const FAILURE = 0x80;

/** Deal with one SUBSCRIBE of a session. */
export function takeSubscribe(session: Session, packet: ISubscribePacket, hub: Hub): void {
  const { link } = session;
  const isV5 = link.protocolVersion === 5;
  hub.observer.counts.subscribes++;
  if (fires(hub.faults, "noSuback", () => session.record)) return;
  if (packet.subscriptions.some(({ qos }) => qos > 1)) {
    // AWS does not answer QoS 2 (its developer guide, page "mqtt", and quotas page "iot-core"); MQTT 5 has a code for it.
    return isV5 ? session.end("QoS 2", 0x9b) : undefined;
  }
  const granted = packet.subscriptions.map(({ topic, qos }) => {
    if (!isFilter(topic, hub.limits)) return isV5 ? 0x8f : FAILURE;
    if (!isAllowed(hub.policy.subscribe, session.clientId, topic)) {
      return isV5 ? 0x87 : FAILURE;
    }
    session.filters.set(topic, qos);
    return qos;
  });
  link.send({ cmd: "suback", messageId: packet.messageId ?? 0, granted });
  for (const [i, { topic, qos }] of packet.subscriptions.entries()) {
    if ((granted[i] ?? FAILURE) < FAILURE) {
      hub.deliverRetained(session, topic, qos);
    }
  }
}
