/**
 * Takes messages that are too long out of what a server sends, before MQTT.js gathers them in memory: over MQTT 3.1.1
 * no limit can be announced (with MQTT 5 it is, in CONNECT). Everything else passes as it is.
 */

import { Buffer } from "node:buffer";
import { Transform, type TransformCallback } from "node:stream";

/** A message that was left out. */
export interface LongMessage {
  readonly topic: string;
  /** Of the packet, behind its head. */
  readonly bytes: number;
  /** Packet id to acknowledge; undefined with QoS 0. */
  readonly id: number | undefined;
}

/** The first byte of a PUBLISH, without its flags. */
const PUBLISH = 0x30;
const QOS = 0x06;

/** The filter. It sees the stream from between two packets on. */
export class LongMessages extends Transform {
  readonly #mostBytes: number;
  readonly #onLong: (message: LongMessage | undefined) => void;
  /** Bytes of a head whose length has not ended. */
  #head: number[] = [];
  /** Bytes of the packet that are still to come, and whether they pass. */
  #left = 0;
  #isPassing = true;
  /** What came of a long message so far, up to its topic and packet id. */
  #start: number[] | undefined;
  #bytes = 0;

  /** @param onLong Called for each; with undefined for another packet as long, which no server sends. */
  constructor(mostBytes: number, onLong: (message: LongMessage | undefined) => void) {
    super();
    this.#mostBytes = mostBytes;
    this.#onLong = onLong;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#left === 0) {
        this.#addToHead(chunk[at++]!);
        continue;
      }
      const part = chunk.subarray(at, at + this.#left);
      at += part.length;
      this.#left -= part.length;
      if (this.#isPassing) this.push(part);
      else this.#drop(part);
    }
    done();
  }

  #addToHead(byte: number): void {
    const head = this.#head;
    head.push(byte);
    // A fifth digit is against the rules; MQTT.js says so.
    if (head.length === 1 || (byte >= 0x80 && head.length < 5)) return;
    const length = head.slice(1).reduce((sum, digit, n) => sum + (digit & 0x7f) * 128 ** n, 0);
    this.#head = [];
    this.#left = this.#bytes = length;
    this.#isPassing = length <= this.#mostBytes;
    if (this.#isPassing) this.push(Buffer.from(head));
    else if ((head[0]! & 0xf0) === PUBLISH) this.#start = [head[0]!];
    else this.#onLong(undefined);
  }

  /** Reads topic and packet id of what is left out. */
  #drop(part: Buffer): void {
    const start = this.#start;
    if (start === undefined) return;
    for (const byte of part) {
      start.push(byte);
      const [flags, high, low] = start;
      const end = start.length < 3 ? Infinity : 3 + high! * 256 + low!;
      const hasId = (flags! & QOS) !== 0;
      if (start.length < end + (hasId ? 2 : 0)) continue;
      const topic = Buffer.from(start.slice(3, end)).toString();
      const id = hasId ? start[end]! * 256 + start[end + 1]! : undefined;
      this.#start = undefined;
      return this.#onLong({ topic, bytes: this.#bytes, id });
    }
  }
}
