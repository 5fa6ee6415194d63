/** How long a PUBLISH is. Pure. */

import { utf8Bytes } from "../core/message.ts";
import type { OutgoingMessage } from "./types.ts";

/** Bytes of a PUBLISH (MQTT 5 section 3.3): head, length, topic, packet id, no properties, payload. */
export function publishBytes(
  { topic, payload, qos }: OutgoingMessage,
  version: "5" | "3.1.1",
): number {
  const rest = 2 + utf8Bytes(topic) + (qos > 0 ? 2 : 0) + (version === "5" ? 1 : 0) +
    utf8Bytes(payload);
  const digits = rest < 128 ? 1 : rest < 16_384 ? 2 : rest < 2_097_152 ? 3 : 4;
  return 1 + digits + rest;
}
