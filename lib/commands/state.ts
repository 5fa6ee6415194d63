/** Opens the queue of the state directory: held by us, mended if it is damaged, backed by memory if its disk fails. */

import { failureFields, type UserError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { DamagedQueueError, openQueue, type Queue, type QueueOptions } from "../queue.ts";
import { salvage } from "../salvage.ts";
import { holdStateDirectory, type StateDirectory } from "../queue_dir.ts";
import { createRepeats } from "../reports.ts";
import type { Settings } from "../settings.ts";
import { createSpill } from "../spill.ts";
import type { World } from "../world.ts";

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
  const options = queueOptions(settings, world, onAged);
  if (settings.durability === "none") {
    const queue = openQueue(":memory:", options);
    return { queue, close: () => queue.close() };
  }
  const directory = holdStateDirectory(settings.state);
  try {
    const disk = openOrMend(directory, options, { log, now: world.now });
    const queue = marked(
      directory,
      createSpill({
        disk,
        memory: openQueue(":memory:", {
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

/** `seq` may grow so much before the mark is written again: the gap that damage to all counters leaves at most. */
const MARK_STEP = 1000;

/** The same queue, which notes beside the file how far `seq` has come. */
function marked(directory: StateDirectory, queue: Queue): Queue {
  let mark = directory.seqMark;
  return {
    ...queue,
    put(drafts, afterSeq) {
      const result = queue.put(drafts, afterSeq);
      if (result.lastSeq > mark) {
        mark = result.lastSeq + MARK_STEP;
        try {
          directory.markSeq(mark);
        } catch { /* the disk fails, which the queue tells; the next mark comes soon */ }
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
): Queue {
  try {
    return openQueue(directory.queuePath, options);
  } catch (error) {
    if (!(error instanceof DamagedQueueError)) throw error;
    const aside = directory.moveAside(now().toISOString().replaceAll(":", ""));
    const { messages, lastSeq } = salvage(aside);
    const queue = openQueue(directory.queuePath, options);
    if (messages.length > 0) queue.restore(messages);
    queue.put([], lastSeq ?? Math.max(directory.seqMark, messages.at(-1)?.seq ?? 0));
    log.error("warning", {
      ...failureFields(error),
      saved: messages.length,
      hint: `it was moved to ${aside}, and what could be read of it goes on in a new queue`,
    });
    return queue;
  }
}
