/**
 * What is written to a connection, gathered until it can leave.
 *
 * MQTT.js writes each packet in eight pieces. In a stream's own buffer each of them is an object of some hundred bytes,
 * and with a large window those are what the memory is full of. Here they are copied together as they come, and what was
 * written in one turn leaves in one write: one TLS record where it fits, and one packet. A turn ends with its ticks, for
 * MQTT.js takes the packets of what was read one a tick: the PUBLISH that follows the first PUBACK would leave alone, and
 * the others wait a round trip for its ACK.
 */

import { nextTick } from "node:process";
import { MAX_PAYLOAD_BYTES } from "./message.ts";

/** Bytes gathered before who writes is told to wait: more than a window of 1000 small messages. */
const ROOM_BYTES = 256 * 1024;

/** Room for the largest payload besides. */
const BATCH_BYTES = ROOM_BYTES + MAX_PAYLOAD_BYTES;

/** Bytes on their way. */
export interface Outbox {
  /** Takes bytes, or text to be written as UTF-8; calls `done` as soon as there is room for more. */
  add(piece: string | Uint8Array, done: () => void): void;
  /** Settles when all of them were written. */
  flushed(): Promise<void>;
}

/**
 * Makes an empty outbox.
 *
 * @param write Writes some of the bytes, and returns how many; they are its own until then.
 * @param onFailure Told when that fails; nothing is written after it.
 */
export function createOutbox(
  write: (bytes: Uint8Array) => Promise<number>,
  onFailure: (error: unknown) => void,
): Outbox {
  const encoder = new TextEncoder();
  let gathered = new Uint8Array(BATCH_BYTES);
  let length = 0;
  let spare = new Uint8Array(BATCH_BYTES);
  let sending: Promise<void> | undefined;
  let onRoom: (() => void) | undefined;

  const send = async () => {
    // After this turn, ticks that ticks have added among them: what awaits goes on when none is left.
    await new Promise<void>((resolve) => nextTick(resolve));
    while (length > 0) {
      const leaving = gathered;
      const bytes = leaving.subarray(0, length);
      gathered = spare;
      length = 0;
      const done = onRoom;
      onRoom = undefined;
      done?.();
      for (let sent = 0; sent < bytes.length;) sent += await write(bytes.subarray(sent));
      // One that had to grow is not kept.
      spare = leaving.length === BATCH_BYTES ? leaving : new Uint8Array(BATCH_BYTES);
    }
    sending = undefined;
  };
  const grow = (bytes: number) => {
    const larger = new Uint8Array(length + bytes);
    larger.set(gathered.subarray(0, length));
    gathered = larger;
  };
  const addBytes = (bytes: Uint8Array) => {
    if (length + bytes.length > gathered.length) grow(bytes.length);
    gathered.set(bytes, length);
    length += bytes.length;
  };
  const addText = (text: string) => {
    let { read, written } = encoder.encodeInto(text, gathered.subarray(length));
    if (read < text.length) {
      // At most three bytes of UTF-8 per unit.
      grow(3 * text.length);
      ({ written } = encoder.encodeInto(text, gathered.subarray(length)));
    }
    length += written;
  };
  return {
    add(piece, done) {
      if (typeof piece === "string") addText(piece);
      else addBytes(piece);
      sending ??= send().catch(onFailure);
      if (length < ROOM_BYTES) done();
      else onRoom = done;
    },
    async flushed() {
      await sending;
    },
  };
}
