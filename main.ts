/** Hands arguments and the real world to the program, and its exit code back. */

import { app } from "./lib/app.ts";
import { realWorld } from "./lib/world.ts";

if (import.meta.main) {
  const world = realWorld();
  const code = await app(Deno.args, world);
  await world.flush();
  // exit, not exitCode: an attempt to connect that was given up cannot be stopped, and would keep the process.
  Deno.exit(code);
}
