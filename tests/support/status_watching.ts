/** A second client of the endpoint, which sees what a device's status topic says. */

import type { Endpoint } from "../../tools/endpoint/mod.ts";
import { dialMqtt } from "./raw_client.ts";

/** The status topic of the tests, with its client id. */
export const STATUS_TOPIC = "dt/gw-7/status";

/** A status as it is published. */
export interface OnlineMessage {
  readonly device: string;
  readonly online: boolean;
  readonly reason?: string;
  readonly time?: string;
  readonly version?: string;
}

/** The second client. */
export interface StatusWitness extends Disposable {
  /** The next message on the status topic, and whether it was kept from before. */
  next(): Promise<{ readonly isKept: boolean; readonly said: OnlineMessage }>;
}

/** Subscribes to the status topic. */
export async function witnessStatus(
  endpoint: Endpoint,
  clientId = "witness",
): Promise<StatusWitness> {
  const client = await dialMqtt(endpoint, { clientId });
  await client.next();
  await client.send({
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: STATUS_TOPIC, qos: 1 }],
  });
  await client.next();
  return {
    async next() {
      const packet = await client.next();
      if (typeof packet === "string" || packet.cmd !== "publish") {
        throw new Error(`no message came: ${JSON.stringify(packet)}`);
      }
      await client.send({ cmd: "puback", messageId: packet.messageId ?? 0, reasonCode: 0 });
      return { isKept: packet.retain, said: JSON.parse(`${packet.payload}`) };
    },
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}
