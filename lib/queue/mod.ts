/** Opens the queue of the state directory: held by us, mended if it is damaged, backed by memory if its disk fails. */

import { place } from "../core/endpoint.ts";
import { failureFields, type UserError } from "../core/errors.ts";
import { createRepeats, type Logger } from "../core/log.ts";
import { openQueue } from "./sqlite_queue.ts";
import { DamagedQueueError } from "./errors.ts";
import type { DiskQueue, Queue, QueueOptions } from "./types.ts";
import { MOST_DRAFTS } from "./drafts.ts";
import { MemoryQueue } from "./memory_queue.ts";
import { salvage } from "./salvage.ts";
import { damagedPathOf, holdStateDirectory, type StateDirectory } from "./state_directory.ts";
import type { Settings } from "../settings/mod.ts";
import { createSpill } from "./memory_fallback.ts";
import { volatileWarning } from "./volatile.ts";
import { quote } from "../core/text.ts";
import type { World } from "../core/process.ts";
export { MOST_DRAFTS } from "./drafts.ts";
export { currentRun } from "./last_run.ts";
export { MemoryQueue } from "./memory_queue.ts";
export { DamagedQueueError } from "./errors.ts";
export { openQueue } from "./sqlite_queue.ts";
export { deliveredThrough, holdStateDirectory } from "./state_directory.ts";
export { checkState, queuePathOf } from "./state_guard.ts";
export {
  type Draft,
  EMPTY_STATS,
  type Leaving,
  type PutResult,
  type Queue,
  type QueueStats,
  type TakenMessage,
} from "./types.ts";
export { volatileWarning } from "./volatile.ts";

/** A queue and what it holds open. */
export interface StateQueue {
  readonly queue: Queue;
  readonly close: () => void;
}

/** Messages kept in memory while the disk fails: what one drops then is dropped by the same policy. */
const SPILL_MESSAGES = 10_000;
/** Bytes kept in memory while the disk fails. */
const SPILL_BYTES = 8 * 1024 ** 2;

/** The limits of the queue that settings ask for. */
export function queueOptions(
  settings: Settings,
  world: Pick<World, "now">,
  onAged: (messages: number) => void = () => {},
): QueueOptions {
  return {
    onAged,
    maxMessages: settings.queueMaxMessages,
    maxBytes: settings.queueMaxBytes,
    maxAgeMs: settings.queueMaxAge,
    full: settings.queueFull,
    durability: settings.durability,
    now: () => world.now().getTime(),
  };
}

/**
 * Opens the queue that settings name; with durability `none` one in memory.
 *
 * @throws {UserError} With exit code 73.
 */
export function openStateQueue(
  settings: Settings,
  log: Logger,
  world: World,
  onAged: (messages: number) => void = () => {},
): StateQueue {
  const options: QueueOptions = {
    ...queueOptions(settings, world, onAged),
    onDamaged: (messages) =>
      log.error("quarantined", {
        messages,
        step: "queue",
        cause: "damaged on disk: their checksum does not agree",
        hint: "if it happens again, replace the disk or card",
      }),
  };
  if (settings.durability === "none") {
    const queue = new MemoryQueue(options);
    return { queue, close: () => queue.close() };
  }
  const directory = holdStateDirectory(settings.state);
  void volatileWarning(settings).then((warning) => {
    if (warning) log.warn("warning", failureFields(warning));
  });
  try {
    const disk = openOrMend(directory, options, { log, now: world.now });
    tellOfOthers(disk, directory, { settings, log });
    const queue = marked(
      directory,
      createSpill({
        disk,
        openMemory: () =>
          new MemoryQueue({
            ...options,
            maxMessages: Math.min(options.maxMessages, SPILL_MESSAGES),
            maxBytes: Math.min(options.maxBytes, SPILL_BYTES),
          }),
        ...failureReports(log, world),
      }),
    );
    return {
      queue,
      close() {
        queue.close();
        directory.release();
      },
    };
  } catch (error) {
    directory.release();
    throw error;
  }
}

