/** A number by which a message on disk shows that it is what was put there: SQLite keeps none of its own. */

import { crc32 } from "node:zlib";
import type { QueuedMessage } from "./types.ts";

/**
 * CRC-32 over what a message consists of: no change of one thing in it escapes. It is no protection against somebody who
 * means it.
 *
 * @example
 * ```ts
 * import { assertNotEquals } from "@std/assert";
 * import { checksumOf } from "./checksum.ts";
 *
 * const message = { seq: 1, topic: "t", qos: 1, timeMs: 0, payload: "21.5" } as const;
 * assertNotEquals(checksumOf(message), checksumOf({ ...message, payload: "21.7" }));
 * ```
 */
export function checksumOf({ seq, topic, qos, timeMs, payload }: QueuedMessage): number {
  // A time has more than 32 bits.
  const numbers = seq + qos + timeMs + Math.floor(timeMs / 2 ** 32);
  return crc32(payload, crc32(topic, numbers >>> 0));
}
