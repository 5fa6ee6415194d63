/**
 * What the sessions of an endpoint share: who is connected under which client id, who wants which
 * topic, and what is retained.
 */

import { Buffer } from "node:buffer";
import type { Faults } from "./faults.ts";
import type { Link } from "./link.ts";
import type { ConnectRecord, Observer } from "./observe.ts";
import type { EndpointOptions, Limits, Policy } from "./options.ts";
import { matches } from "./topics.ts";
import { type Will, Wills } from "./wills.ts";

/** A connection whose CONNECT was accepted. */
export interface Session {
  readonly clientId: string;
  readonly connection: number;
  readonly record: ConnectRecord;
  readonly link: Link;
  /** What is sent if it ends without DISCONNECT. */
  will: Will | undefined;
  /** Subscriptions: filter and QoS. */
  readonly filters: Map<string, number>;
  /** Topics by the aliases that the client gave them. */
  readonly aliases: Map<number, string>;
  /** QoS 1 messages from the client that have no PUBACK yet. */
  inFlight: number;
  /** Packet id of the last QoS 1 message to the client. */
  lastMessageId: number;
  /** When the last messages were taken, for the throttle. */
  publishTimesMs: number[];
  /** PUBACKs of this turn that will be delayed. */
  ackBatch: number[] | undefined;
  /** PUBACKs that wait for their time. */
  readonly ackTimers: Set<ReturnType<typeof setTimeout>>;
  /** Hang up for a reason; on MQTT 5, DISCONNECT with the code goes first. */
  end(reason: string, code?: number): void;
}

/** A message on its way to subscribers. */
export interface Delivery {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
}

/** The shared state. */
export interface Hub {
  readonly options: EndpointOptions;
  readonly faults: Faults;
  readonly limits: Limits;
  readonly policy: Policy;
  readonly observer: Observer;
  /** Every connection past TLS, with or without a CONNECT. */
  readonly links: Set<Link>;
  /** Every session, by client id. */
  readonly sessions: ReadonlyMap<string, Session>;
  /**
   * Add a session; an older one with the same client id is taken over.
   *
   * @param resumes Whether the client asks for the session that it had. Returns whether there is one.
   */
  enter(session: Session, resumes: boolean): boolean;
  /** Forget a session. */
  leave(session: Session): void;
  /** Hand a message to everybody who subscribed to it. */
  deliver(message: Delivery): void;
  /** Keep a message for future subscribers; an empty one clears. */
  retain(message: Delivery): void;
  /** Send a new subscriber what is retained. */
  deliverRetained(session: Session, filter: string, qos: number): void;
  /** Forget the wills that wait. */
  close(): void;
}

/** A hub with nobody connected. */
export function makeHub(shared: Pick<Hub, "options" | "faults" | "limits" | "observer">): Hub {
  const sessions = new Map<string, Session>();
  const retained = new Map<string, Delivery>();

  function send(session: Session, message: Delivery, granted: number, retain: boolean) {
    const qos = Math.min(message.qos, granted) as 0 | 1;
    if (qos === 1) session.lastMessageId = session.lastMessageId % 0xffff + 1;
    session.link.send({
      cmd: "publish",
      topic: message.topic,
      payload: Buffer.from(message.payload),
      qos,
      dup: false,
      retain,
      ...(qos === 1 ? { messageId: session.lastMessageId } : {}),
    });
  }

  const wills = new Wills((will) => {
    if (will.retain) hub.retain(will);
    hub.deliver(will);
  });
  const hub: Hub = {
    ...shared,
    policy: shared.options.policy ?? {},
    links: new Set(),
    sessions,
    enter(session, resumes) {
      const { clientId } = session;
      const old = sessions.get(clientId);
      if (old?.will) wills.lost(clientId, old.will);
      if (old) old.will = undefined;
      old?.end("session taken over", 0x8e);
      sessions.set(clientId, session);
      return wills.back(clientId, resumes);
    },
    leave(session) {
      if (sessions.get(session.clientId) === session) sessions.delete(session.clientId);
      if (session.will) wills.lost(session.clientId, session.will);
    },
    deliver(message) {
      for (const session of sessions.values()) {
        let granted = -1;
        for (const [filter, qos] of session.filters) {
          if (qos > granted && matches(filter, message.topic)) granted = qos;
        }
        if (granted >= 0) send(session, message, granted, false);
      }
    },
    retain(message) {
      if (message.payload.length === 0) retained.delete(message.topic);
      else retained.set(message.topic, message);
    },
    deliverRetained(session, filter, qos) {
      for (const message of retained.values()) {
        if (matches(filter, message.topic)) send(session, message, qos, true);
      }
    },
    close: () => wills.close(),
  };
  return hub;
}
