/** Starts the program with this process's arguments and world, and exits with its code. */

import { warmUp } from "./lib/core/entropy.ts";
import { refuseDebugger } from "./lib/core/no_debugger.ts";

if (import.meta.main) await main();

// A function: top-level code is on the stack of every error, and for the first error V8 would parse the whole module
// again.
async function main(): Promise<never> {
  refuseDebugger();
  // First, as it runs beside the loading.
  warmUp(Deno.args);
  const { app } = await import("./lib/app.ts");
  const { readsJournal, realWorld } = await import("./lib/core/process.ts");
  const world = realWorld(await readsJournal());
  const code = await app(Deno.args, world);
  await world.flush();
  // exit, not exitCode: an abandoned connection attempt cannot be stopped, and would keep the process alive.
  Deno.exit(code);
}
