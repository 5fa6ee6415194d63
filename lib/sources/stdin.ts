/**
 * Lines of a stream.
 *
 * A chunk is asked for only when the lines of the last one have been taken, so a slow queue slows the writer of
 * the pipe and nothing piles up in memory. A line that is too long is counted, not kept. Bytes that are not
 * UTF-8 become U+FFFD.
 */

/** A line that was too long, and is gone. */
export interface TooLongLine {
  readonly tooLong: true;
  /** Its length in bytes, without the line end. */
  readonly bytes: number;
}

/** A line without its line end. */
export type Line = string | TooLongLine;

/** Options of {@linkcode readLines}. */
export interface ReadLinesOptions {
  /** Longest line that is kept, in bytes, without the line end. @default {131072} */
  readonly maxBytes?: number;
  /** Ends the lines at once; a line not yet complete is dropped. */
  readonly signal?: AbortSignal;
}

const DEFAULT_MAX_BYTES = 131_072;
const LF = 10;
const CR = 13;
const BOM = [0xef, 0xbb, 0xbf];

/**
 * Yields the lines of a stream, a batch for each chunk that ends at least one.
 *
 * `\n` and `\r\n` end a line, and so does the end of the stream. Empty lines are yielded too, so that lines can be counted;
 * a byte order mark at the start is left out.
 * Leaving the loop early cancels the stream.
 *
 * @throws Whatever the stream fails with, after the lines before.
 */
export async function* readLines(
  stream: ReadableStream<Uint8Array>,
  { maxBytes = DEFAULT_MAX_BYTES, signal }: ReadLinesOptions = {},
): AsyncGenerator<readonly Line[], void, undefined> {
  const splitter = new LineSplitter(maxBytes, { keepsEmpty: true });
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", cancel);
  let ended = false;
  try {
    while (signal?.aborted !== true) {
      const { done, value } = await reader.read();
      if (signal?.aborted) break;
      const lines = done ? splitter.end() : splitter.push(value);
      ended = done;
      if (lines.length > 0) yield lines;
      if (done) break;
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    if (!ended) await reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}

/** Cuts chunks into lines, at most {@linkcode ReadLinesOptions.maxBytes} long; keeps at most one that is not complete. */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #keepsEmpty: boolean;
  // The mark is taken off by hand, at the start alone: the decoder would take it off at each chunk.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** What is known of a line whose end has not come, in the pieces it came in; emptied when it is too long. */
  #parts: Uint8Array[] = [];
  #length = 0;
  #tooLong = false;
  #endsWithCr = false;
  #atStart = true;

  /** @param options.keepsEmpty Whether empty lines are lines. */
  constructor(maxBytes: number = DEFAULT_MAX_BYTES, { keepsEmpty = false } = {}) {
    this.#maxBytes = maxBytes;
    this.#keepsEmpty = keepsEmpty;
  }

  push(chunk: Uint8Array): Line[] {
    let bytes = chunk;
    if (this.#atStart) {
      bytes = joined([...this.#parts, chunk]);
      this.#drop();
      if (
        bytes.length < BOM.length &&
        BOM.every((byte, i) => i >= bytes.length || bytes[i] === byte)
      ) {
        if (bytes.length > 0) this.#keep(bytes.slice());
        return [];
      }
      this.#atStart = false;
      if (startsWithBom(bytes)) bytes = bytes.subarray(BOM.length);
    }
    const first = bytes.indexOf(LF);
    if (first === -1) {
      if (bytes.length > 0) this.#keep(bytes.slice());
      return [];
    }
    const lines = this.#finish(bytes.subarray(0, first));
    const last = bytes.lastIndexOf(LF);
    if (last > first) this.#split(bytes.subarray(first + 1, last), lines);
    if (last + 1 < bytes.length) this.#keep(bytes.slice(last + 1));
    return lines;
  }

  end(): Line[] {
    return this.#length > 0 ? this.#finish(new Uint8Array()) : [];
  }

  /** Cuts a block of complete lines. */
  #split(block: Uint8Array, lines: Line[]): void {
    if (block.length <= this.#maxBytes) {
      // No line can be too long: decode all at once, which is several times as fast.
      for (const line of this.#decoder.decode(block).split("\n")) {
        const text = line.endsWith("\r") ? line.slice(0, -1) : line;
        if (text !== "" || this.#keepsEmpty) lines.push(text);
      }
      return;
    }
    for (let start = 0; start <= block.length;) {
      const found = block.indexOf(LF, start);
      const end = found === -1 ? block.length : found;
      this.#line(block.subarray(start, end), lines);
      start = end + 1;
    }
  }

  #line(bytes: Uint8Array, lines: Line[]): void {
    const length = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
    if (length > this.#maxBytes) lines.push({ tooLong: true, bytes: length });
    else if (length > 0 || this.#keepsEmpty) {
      lines.push(this.#decoder.decode(bytes.subarray(0, length)));
    }
  }

  /** Ends the line that is kept with its last piece. */
  #finish(piece: Uint8Array): Line[] {
    const lines: Line[] = [];
    this.#keep(piece);
    if (this.#tooLong) {
      const bytes = this.#length - (this.#endsWithCr ? 1 : 0);
      lines.push({ tooLong: true, bytes });
    } else this.#line(joined(this.#parts), lines);
    this.#drop();
    return lines;
  }

  #keep(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    this.#endsWithCr = piece.at(-1) === CR;
    // One byte more may be the CR of the line end.
    if (this.#length > this.#maxBytes + 1) {
      this.#tooLong = true;
      this.#parts = [];
    } else this.#parts.push(piece);
  }

  #drop(): void {
    this.#parts = [];
    this.#length = 0;
    this.#tooLong = false;
    this.#endsWithCr = false;
  }
}

function startsWithBom(bytes: Uint8Array): boolean {
  return BOM.every((byte, i) => bytes[i] === byte);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
