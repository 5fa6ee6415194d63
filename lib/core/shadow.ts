/** Topics of AWS that mean more than a name: device shadows and Basic Ingest. Pure. */

import type { Format } from "./message.ts";

/** Largest document of a shadow in bytes, and its deepest level (quotas page "iot-core", device shadow). */
export const SHADOW_LIMITS = { bytes: 8192, levels: 8 } as const;

/** Whether a topic updates a device shadow. */
export function isShadowTopic(topic: string): boolean {
  return /^\$aws\/things\/[^/]+\/shadow\/(name\/[^/]+\/)?update$/.test(topic);
}

/** Whether a topic is one of Basic Ingest: what is published there runs a rule. */
export function isRuleTopic(topic: string): boolean {
  return topic.startsWith("$aws/rules/");
}

/** What is wrong with a format on a topic, as a sentence, and what to do; undefined: nothing. */
export function formatDoubt(
  { topic, format, message }: {
    readonly topic: string;
    readonly format: Format;
    readonly message?: string | undefined;
  },
): { readonly cause: string; readonly hint: string } | undefined {
  if (!isShadowTopic(topic)) return undefined;
  if (message !== undefined) {
    return shadowDoubt(message) === undefined ? undefined : {
      cause: `topic ${topic} is a device shadow's, and this message is none: ${
        shadowDoubt(message)
      }`,
      hint: 'send {"state":{"reported":{…}}}; AWS answers on …/rejected, not here',
    };
  }
  if (format === "shadow") return undefined;
  return {
    cause: `topic ${topic} is a device shadow's, and format ${format} is no shadow document: AWS ` +
      "acknowledges each message and drops it",
    hint: "pass --format shadow; AWS says what it refuses on …/rejected (watch it in the console)",
  };
}

/** Why AWS refuses a document for a shadow, as the end of a sentence; undefined: it takes it. */
export function shadowDoubt(payload: string): string | undefined {
  const bytes = new TextEncoder().encode(payload).length;
  if (bytes > SHADOW_LIMITS.bytes) {
    return `it has ${bytes} bytes, and a shadow's document at most ${SHADOW_LIMITS.bytes}`;
  }
  let document: unknown;
  try {
    document = JSON.parse(payload);
  } catch {
    return "it is not JSON";
  }
  const state = (document as { state?: unknown } | null)?.state;
  if (typeof state !== "object" || state === null) return 'it has no object "state"';
  const levels = depthOf(state);
  return levels > SHADOW_LIMITS.levels
    ? `it has ${levels} levels, and a shadow's document at most ${SHADOW_LIMITS.levels}`
    : undefined;
}

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}
