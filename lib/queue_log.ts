/**
 * SQLite's log of the queue file (`queue.db-wal`), read by itself. SQLite takes its frames up to the first that is not
 * whole, and forgets what was committed after that: right after a power cut, when nothing after it was promised, but a
 * loss where a bit has flipped in a log that was synced. Pure. (The format: sqlite.org/fileformat2.html, section 4.)
 */

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** At the begin of a log whose checksums are over little-endian words, as x86 and ARM write it. */
const MAGIC = 0x377f0682;
const VERSION = 3007000;
/** Where a frame, and where the log, says which generation of the log it is of: eight bytes. */
const FRAME_SALT = 8;
const HEADER_SALT = 16;
/** Where both have their checksum, eight bytes at their end. */
const FRAME_SUM = 16;
const HEADER_SUM = 24;

type Sum = readonly [number, number];

/** A log that was looked at. */
export interface RebuiltLog {
  /** Whether whole commits come after a frame that is not whole: SQLite does not take them. */
  readonly isCutShort: boolean;
  /**
   * The log with the checksums that its frames should have, for a file with a sound first page: frames of that one are
   * left out, as what it says of the tables is the same in each queue file.
   */
  readonly bytes: Uint8Array;
}

/**
 * Reads a log, and mends its checksums.
 *
 * @param pageBytes Of the queue file.
 */
export function rebuildLog(log: Uint8Array, pageBytes: number): RebuiltLog {
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  const count = Math.floor((log.length - HEADER_BYTES) / frameBytes);
  if (count < 1) return { isCutShort: false, bytes: new Uint8Array() };
  // A copy: it is looked at as words, and changed.
  const bytes = log.slice(0, HEADER_BYTES + count * frameBytes);
  const view = new DataView(bytes.buffer);
  const words = new Uint32Array(bytes.buffer);
  const at = (frame: number) => HEADER_BYTES + frame * frameBytes;
  const sumAt = (offset: number): Sum => [view.getUint32(offset), view.getUint32(offset + 4)];
  const isSame = (one: Sum, other: Sum) => one[0] === other[0] && one[1] === other[1];
  const sumOf = (frame: number, before: Sum): Sum => {
    const start = at(frame);
    const head = sum(words, start, start + FRAME_SALT, before);
    return sum(words, start + FRAME_HEADER_BYTES, start + frameBytes, head);
  };

  const isHeaderWhole = view.getUint32(0) === MAGIC &&
    isSame(sumAt(HEADER_SUM), sum(words, 0, HEADER_SUM, [0, 0]));
  const salt = sumAt(isHeaderWhole ? HEADER_SALT : at(0) + FRAME_SALT);
  const ours: number[] = [];
  let isDamaged = !isHeaderWhole;
  let isCutShort = false;
  for (let frame = 0, before = sumAt(HEADER_SUM); frame < count; frame++) {
    const own = sumAt(at(frame) + FRAME_SUM);
    const isOurs = isSame(sumAt(at(frame) + FRAME_SALT), salt);
    const isWhole = isOurs && isSame(own, sumOf(frame, before));
    const page = view.getUint32(at(frame));
    // Here a frame that ends a commit has the number of pages, another 0.
    const isCommit = view.getUint32(at(frame) + 4) !== 0;
    if (isDamaged && isWhole && isCommit) isCutShort = true;
    if (!isWhole) isDamaged = true;
    if (isOurs && (page !== 1 || isCommit)) ours.push(frame);
    before = own;
  }

  view.setUint32(0, MAGIC);
  view.setUint32(4, VERSION);
  view.setUint32(8, pageBytes);
  const put = (offset: number, [first, second]: Sum) => {
    view.setUint32(offset, first);
    view.setUint32(offset + 4, second);
  };
  put(HEADER_SALT, salt);
  let last = sum(words, 0, HEADER_SUM, [0, 0]);
  put(HEADER_SUM, last);
  ours.forEach((frame, index) => {
    bytes.copyWithin(at(index), at(frame), at(frame) + frameBytes);
    last = sumOf(index, last);
    put(at(index) + FRAME_SUM, last);
  });
  return { isCutShort, bytes: bytes.subarray(0, at(ours.length)) };
}

/** SQLite's checksum over words, two at a time. */
function sum(words: Uint32Array, from: number, to: number, [first, second]: Sum): Sum {
  let a = first;
  let b = second;
  for (let index = from / 4; index < to / 4; index += 2) {
    a = (a + words[index]! + b) >>> 0;
    b = (b + words[index + 1]! + a) >>> 0;
  }
  return [a, b];
}
