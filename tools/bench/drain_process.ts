/**
 * The publisher on a queue that is full already, and nothing new: what `publish` does after an outage. A process of its
 * own, because only so can the queue be in memory and full.
 *
 * `drain_process.ts QUEUE MESSAGES [SETTINGS]`; prints its peak of memory, what of it is pages of files, and the CPU it
 * used for draining as JSON.
 */

import { parseCommand } from "../../lib/cli.ts";
import { createConnector } from "../../lib/commands/connector.ts";
import { openLogOf } from "../../lib/commands/common.ts";
import { targetOf } from "../../lib/connection.ts";
import { loadSettings } from "../../lib/load.ts";
import { runPublisher } from "../../lib/publisher.ts";
import { openQueue } from "../../lib/queue.ts";
import { createReports } from "../../lib/reports.ts";
import { realWorld } from "../../lib/world.ts";
import { cpuMsOf, fileOf, peakOf } from "./process.ts";
import { DRAFT, roomy } from "./queue.ts";

const [path, messages, ...args] = Deno.args as [string, string, ...string[]];
const world = realWorld();
const command = parseCommand(["publish", ...args]);
const { settings } = loadSettings(command, world, { needEndpoint: true });
const log = openLogOf(settings, world);
const connector = createConnector(settings, world, log);
const inMemory = path === ":memory:";
const queue = openQueue(path, roomy(inMemory ? "none" : "power"));
if (inMemory) queue.put(Array(Number(messages)).fill(DRAFT));
const cpuMs = await cpuMsOf("self");
const code = await runPublisher({
  ...world,
  settings,
  target: targetOf(settings, connector.identity()),
  isAws: false,
  queue,
  log,
  reports: createReports(log, world.monotonicMs),
  connect: connector.connect,
  gather: () => Promise.resolve(),
  stop: new AbortController().signal,
  leave: new AbortController().signal,
});
console.log(JSON.stringify({
  peak: await peakOf("self"),
  file: await fileOf("self"),
  cpuMs: await cpuMsOf("self") - cpuMs,
}));
queue.close();
Deno.exit(code);
