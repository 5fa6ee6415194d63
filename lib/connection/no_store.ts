/**
 * A store for MQTT.js that keeps nothing: the queue has each message until its PUBACK, and sends it again itself.
 *
 * MQTT.js's own keeps what is in flight a second time, in a Map whose constant change leaves it in memory (see
 * delivery.ts).
 */

import store from "mqtt/lib/store";

/** Says of each message that it is kept, and that it was there when it is taken out. */
export class NoStore extends store.default {
  override put(_packet: unknown, done: () => void): this {
    done();
    return this;
  }

  override del(_packet: unknown, done: () => void): this {
    done();
    return this;
  }
}
