/** How long the packets in a stream of MQTT claim to be, before anything is gathered of them. Pure. */

/**
 * Follows the packets in a stream of bytes by their heads. The function returned takes what came and returns the
 * length of the longest packet that began in it, as told in its head (MQTT 5 section 2.1.4).
 */
export function createLengthWatch(): (bytes: Uint8Array) => number {
  /** Bytes until the next head. */
  let skip = 0;
  /** Place in the head: 0 is its type, the others are digits of the length, to base 128. */
  let place = 0;
  let length = 0;
  return (bytes) => {
    let longest = 0;
    for (let at = 0; at < bytes.length;) {
      if (skip > 0) {
        const step = Math.min(skip, bytes.length - at);
        skip -= step;
        at += step;
        continue;
      }
      const byte = bytes[at++]!;
      if (place++ === 0) {
        length = 0;
        continue;
      }
      length += (byte & 0x7f) * 128 ** (place - 2);
      // A fifth digit is against the rules; MQTT.js says so.
      if (byte >= 0x80 && place < 5) continue;
      longest = Math.max(longest, length);
      skip = length;
      place = 0;
    }
    return longest;
  };
}
