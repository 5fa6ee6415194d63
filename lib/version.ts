/** What this program is. */

import config from "../deno.json" with { type: "json" };

/** Version of this program: deno.json's. */
export const VERSION: string = config.version;

/** No clock is right that says a time before this: the day of this version. */
export const BUILT_AT: Date = new Date("2026-11-23T00:00:00Z");