/** Says what waits that another run queued for another topic or endpoint, and notes this run. */
function tellOfOthers(
  queue: DiskQueue,
  directory: StateDirectory,
  { settings, log }: { settings: Settings; log: Logger },
): void {
  const hint = "for another endpoint, topic or device pass a --state DIR of its own; " +
    "`mqtt443 queue` shows what waits";
  const tell = (cause: string) => log.warn("warning", { step: "queue", cause, hint });
  const { topic, clientId } = settings;
  const run = { clientId, endpoint: place(settings) };
  try {
    const others = queue.forOthers(topic);
    if (others.length > 0) {
      const messages = others.reduce((sum, each) => sum + each.messages, 0);
      const topics = others.length === 1
        ? `topic ${quote(others[0]!.topic)}`
        : `${others.length} topics (${quote(others[0]!.topic)}, …)`;
      const since = new Date(Math.min(...others.map(({ sinceMs }) => sinceMs))).toISOString();
      tell(
        `${counted(messages)} for ${topics} since ${since}; this run sends them there, and its ` +
          `own to ${quote(topic)}`,
      );
    }
    const last = directory.lastRun;
    const { waiting, oldestMs = 0 } = queue.stats();
    if (last && waiting > 0 && (last.endpoint !== run.endpoint || last.clientId !== clientId)) {
      tell(
        `${counted(waiting)} since ${new Date(oldestMs).toISOString()}; the run before was ` +
          `${quote(last.clientId)} at ${last.endpoint}; this run, ${quote(clientId)} at ` +
          `${run.endpoint}, sends them`,
      );
    }
    directory.noteRun(run);
  } catch { /* the disk fails, which the queue tells */ }
}

function counted(messages: number): string {
  return messages === 1 ? "1 message waits" : `${messages} messages wait`;
}

/** The mark is written so far ahead: the gap that damage to all counters leaves at most. */
const MARK_STEP = 2 * MOST_DRAFTS;
/** It is written again when `seq` is so near: what one put gives at most, so that none comes past it. */
const MARK_NEAR = MOST_DRAFTS;

/** The same queue, which notes beside the file how far `seq` has come. */
function marked(directory: StateDirectory, queue: Queue): Queue {
  let mark = directory.seqMark;
  return {
    ...queue,
    put(drafts, afterSeq, isHandedIn) {
      const result = queue.put(drafts, afterSeq, isHandedIn);
      if (result.lastSeq > mark - MARK_NEAR) {
        try {
          directory.markSeq(result.lastSeq + MARK_STEP);
          mark = result.lastSeq + MARK_STEP;
        } catch { /* the disk fails, which the queue tells */ }
      }
      return result;
    },
  };
}

function failureReports(log: Logger, world: Pick<World, "monotonicMs">) {
  const repeats = createRepeats(world.monotonicMs);
  return {
    onFailure(error: UserError) {
      if (!repeats.due("queue")) return;
      const { cause, ...rest } = failureFields(error);
      log.warn("warning", {
        ...rest,
        cause: `${cause}; messages wait in memory until it is mended`,
      });
    },
    onHealed(messages: number) {
      repeats.reset();
      log.info("queued", { messages, cause: "the queue's disk takes messages again" });
    },
  };
}

function openOrMend(
  directory: StateDirectory,
  options: QueueOptions,
  { log, now }: { log: Logger; now: () => Date },
): DiskQueue {
  const open = () => openQueue(directory.queuePath, { ...options, delivered: directory.delivered });
  let queue: DiskQueue;
  try {
    queue = open();
  } catch (error) {
    if (!(error instanceof DamagedQueueError)) throw error;
    mend(directory, error, { log, stamp: now().toISOString().replaceAll(":", "") });
    queue = open();
  }
  const { lastSeq } = queue.stats();
  const { seqMark, delivered } = directory;
  // The file is not the one that was here, or not all of it: emptied, removed, or put back from some time ago.
  if (lastSeq < Math.max(seqMark - MARK_STEP, delivered.through)) {
    queue.put([], Math.max(seqMark, delivered.through));
    log.error("warning", {
      step: "queue",
      cause: `the queue file ends at seq ${lastSeq}, but more were given; what it lacks is lost`,
      hint: `find out who emptied or replaced ${directory.queuePath}` +
        (options.durability === "crash" ? ", or whether the power was cut" : ""),
    });
  }
  return queue;
}

/** Saves what can be read of a damaged queue file, and starts anew with it. */
function mend(
  directory: StateDirectory,
  error: DamagedQueueError,
  { log, stamp }: { log: Logger; stamp: string },
): void {
  const { queuePath, seqMark, delivered } = directory;
  const { saved, quarantined, lost } = salvage(queuePath, directory.makeMending(), {
    seqMark,
    deliveredThrough: delivered.through,
  });
  // Said first: should this start not live to the end, the next one finds the mended file and goes on in silence.
  log.error("warning", {
    ...failureFields(error),
    saved,
    lost: lost ?? "unknown",
    ...(quarantined > 0 && { quarantined }),
    hint: `it is moved to ${damagedPathOf(queuePath, stamp)}, and what could be read of it goes on`,
  });
  directory.takeMended(stamp);
}
