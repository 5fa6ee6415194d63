/**
 * One MQTT connection from the TLS handshake to its end: CONNECT and its faults, keep-alive, PINGREQ,
 * DISCONNECT. PUBLISH and SUBSCRIBE have files of their own; who else is connected is in hub.ts.
 */

import type { TLSSocket } from "node:tls";
import type { Buffer } from "node:buffer";
import mqtt, { type IConnectPacket, type Packet } from "mqtt-packet";
import { connackOf, effectiveKeepAliveS, recordOf } from "./connect.ts";
import { fires } from "./faults.ts";
import type { Hub, Session } from "./hub.ts";
import { makeLink } from "./link.ts";
import type { CloseRecord, ConnectRecord } from "./observe.ts";
import { takePublish } from "./publishing.ts";
import { takeSubscribe } from "./subscribing.ts";
import { isAllowed } from "./topics.ts";
import { willOf } from "./wills.ts";

/** AWS drops a connection silent for this many keep-alive intervals (its developer guide, page "mqtt", and quotas page "iot-core"). */
const KEEP_ALIVE_FACTOR = 1.5;

/** Serve MQTT on a socket whose handshake is done. */
export function serveSession(socket: TLSSocket, connection: number, hub: Hub): void {
  const { faults, limits, observer } = hub;
  const parser = mqtt.parser();
  let record: ConnectRecord | undefined;
  let session: Session | undefined;
  let lastPacketMs = observer.now();
  let keepAliveTimer: ReturnType<typeof setTimeout> | undefined;
  let closeTimer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;

  const link = makeLink(socket, (acks) => {
    observer.counts.acked += acks;
    if (session === undefined) return;
    session.inFlight -= acks;
  });
  hub.links.add(link);

  function recordEnd(by: CloseRecord["by"], reason: string) {
    if (ended) return;
    ended = true;
    const clientId = record?.clientId ?? "";
    const atMs = observer.now();
    observer.closes.push({ clientId, connection, by, reason, atMs });
    observer.changed();
  }

  function end(reason: string, code?: number) {
    recordEnd("endpoint", reason);
    if (code !== undefined && link.protocolVersion === 5 && session !== undefined) {
      link.send({ cmd: "disconnect", reasonCode: code });
    }
    link.hangUp();
  }

  function watchKeepAlive(keepAliveS: number) {
    const allowedMs = keepAliveS * 1000 * KEEP_ALIVE_FACTOR;
    const leftMs = lastPacketMs + allowedMs - observer.now();
    if (leftMs <= 0) return end("keep-alive timeout", 0x8d);
    keepAliveTimer = setTimeout(() => watchKeepAlive(keepAliveS), leftMs);
  }

  function connect(packet: IConnectPacket) {
    if (record !== undefined) return end("second CONNECT", 0x82);
    link.protocolVersion = packet.protocolVersion ?? 4;
    const isV5 = link.protocolVersion === 5;
    const clientId = packet.clientId || (isV5 ? `auto-${connection}` : "");
    const seen = recordOf(packet, clientId, socket, connection, observer.now());
    record = seen;
    observer.connects.push(seen);
    const about = () => seen;

    const refuse = (code: number, reason: string, keepOpen = false) => {
      link.send({ cmd: "connack", sessionPresent: false, returnCode: code, reasonCode: code });
      if (!keepOpen) end(reason);
    };
    if (fires(faults, "closeAtConnect", about)) {
      return end("fault: closeAtConnect");
    }
    if (fires(faults, "noConnack", about)) return;
    if (fires(faults, "rawAtConnect", about)) {
      return link.sendBytes(faults.rawBytes);
    }
    if (fires(faults, "refuseConnect", about)) {
      return refuse(faults.connackCode, "fault: refuseConnect", faults.keepRefusedOpen);
    }
    const idBytes = new TextEncoder().encode(clientId).length;
    if (idBytes === 0 || idBytes > limits.clientIdBytes) {
      return isV5 ? refuse(0x85, "client id not valid") : end("client id not valid");
    }
    if (!isAllowed(hub.policy.connect, clientId, clientId)) {
      return isV5 ? refuse(0x87, "not allowed to connect") : end("not allowed to connect");
    }

    const will = willOf(packet);
    const rules = [hub.policy.publish, will?.retain ? hub.policy.retain : undefined];
    if (will && !rules.every((rule) => isAllowed(rule, clientId, will.topic))) {
      return isV5 ? refuse(0x87, "not allowed to have that will") : end("not allowed that will");
    }

    session = {
      clientId,
      will,
      connection,
      record: seen,
      link,
      end,
      filters: new Map(),
      aliases: new Map(),
      inFlight: 0,
      lastMessageId: 0,
      publishTimesMs: [],
      ackBatch: undefined,
      ackTimers: new Set(),
    };
    const isPresent = hub.enter(session, packet.clean === false);
    if (fires(faults, "publishBeforeConnack", about)) {
      link.send({
        cmd: "publish",
        topic: "too/early",
        payload: "before CONNACK",
        qos: 0,
        dup: false,
        retain: false,
      });
    }
    const keepAliveS = effectiveKeepAliveS(seen.keepAliveS, limits);
    const connack = connackOf(
      limits,
      keepAliveS === seen.keepAliveS ? undefined : keepAliveS,
      packet.clientId === "" ? clientId : undefined,
      isPresent,
    );
    link.send(connack);
    if (fires(faults, "secondConnack", about)) link.send(connack);
    // Packet ids of a client start low: the highest one is a stranger to it.
    if (fires(faults, "strayPuback", about)) {
      link.send({ cmd: "puback", messageId: 0xffff, reasonCode: 0 });
    }
    if (fires(faults, "closeAfterConnack", about)) {
      closeTimer = setTimeout(() => end("fault: closeAfterConnack"), faults.closeAfterConnackMs);
    }
    watchKeepAlive(keepAliveS);
  }

  function handle(packet: Packet) {
    if (link.closing) return;
    if (packet.cmd === "connect") return connect(packet);
    if (session === undefined) {
      // After a CONNECT left unanswered nothing counts; without any CONNECT it is no MQTT client.
      return record === undefined ? end(`${packet.cmd} before CONNECT`) : undefined;
    }
    const current = session;
    switch (packet.cmd) {
      case "publish":
        return takePublish(current, packet, hub);
      case "puback":
        observer.counts.pubacks++;
        return;
      case "subscribe":
        return takeSubscribe(current, packet, hub);
      case "unsubscribe": {
        for (const filter of packet.unsubscriptions) {
          current.filters.delete(filter);
        }
        const granted = packet.unsubscriptions.map(() => 0);
        return link.send({ cmd: "unsuback", messageId: packet.messageId ?? 0, granted });
      }
      case "pingreq":
        observer.counts.pings++;
        if (!fires(faults, "noPingresp", () => current.record)) {
          link.send({ cmd: "pingresp" });
        }
        return;
      case "disconnect":
        recordEnd("client", `DISCONNECT ${packet.reasonCode ?? 0}`);
        // 0x04: disconnect with will message.
        if (packet.reasonCode !== 0x04) current.will = undefined;
        return link.hangUp();
      default:
        return end(`unexpected ${packet.cmd}`, 0x82);
    }
  }

  parser.on("packet", handle);
  parser.on(
    "error",
    (error: Error) => end(`malformed packet: ${error.message}`, 0x81),
  );
  socket.on("data", (chunk: Buffer) => {
    if (link.closing) return;
    lastPacketMs = observer.now();
    const unparsed = parser.parse(chunk);
    // The head says how long a packet will be; waiting for the whole of a huge one costs memory.
    if (unparsed > limits.maximumPacketSize) end("packet too large", 0x95);
    observer.changed();
  });
  socket.on("close", () => {
    clearTimeout(keepAliveTimer);
    clearTimeout(closeTimer);
    hub.links.delete(link);
    if (session !== undefined) {
      for (const timer of session.ackTimers) clearTimeout(timer);
      hub.leave(session);
    }
    recordEnd("network", "connection lost");
    observer.changed();
  });
}
