/** `watch`: prints the messages that arrive on a topic, until stopped. */

import type { Command } from "../cli.ts";
import { type Connection, targetOf } from "../connection.ts";
import { EXIT, type ExitCode, UserError } from "../errors.ts";
import { sleep } from "../gather.ts";
import { loadSettings } from "../load.ts";
import { filterProblem } from "../message.ts";
import { createOutage } from "../outage.ts";
import { quote } from "../words.ts";
import type { World } from "../world.ts";
import { checkEnvironment, checkGrants, openLogOf } from "./common.ts";
import { createConnector } from "./connector.ts";

/** Prints `TIME TOPIC PAYLOAD`, a line a message, and reconnects when the link is lost. */
export async function watchCommand(command: Command, world: World): Promise<ExitCode> {
  const { settings } = loadSettings(command, world, { needEndpoint: true });
  const filter = command.operands[0]!;
  const problem = filterProblem(filter);
  if (problem !== undefined) {
    throw new UserError(`Cannot watch ${quote(filter)}: a topic filter ${problem}`, {
      hint: "type `mqtt443 watch 'a/+/b'` or `mqtt443 watch 'a/#'`",
      exitCode: EXIT.config,
      step: "settings",
    });
  }
  const log = openLogOf(settings, world);
  checkEnvironment(world.env, log);
  checkGrants(settings);
  const connector = createConnector(settings, world, log);
  const target = targetOf(settings, connector.identity());
  const outage = createOutage({ ...world, settings, target, log });
  const over = new AbortController();
  const done = world.onSignals(["SIGTERM", "SIGINT"], () => over.abort());
  let left = settings.count ?? Infinity;
  let broken: unknown;
  const print = (topic: string, payload: Uint8Array) => {
    if (left <= 0) return;
    left--;
    try {
      // Control characters in a payload could move the cursor or hide text on a terminal.
      world.out(
        `${world.now().toISOString()} ${topic} ${printable(new TextDecoder().decode(payload))}\n`,
      );
    } catch (error) {
      broken = error;
      over.abort();
    }
    if (left <= 0) over.abort();
  };
  try {
    while (!over.signal.aborted) {
      outage.connecting();
      try {
        const connection = await connector.connect(over.signal);
        outage.connected(connection);
        const startMs = world.monotonicMs();
        const reason = await watchSession(connection, { filter, print, signal: over.signal });
        if (reason === undefined) break;
        const ms = world.monotonicMs() - startMs;
        await sleep(outage.ended(reason, { ms, delivered: 1, inFlight: 0 }), over.signal);
      } catch (error) {
        if (over.signal.aborted) break;
        if (!(error instanceof UserError) || error.exitCode === EXIT.refused) throw error;
        await sleep(outage.failed(error), over.signal);
      }
    }
    if (broken !== undefined) throw broken;
    return EXIT.ok;
  } finally {
    done();
  }
}

/** Prints until the session ends; returns why, or undefined if we ended it. */
async function watchSession(
  connection: Connection,
  { filter, print, signal }: {
    filter: string;
    print: (topic: string, payload: Uint8Array) => void;
    signal: AbortSignal;
  },
): Promise<UserError | undefined> {
  const onStop = () => void connection.end();
  signal.addEventListener("abort", onStop, { once: true });
  if (signal.aborted) onStop();
  try {
    await connection.subscribe(filter, print);
    return await connection.closed;
  } finally {
    signal.removeEventListener("abort", onStop);
    connection.abort();
  }
}

function printable(text: string): string {
  // deno-lint-ignore no-control-regex -- these are just what must not reach a terminal
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\uFFFD").replaceAll(
    "\n",
    "\\n",
  );
}
