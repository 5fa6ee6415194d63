/** Runs a command of the program, and then says on stdout the most memory that it took, in KiB, and its exit code. */

import { app } from "../../lib/app.ts";
import { realWorld } from "../../lib/core/process.ts";

const code = await app(Deno.args, realWorld());
const status = Deno.readTextFileSync("/proc/self/status");
console.log(JSON.stringify({ code, peakKiB: Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) }));
