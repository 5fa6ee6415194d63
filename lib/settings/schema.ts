/** The JSON Schema of a settings file, made from the table: editors complete and check with it. Pure. */

import { fileValue } from "./merge.ts";
import type { JsonSchema } from "./parsers.ts";
import { SETTINGS } from "./table.ts";

/**
 * The schema, in draft 2020-12. It takes and refuses what {@linkcode mergeSettings} does, but for what JSON Schema
 * cannot say: the names of sources, lengths in bytes of UTF-8, and rules between settings.
 */
export function settingsSchema(): JsonSchema {
  const properties = SETTINGS.map(({ key, sentence, allowed, default: text, ...spec }) => [key, {
    description: `${sentence} (allowed: ${allowed}; default: ${text})`,
    ...spec.schema(),
    ...(spec.compute === undefined && { default: fileValue(spec, spec.parse(text)) }),
  }]);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Settings of mqtt443",
    type: "object",
    properties: {
      $schema: { description: "where this schema is, for editors" },
      ...Object.fromEntries(properties),
    },
    additionalProperties: false,
  };
}
