/**
 * What has left the queue in its turn, and has rows still. Messages are nearly always delivered in their order: how far is
 * noted in a mark beside the file, and the rows up to it wait for the next commit, which deletes them. A commit for each
 * PUBACK would be most of what is written to disk, and half of the work.
 */

import type { DeliveredMark, Leaving } from "./types.ts";

/** Messages, and bytes of them, whose rows may wait until a commit is made for them alone. */
const MOST = 3000;
const MOST_BYTES = 1024 * 1024;

/** How far messages have left. */
export interface Left {
  /** All up to this `seq` have. */
  readonly through: number;
  /** Numbers up to this one were given once, whatever the file says. */
  readonly numbered: number;
  /** Notes that all up to a `seq` have left. Throws where the mark cannot be written. */
  note(through: number, leaving: readonly Leaving[]): void;
  /** Whether rows may wait to be deleted. */
  hasRows(): boolean;
  /** Whether too many do. */
  isDue(): boolean;
  /** Notes that none does. */
  deleted(): void;
}

/**
 * Begins with what the mark says.
 *
 * A mark that is above the last `seq` of the file is not of this file, or a power cut has taken the file's last commits:
 * then nothing in it is known to have left.
 *
 * @throws What writing the mark throws.
 */
export function createLeft(
  mark: DeliveredMark | undefined,
  { lastSeq, readOnly }: { lastSeq: number; readOnly: boolean },
): Left {
  const numbered = mark?.through ?? 0;
  const isOfThisFile = numbered <= lastSeq;
  if (!isOfThisFile && !readOnly) mark?.write(0);
  let through = isOfThisFile ? numbered : 0;
  let messages = through;
  let bytes = 0;
  return {
    get through() {
      return through;
    },
    numbered,
    note(last, leaving) {
      mark?.write(last);
      through = last;
      messages += leaving.length;
      for (const message of leaving) bytes += message.bytes;
    },
    hasRows: () => messages > 0,
    isDue: () => messages > MOST || bytes > MOST_BYTES,
    deleted: () => void (messages = bytes = 0),
  };
}
