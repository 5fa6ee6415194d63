/** Hands arguments and the real world to the program, and its exit code back. */

import { warmUp } from "./lib/core/entropy.ts";
import { refuseDebugger } from "./lib/core/no_debugger.ts";

if (import.meta.main) await main();

// A function, as what runs at the top level is on the stack of each error, and for the first of them V8 would parse
// the whole module a second time.
async function main(): Promise<never> {
  refuseDebugger();
  // Before all else: what it begins runs beside the loading.
  warmUp(Deno.args);
  const { app } = await import("./lib/app.ts");
  const { readsJournal, realWorld } = await import("./lib/core/process.ts");
  const world = realWorld(await readsJournal());
  const code = await app(Deno.args, world);
  await world.flush();
  // exit, not exitCode: an attempt to connect that was given up cannot be stopped, and would keep the process.
  Deno.exit(code);
}
