/**
 * Lines on their way to a stream that may be slow, full or gone: whoever says them never waits.
 *
 * Rules: one write at a time, in order; what waits is bounded, and lines beyond it are left out and counted; a write
 * that fails loses its lines and nothing else.
 */

/** Takes lines. */
export interface LineSink {
  /**
   * Takes a line without its end.
   *
   * @returns How many lines were lost since the last call that took one.
   */
  put(line: string): number;
  /** Settles when all was written or lost, or after that time. */
  flush(mostMs: number): Promise<void>;
}

/** Characters that may wait: some thousand lines. */
const MOST_CHARACTERS = 256 * 1024;

/**
 * Makes a sink.
 *
 * @param write Writes some of the bytes and says how many.
 */
export function createLineSink(write: (bytes: Uint8Array) => Promise<number>): LineSink {
  const encoder = new TextEncoder();
  let waiting: string[] = [];
  let characters = 0;
  let lost = 0;
  let writing: Promise<void> | undefined;

  const drain = async () => {
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      characters = 0;
      try {
        const bytes = encoder.encode(lines.join(""));
        for (let sent = 0; sent < bytes.length;) sent += await write(bytes.subarray(sent));
      } catch {
        // Closed (EPIPE), or its disk is full: the next lines may find it mended.
        lost += lines.length;
      }
    }
    writing = undefined;
  };

  return {
    put(line) {
      if (characters > 0 && characters + line.length > MOST_CHARACTERS) {
        lost++;
        return 0;
      }
      waiting.push(`${line}\n`);
      characters += line.length + 1;
      writing ??= drain();
      const before = lost;
      lost = 0;
      return before;
    },
    async flush(mostMs) {
      if (writing === undefined) return;
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, mostMs);
      await Promise.race([writing, late]);
      clearTimeout(timer);
    },
  };
}
