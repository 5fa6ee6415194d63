/** MQTT.js and its codec without the lines that only they themselves read. */

/** A statement of its own in a line: MQTT.js's and mqtt-packet's notes for debugging, with the work of making them. */
const NOTE = /^[ \t]*(?:(?:this|client|that)\.log|debug)\(.*\);?$/gm;

/** MQTT.js's words for reason codes, which go into errors of which lib/connection/reason_codes.ts reads the code alone. */
const WORDS = /^exports\.ReasonCodes = \{[^}]*\};$/m;

/**
 * Where mqtt-packet keeps the bytes of each length that it ever met, 16,384 of them: each is cut from a slab of 8 KiB,
 * which it keeps from being freed.
 */
const KEPT_LENGTHS = /^[ \t]*if \(num < 16384\) varByteIntCache\[num\] = buffer$/m;

/** The text of one of their modules, as the bundle has it. */
export function slim(text: string): string {
  return text.replace(NOTE, ";").replace(WORDS, "exports.ReasonCodes = {};")
    .replace(KEPT_LENGTHS, "");
}
