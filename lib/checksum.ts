/** A number by which a message on disk shows that it is what was put there: SQLite keeps none of its own. Pure. */

import type { QueuedMessage } from "./queue_types.ts";

/**
 * FNV-1a over what a message consists of, 32 bits wide. Each step can be undone, so that no single change escapes it;
 * it is no protection against somebody who means it.
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
  let hash = over(0x811c9dc5, `${seq} ${qos} ${timeMs} ${topic} `);
  hash = over(hash, payload);
  return hash >>> 0;
}

function over(hash: number, text: string): number {
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}
