/**
 * In place of the package `bl`, which holds bytes as a list of what came: 6 KB, most of it not used, and a walk through the
 * list at each byte that mqtt-packet looks at. Here they are in one piece.
 *
 * What slice() hands out stays as it is: bytes are only ever written after those that came before, or into a new piece.
 */
const { Buffer } = require("node:buffer");

class Bytes {
  #piece = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  /** Whether the piece is our own, so that it may be written to. */
  #isOurs = false;

  get length() {
    return this.#end - this.#start;
  }

  append(bytes) {
    const { length } = this;
    if (length === 0) {
      this.#piece = bytes;
      this.#isOurs = false;
      this.#start = 0;
      this.#end = bytes.length;
      return;
    }
    if (!this.#isOurs || this.#end + bytes.length > this.#piece.length) {
      // Twice of what is needed: a large packet that comes byte by byte is not copied with each of them.
      const larger = Buffer.alloc(2 * (length + bytes.length));
      larger.set(this.#piece.subarray(this.#start, this.#end));
      this.#piece = larger;
      this.#isOurs = true;
      this.#start = 0;
      this.#end = length;
    }
    this.#piece.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  consume(count) {
    if (count > 0) this.#start = Math.min(this.#start + count, this.#end);
  }

  slice(from, to) {
    const end = Math.min(this.#start + to, this.#end);
    return this.#piece.subarray(Math.min(this.#start + from, end), end);
  }

  toString(encoding, from, to) {
    return this.slice(from, to).toString(encoding);
  }

  readUInt8(at) {
    if (at >= this.length) throw new RangeError(`no byte at ${at} of ${this.length}`);
    return this.#piece[this.#start + at];
  }

  readUInt16BE(at) {
    return this.readUInt8(at) * 256 + this.readUInt8(at + 1);
  }

  readUInt32BE(at) {
    return this.readUInt16BE(at) * 65_536 + this.readUInt16BE(at + 2);
  }
}

module.exports = () => new Bytes();
