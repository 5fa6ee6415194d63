/** Opens the queue file of a state directory, mended if it is damaged; says what that cost. */

import { EXIT, failureFields, UserError } from "../errors.ts";
import { holdsMoreThanIsRead } from "../damaged_file.ts";
import type { Logger } from "../log.ts";
import { DamagedQueueError, openQueue, type Queue, type QueueOptions } from "../queue.ts";
import { damagedPathOf, type StateDirectory } from "../queue_dir.ts";
import { salvage } from "../salvage.ts";
import { quote } from "../words.ts";

/** The mark of a state directory is written so far ahead: the gap that damage to all counters leaves at most. */
export const MARK_STEP = 1000;

/** What {@linkcode openOrMend} works with. */
export interface MendOptions {
  readonly options: QueueOptions;
  readonly log: Logger;
  readonly now: () => Date;
}

/**
 * Opens the queue file, mended if it is damaged.
 *
 * @throws {UserError} With exit code 73.
 */
export function openOrMend(
  directory: StateDirectory,
  { options, log, now }: MendOptions,
): Queue {
  const { queuePath, seqMark } = directory;
  let queue: Queue;
  try {
    checkLog(directory);
    queue = openQueue(queuePath, options);
  } catch (error) {
    if (!isDamage(error)) throw error;
    mend(directory, error, { log, stamp: now().toISOString().replaceAll(":", "") });
    queue = openQueue(queuePath, options);
  }
  const { lastSeq } = queue.stats();
  // The file is not the one that was here, or not all of it: emptied, removed, or put back from some time ago.
  if (lastSeq < seqMark - MARK_STEP) {
    queue.put([], seqMark);
    log.error("warning", {
      step: "queue",
      cause: `the queue file ends at seq ${lastSeq}, but more were given; what it lacks is lost`,
      hint: `find out who emptied or replaced ${queuePath}`,
    });
  }
  return queue;
}

/** Whether a file cannot be read as it is; that its disk cannot write either shows when it is mended. */
function isDamage(error: unknown): error is UserError {
  return error instanceof DamagedQueueError ||
    (error instanceof UserError && /disk I\/O error/.test(error.message));
}

/** Sees that SQLite, once it opens the file, takes all that its log holds. */
function checkLog(directory: StateDirectory): void {
  const { queuePath } = directory;
  if (holdsMoreThanIsRead(queuePath, `${directory.mendingPath}-log`)) {
    throw new DamagedQueueError(`Cannot use queue ${quote(queuePath)}: its log is damaged`, {
      hint: "start mqtt443 publish again: it saves what can be read of it",
      exitCode: EXIT.cannotCreate,
      step: "queue",
    });
  }
  directory.discardMending();
}

/** Saves what can be read of a damaged queue file, and starts anew with it. */
function mend(
  directory: StateDirectory,
  error: UserError,
  { log, stamp }: { log: Logger; stamp: string },
): void {
  const { queuePath, seqMark } = directory;
  const { saved, quarantined, lost } = salvage(queuePath, directory.makeMending(), seqMark);
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
