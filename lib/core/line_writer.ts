/** Writes lines to a stream that may be slow, full or closed, without ever making the caller wait. */

/** Characters that may wait: some thousand lines. */
const MOST_CHARACTERS = 256 * 1024;

/** One write at a time, in order. Lines beyond the bound, and lines whose write fails, are lost and counted. */
export class LineWriter {
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #encoder = new TextEncoder();
  #waiting: string[] = [];
  /** In {@linkcode #waiting}. */
  #characters = 0;
  /** Lines lost since the last call of {@linkcode put} that reported some. */
  #lost = 0;
  /** Settles when nothing waits; undefined then. */
  #writing: Promise<void> | undefined;

  /** @param write Writes some of the bytes and returns how many. */
  constructor(write: (bytes: Uint8Array) => Promise<number>) {
    this.#write = write;
  }

  /**
   * Takes a line without its end.
   *
   * @returns How many lines were lost since the last call that took one.
   */
  put(line: string): number {
    if (this.#characters > 0 && this.#characters + line.length > MOST_CHARACTERS) {
      this.#lost++;
      return 0;
    }
    this.#waiting.push(`${line}\n`);
    this.#characters += line.length + 1;
    this.#writing ??= this.#drain();
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** Settles when every line is written or lost, or after that time. */
  async flush(mostMs: number): Promise<void> {
    if (this.#writing === undefined) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, mostMs);
    await Promise.race([this.#writing, late.promise]);
    clearTimeout(timer);
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#characters = 0;
      try {
        const bytes = this.#encoder.encode(lines.join(""));
        for (let sent = 0; sent < bytes.length;) sent += await this.#write(bytes.subarray(sent));
      } catch {
        // Closed (EPIPE), or the disk is full; a later write may succeed.
        this.#lost += lines.length;
      }
    }
    this.#writing = undefined;
  }
}
