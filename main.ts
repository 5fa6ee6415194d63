/** Hands arguments and the real world to the program, and its exit code back. */

import { app } from "./lib/app.ts";
import { realWorld } from "./lib/world.ts";

// exit, not exitCode: an attempt to connect that was given up cannot be stopped, and would keep the process.
if (import.meta.main) Deno.exit(await app(Deno.args, realWorld()));
