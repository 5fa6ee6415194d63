/**
 * mqtt-packet, which MQTT.js reads packets with, made to pass on every reason code.
 *
 * It ends the session at a code that is not in its tables, as at mosquitto's PUBACK 0x95, and then nobody knows which
 * message was refused, nor why. The tables are only looked into for whether a code is there.
 */

import tables from "mqtt-packet/constants.js";

/** Lets the codes in that tell of a failure, 0x80 and above. */
export function passEveryReason(): void {
  const {
    MQTT5_PUBACK_PUBREC_CODES: puback,
    MQTT5_SUBACK_CODES: suback,
    MQTT5_DISCONNECT_CODES: disconnect,
  } = tables as unknown as Record<string, Record<number, string>>;
  for (let code = 0x80; code <= 0xff; code++) {
    for (const table of [puback!, suback!, disconnect!]) table[code] ??= "other";
  }
}
