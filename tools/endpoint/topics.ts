/** Topic names and filters: what matches, what AWS takes. Pure. */

import { Buffer } from "node:buffer";
import type { Limits, Rule } from "./options.ts";

/** Whether an MQTT topic filter with + and # matches a topic. */
export function matches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  // Wildcards at the front do not see $ topics (MQTT 4.7.2).
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [i, part] of wanted.entries()) {
    if (part === "#") return true;
    if (i >= levels.length || part !== "+" && part !== levels[i]) return false;
  }
  return wanted.length === levels.length;
}

/** Whether AWS takes a PUBLISH to this topic. */
export function isTopic(topic: string, limits: Limits): boolean {
  return topic !== "" && !/[+#\0]/.test(topic) && withinLimits(topic, limits);
}

/** Whether AWS takes a SUBSCRIBE to this filter; Basic Ingest topics cannot be subscribed to. */
export function isFilter(filter: string, limits: Limits): boolean {
  return /^(?:\+|[^+#\0/]*)(?:\/(?:\+|[^+#\0/]*))*(?:\/#)?$|^#$/.test(filter) &&
    filter !== "" &&
    !filter.startsWith("$aws/rules/") && withinLimits(filter, limits);
}

/** Whether a rule of the policy lets a client use a name. */
export function isAllowed(rule: Rule | undefined, clientId: string, name: string): boolean {
  if (rule === undefined) return true;
  if (typeof rule === "function") return rule(clientId, name);
  return rule.some((filter) => matches(filter, name));
}

function withinLimits(topic: string, limits: Limits): boolean {
  if (Buffer.byteLength(topic) > limits.topicBytes) return false;
  const counted = topic.replace(/^\$aws\/rules\/[^/]+\//, "");
  return counted.split("/").length - 1 <= limits.topicSlashes;
}
