/**
 * What is written to a connection, gathered until it can leave.
 *
 * MQTT.js writes each packet in eight pieces. In a stream's own buffer each of them is an object of some hundred bytes,
 * and with a large window those are what the memory is full of. Here they are copied together as they come, and what was
 * written in one turn leaves in one write: one TLS record where it fits, and one packet.
 */

/** Bytes gathered before who writes is told to wait: more than a window of 1000 small messages. */
const ROOM_BYTES = 256 * 1024;

/** Bytes on their way. */
export interface Outbox {
  /** Takes bytes; calls `done` as soon as there is room for more. */
  add(piece: Uint8Array, done: () => void): void;
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
  let gathered = new Uint8Array(ROOM_BYTES);
  let length = 0;
  let spare = new Uint8Array(ROOM_BYTES);
  let sending: Promise<void> | undefined;
  let onRoom: (() => void) | undefined;

  const send = async () => {
    // After this turn.
    await Promise.resolve();
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
      spare = leaving.length === ROOM_BYTES ? leaving : new Uint8Array(ROOM_BYTES);
    }
    sending = undefined;
  };
  return {
    add(piece, done) {
      if (length + piece.length > gathered.length) {
        const larger = new Uint8Array(length + piece.length);
        larger.set(gathered.subarray(0, length));
        gathered = larger;
      }
      gathered.set(piece, length);
      length += piece.length;
      sending ??= send().catch(onFailure);
      if (length < ROOM_BYTES) done();
      else onRoom = done;
    },
    async flushed() {
      await sending;
    },
  };
}
