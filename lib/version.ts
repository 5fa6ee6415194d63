/** What this program is. */

import config from "../deno.json" with { type: "json" };
import { BUILD } from "./build.ts";

/** Version of this program: deno.json's. */
export const VERSION: string = config.version;

/** No clock is right that says a time before this: when it was built, or the day of this version. */
export const BUILT_AT: Date = new Date(BUILD?.date ?? "2026-11-23T00:00:00Z");
