/** `queue`: what waits on disk; `queue clear` discards it. */

import { grantHint } from "../core/build.ts";
import type { Command } from "./arguments.ts";
import { EXIT, type ExitCode, messageOf, UserError } from "../core/errors.ts";
import { loadSettings, type Settings } from "../settings/mod.ts";
import {
  checkState,
  currentStatus,
  EMPTY_STATS,
  type IntakeCounts,
  NoStorageError,
  queueOptions,
  queuePathOf,
  type QueueStats,
  SqliteQueue,
  StateDirectory,
} from "../queue/mod.ts";
import { quote, roundSize } from "../core/text.ts";
import type { World } from "../core/process.ts";

/** Shows or clears the queue of the state directory. */
export function queueCommand(command: Command, world: World): ExitCode {
  const { settings } = loadSettings(command, world, { needEndpoint: false });
  const [verb] = command.operands;
  if (verb !== undefined && verb !== "clear") {
    throw new UserError(`Cannot run queue ${quote(verb)}: its only operand is clear`, {
      code: "wrong-command-line",
      hint: "type `mqtt443 queue` or `mqtt443 queue clear`",
      exitCode: EXIT.usage,
    });
  }
  const stats = statsOf(settings, world);
  if (verb === "clear") return clear(stats, settings, command, world);
  world.out(command.switches.has("json") ? jsonOf(stats) : textOf(stats, settings.state));
  return EXIT.ok;
}

/** What is told of a queue, and of the lines that its last publisher took and refused at its socket. */
type Stats = QueueStats & { readonly [K in keyof IntakeCounts]?: number | undefined };

/**
 * An empty file is a queue whose first message is still to come.
 *
 * @throws {UserError} With exit code 73, also where no queue is: an empty one would be another answer.
 */
function statsOf(settings: Settings, world: World): Stats {
  const path = queuePathOf(settings.state);
  try {
    if (Deno.statSync(path).size === 0) return EMPTY_STATS;
  } catch (error) {
    const isDenied = error instanceof Deno.errors.NotCapable;
    const isNone = isDenied && settings.durability === "none";
    if (isNone || error instanceof Deno.errors.NotFound) throw noQueue(settings, path);
    const why = isDenied ? "this process was not granted to read there" : messageOf(error);
    throw new UserError(`Cannot read queue ${quote(path)}: ${why}`, {
      code: "state-unusable",
      hint: isDenied ? grantHint() : "run it as the user that publishes, or pass --state DIR",
      exitCode: EXIT.cannotCreate,
      step: "queue",
      cause: error,
    });
  }
  checkState(settings.state);
  // A running publisher has the file for itself, and tells how it stands beside it; so does the last one where the disk
  // cannot be written to.
  const running = currentStatus(settings.state);
  if (running !== undefined) return running;
  const { handedIn, refused } = currentStatus(settings.state, { isRunning: false }) ?? {};
  try {
    const queue = new SqliteQueue(path, queueOptions(settings, world));
    const stats = queue.stats();
    queue.close();
    return { ...stats, handedIn, refused };
  } catch (error) {
    const last = error instanceof NoStorageError
      ? currentStatus(settings.state, { isRunning: false })
      : undefined;
    if (last === undefined) throw error;
    return last;
  }
}

function noQueue({ durability }: Settings, path: string): UserError {
  const isNone = durability === "none";
  const message = isNone
    ? "No queue here: with durability none nothing is kept on disk"
    : `No queue here: there is no ${quote(path)}`;
  const hint = isNone
    ? "pass --durability power to see what an earlier run left"
    : "pass the directory that the publisher uses with --state DIR; `mqtt443 settings` shows the " +
      "one looked at; `mqtt443 publish` makes it";
  return new UserError(message, {
    code: "state-unusable",
    hint,
    exitCode: EXIT.cannotCreate,
    step: "queue",
  });
}

function clear(stats: Stats, settings: Settings, command: Command, world: World): ExitCode {
  const number = stats.waiting + stats.quarantined;
  if (!command.switches.has("yes")) {
    const question = `Discard ${number} messages in ${settings.state} for good?`;
    if (world.confirm === undefined) {
      throw new UserError(`Cannot discard ${number} messages without confirmation`, {
        code: "not-confirmed",
        hint: "run it on a terminal, or type the same again with --yes",
        exitCode: EXIT.usage,
      });
    }
    if (!world.confirm(question)) return EXIT.ok;
  }
  const directory = new StateDirectory(settings.state);
  try {
    directory.prepare();
    const queue = new SqliteQueue(directory.queuePath, queueOptions(settings, world));
    const discarded = queue.clear();
    queue.shrink();
    const { lastSeq: seqOnDisk } = queue;
    directory.writeStatus({ ...directory.status, ...queue.stats(), seqOnDisk, inMemory: 0 });
    queue.close();
    const json = `${JSON.stringify({ discarded })}\n`;
    world.out(command.switches.has("json") ? json : `discarded: ${discarded}\n`);
    return EXIT.ok;
  } finally {
    directory.release();
  }
}

function jsonOf(stats: Stats): string {
  const { waiting, bytes, oldestMs, quarantined, dropped, handedIn = 0, refused = 0 } = stats;
  const oldest = oldestMs === undefined ? null : new Date(oldestMs).toISOString();
  return `${JSON.stringify({ waiting, bytes, oldest, quarantined, dropped, handedIn, refused })}\n`;
}

function textOf(stats: Stats, state: string): string {
  const oldest = stats.oldestMs === undefined ? "-" : new Date(stats.oldestMs).toISOString();
  return [
    `queue        ${queuePathOf(state)}`,
    `waiting      ${stats.waiting} messages, ${roundSize(stats.bytes)}`,
    `oldest       ${oldest}`,
    `quarantined  ${stats.quarantined}`,
    `dropped      ${stats.dropped}`,
    "",
  ].join("\n");
}
