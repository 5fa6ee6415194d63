/**
 * One client: its lines as they come, its receipts as they leave.
 *
 * Rules: what it may keep in memory is bounded (lines of 64 KiB, a line that is not complete, 64 KiB of receipts); it is
 * read on only when that much is answered; whoever does not read the receipts gets none any more, but is not stopped.
 */

import type { Socket } from "node:net";
import { MAX_PAYLOAD_BYTES } from "../core/message.ts";
import { type Line, LineSplitter } from "../sources/mod.ts";

/** What came before the end without a line end: nobody knows whether it is whole. */
export const CUT_OFF = Symbol("cut off");
/** A line, or what was to be one. */
export type ClientLine = Line | typeof CUT_OFF;

/** Bytes of lines that wait for their commit before no more are read, and of receipts that the client has not read. */
const MOST_BYTES = 64 * 1024;
/** A client that sends nothing for so long is closed, in ms. */
const IDLE_MS = 10 * 60_000;
/** With {@linkcode MOST_BYTES} of receipts unread: how long the client may go without reading any, in ms. */
const UNREAD_MS = 2000;

/** What a client tells of itself. */
export interface ClientEvents {
  /** It has lines, or has ended. */
  readonly onLines: () => void;
  /** Its receipts are switched off. */
  readonly onUnread: () => void;
  /** Its socket is closed. */
  readonly onClose: () => void;
}

/** One connection to the socket. */
export class Client {
  readonly #socket: Socket;
  readonly #events: ClientEvents;
  readonly #splitter = new LineSplitter(MAX_PAYLOAD_BYTES);
  /** Lines that have no answer yet, from `#next` on. */
  #lines: ClientLine[] = [];
  #next = 0;
  /** Bytes read since none waited. */
  #bytes = 0;
  /** Receipts that are not written yet. */
  #receipts = "";
  #isReceiptsOff = false;
  /** Bytes unread when they were last looked at; runs while the client is behind. */
  #behind: { bytes: number; timer: ReturnType<typeof setTimeout> } | undefined;
  /** It sends no more. */
  #hasEnded = false;
  /** Nothing is written to it any more. */
  #isClosing = false;

  constructor(socket: Socket, events: ClientEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("data", (chunk: Uint8Array) => this.#read(chunk));
    socket.on("end", () => this.#end());
    // It went away: what was read is taken, and nobody is left to be told.
    socket.on("error", () => {});
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on("close", () => {
      this.#close();
      resolve();
    });
    socket.on("drain", () => this.#caughtUp());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
  }

  /** Settles when its socket is closed. */
  readonly closed: Promise<void>;

  /** Whether it has lines that have no answer. */
  get hasLines(): boolean {
    return this.#next < this.#lines.length;
  }

  /** Whether it has such lines, and keeps up with its receipts. */
  get isReady(): boolean {
    return this.hasLines && this.#behind === undefined;
  }

  /** Whether its socket is closed, and all that was read is answered. */
  get isGone(): boolean {
    return this.#socket.destroyed && !this.hasLines;
  }

  /** Whether receipts wait to be written, or the end to be told. */
  get isOwed(): boolean {
    return this.#receipts !== "" || (this.#hasEnded && !this.#isClosing && this.#isDone);
  }

  /** The next lines, at most so many and, but for the first, so many bytes; they must be answered. */
  take(most: number, mostBytes: number): ClientLine[] {
    let end = this.#next;
    let bytes = 0;
    while (end < this.#lines.length && end < this.#next + most) {
      bytes += sizeOf(this.#lines[end]!);
      if (bytes > mostBytes && end > this.#next) break;
      end++;
    }
    const lines = this.#lines.slice(this.#next, end);
    this.#next = end;
    if (end === this.#lines.length) {
      this.#lines = [];
      this.#next = this.#bytes = 0;
      this.#socket.resume();
    }
    return lines;
  }

  /** Adds a receipt to those that {@linkcode Client.write} writes. */
  answer(receipt: string): void {
    if (!this.#isReceiptsOff && !this.#isClosing) this.#receipts += receipt;
  }

  /** Writes the receipts; to one that has ended and has them all, the end too. */
  write(): void {
    if (this.#receipts !== "") {
      this.#socket.write(this.#receipts);
      this.#receipts = "";
      if (this.#behind === undefined && this.#socket.writableLength > MOST_BYTES) {
        this.#fellBehind();
      }
    }
    if (this.#hasEnded && this.#isDone && !this.#isClosing) this.close();
  }

  /** Reads no more, and closes when the receipts are written. */
  close(): void {
    this.#hasEnded = this.#isClosing = true;
    if (this.#isReceiptsOff) this.#socket.destroy();
    else this.#socket.end(() => this.#socket.destroy());
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  get #isDone(): boolean {
    return this.#next === this.#lines.length && this.#receipts === "";
  }

  #read(chunk: Uint8Array): void {
    const lines = this.#splitter.push(chunk);
    this.#bytes += chunk.length;
    if (lines.length === 0) {
      if (this.#lines.length === 0) this.#bytes = 0;
      return;
    }
    this.#add(lines);
  }

  #end(): void {
    this.#hasEnded = true;
    this.#add(this.#splitter.end().map(() => CUT_OFF));
  }

  #add(lines: readonly ClientLine[]): void {
    if (this.#lines.length === 0) this.#lines = [...lines];
    else for (const line of lines) this.#lines.push(line);
    if (this.#bytes >= MOST_BYTES || this.#behind !== undefined) this.#socket.pause();
    this.#events.onLines();
  }

  #fellBehind(): void {
    const bytes = this.#socket.writableLength;
    this.#behind = { bytes, timer: setTimeout(() => this.#lookWhetherItReads(), UNREAD_MS) };
  }

  #lookWhetherItReads(): void {
    const { bytes } = this.#behind!;
    if (this.#socket.writableLength < bytes) return this.#fellBehind();
    this.#isReceiptsOff = true;
    this.#events.onUnread();
    this.#caughtUp();
  }

  #caughtUp(): void {
    if (this.#behind === undefined) return;
    clearTimeout(this.#behind.timer);
    this.#behind = undefined;
    this.#socket.resume();
    this.#events.onLines();
  }

  #close(): void {
    this.#isClosing = this.#hasEnded = true;
    this.#receipts = "";
    this.#caughtUp();
    this.#events.onClose();
  }
}

/** Bytes of a line, or a few less. */
function sizeOf(line: ClientLine): number {
  return typeof line === "string" ? line.length : 0;
}
