/**
 * The pages of a queue file and its log, read without SQLite (sqlite.org/fileformat2.html): where the file is damaged, of
 * another version, or on a disk that takes no log and no lock. Nothing is written, and nothing that is planted is run.
 */

/** A row of a table as it is stored: its key, and its values. */
export type Cell = readonly [key: number, values: readonly unknown[]];

/** What a page begins with. */
const KIND = { tableLeaf: 13, indexLeaf: 10 } as const;
/** No row of ours is larger, in bytes. */
const MOST_ROW_BYTES = 200_000;
/** What the map of pages says of a page that is free. */
const FREE = 2;

/** A queue file that is only read. */
export class Pages implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #log: Deno.FsFile | undefined;
  readonly #bytes: number;
  /** Where the log has a later state of a page. */
  readonly #inLog = new Map<number, number>();
  /** Pages that hold nothing. */
  readonly #free = new Set<number>();
  /** How many there are. */
  readonly count: number;

  constructor(path: string, bytes: number) {
    this.#bytes = bytes;
    this.#file = Deno.openSync(path, { read: true });
    try {
      this.#log = Deno.openSync(`${path}-wal`, { read: true });
      this.#readLog();
    } catch { /* there is none, or none that can be read */ }
    const inFile = Math.ceil(this.#file.statSync().size / bytes);
    this.count = Math.max(inFile, ...this.#inLog.keys());
    this.#findFree();
  }

  /** The rows of all leaves that are in use, in any order: those of a damaged page are left out. */
  *cells(): Generator<Cell> {
    for (let page = 1; page <= this.count; page++) {
      const view = this.#free.has(page) ? undefined : this.#page(page);
      const at = page === 1 ? 100 : 0;
      const kind = view?.getUint8(at);
      if (view === undefined || (kind !== KIND.tableLeaf && kind !== KIND.indexLeaf)) continue;
      const most = Math.min(view.getUint16(at + 3), this.#bytes / 4);
      for (let n = 0; n < most; n++) {
        try {
          yield this.#cell(view, view.getUint16(at + 8 + 2 * n), kind);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
    this.#log?.close();
  }

  #page(page: number): DataView | undefined {
    const inLog = this.#inLog.get(page);
    const bytes = new Uint8Array(this.#bytes);
    const file = inLog === undefined ? this.#file : this.#log!;
    file.seekSync(inLog ?? (page - 1) * this.#bytes, Deno.SeekMode.Start);
    return (file.readSync(bytes) ?? 0) === 0 ? undefined : new DataView(bytes.buffer);
  }

  #cell(view: DataView, at: number, kind: number): Cell {
    const [length, afterLength] = varint(view, at);
    const [key, start] = kind === KIND.tableLeaf ? varint(view, afterLength) : [0, afterLength];
    if (length > MOST_ROW_BYTES) throw new RangeError();
    const usable = this.#bytes;
    const most = kind === KIND.tableLeaf ? usable - 35 : Math.floor((usable - 12) * 64 / 255) - 23;
    const least = Math.floor((usable - 12) * 32 / 255) - 23;
    const rest = least + (length - least) % (usable - 4);
    const local = length <= most ? length : rest <= most ? rest : least;
    const record = new Uint8Array(length);
    record.set(new Uint8Array(view.buffer, start, local));
    for (let next = local < length ? view.getUint32(start + local) : 0, done = local; next > 0;) {
      const more = this.#page(next);
      if (more === undefined || done >= length) throw new RangeError();
      const part = Math.min(usable - 4, length - done);
      record.set(new Uint8Array(more.buffer, 4, part), done);
      done += part;
      next = more.getUint32(0);
    }
    return [key, valuesOf(record)];
  }

  /** Finds the pages that the log has, up to its last commit: each frame is checked by the sum of all before it. */
  #readLog(): void {
    const log = this.#log!;
    const bytes = new Uint8Array(log.statSync().size);
    log.seekSync(0, Deno.SeekMode.Start);
    for (let at = 0, read; at < bytes.length; at += read) {
      read = log.readSync(bytes.subarray(at)) ?? bytes.length;
    }
    const view = new DataView(bytes.buffer);
    const isLittle = (view.getUint32(0) & 1) === 0;
    if (view.getUint32(8) !== this.#bytes) return;
    let sum: readonly [number, number] = [0, 0];
    const add = (from: number, to: number) => {
      let [a, b] = sum;
      for (let at = from; at < to; at += 8) {
        a = (a + view.getUint32(at, isLittle) + b) >>> 0;
        b = (b + view.getUint32(at + 4, isLittle) + a) >>> 0;
      }
      sum = [a, b];
    };
    const isNext = (at: number) =>
      sum[0] === view.getUint32(at) && sum[1] === view.getUint32(at + 4);
    add(0, 24);
    if (!isNext(24)) return;
    let pending: [number, number][] = [];
    for (let at = 32; at + 24 + this.#bytes <= bytes.length; at += 24 + this.#bytes) {
      add(at, at + 8);
      add(at + 24, at + 24 + this.#bytes);
      const isSame = view.getUint32(at + 8) === view.getUint32(16) &&
        view.getUint32(at + 12) === view.getUint32(20);
      if (!isSame || !isNext(at + 16)) return;
      pending.push([view.getUint32(at), at + 24]);
      // The frame of a commit says how many pages there are then.
      if (view.getUint32(at + 4) === 0) continue;
      for (const [page, place] of pending) this.#inLog.set(page, place);
      pending = [];
    }
  }

  /** By the map of pages that a file with auto-vacuum has, else by the list that the first page leads to. */
  #findFree(): void {
    const first = this.#page(1);
    const isHeader = first !== undefined && first.getUint32(0) === 0x53514c69;
    const hasMap = !isHeader || first.getUint32(52) !== 0;
    const entries = Math.floor(this.#bytes / 5);
    if (hasMap) {
      for (let map = 2; map <= this.count; map += entries + 1) {
        const view = this.#page(map);
        for (let n = 0; n < entries && view !== undefined; n++) {
          if (view.getUint8(5 * n) === FREE) this.#free.add(map + 1 + n);
        }
        this.#free.add(map);
      }
      return;
    }
    for (let trunk = first.getUint32(32), left = this.count; trunk > 0 && left > 0; left--) {
      const view = this.#page(trunk);
      if (view === undefined) return;
      this.#free.add(trunk);
      const most = Math.min(view.getUint32(4), this.#bytes / 4 - 2);
      for (let n = 0; n < most; n++) this.#free.add(view.getUint32(8 + 4 * n));
      trunk = view.getUint32(0);
    }
  }
}

/** A whole number of one to nine bytes, and where it ends. */
function varint(view: DataView, at: number): [value: number, end: number] {
  let value = 0;
  for (let n = 0; n < 8; n++) {
    const byte = view.getUint8(at + n);
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return [value, at + n + 1];
  }
  return [value * 256 + view.getUint8(at + 8), at + 9];
}

/** The values of a record. */
function valuesOf(record: Uint8Array<ArrayBuffer>): unknown[] {
  const view = new DataView(record.buffer);
  const [headerEnd, start] = varint(view, 0);
  const values: unknown[] = [];
  let value = headerEnd;
  for (let at = start; at < headerEnd;) {
    const [type, next] = varint(view, at);
    at = next;
    const length = type >= 12 ? (type - 12 - type % 2) / 2 : [0, 1, 2, 3, 4, 6, 8, 8][type] ?? 0;
    if (value + length > record.length) throw new RangeError();
    if (type === 0) values.push(null);
    else if (type === 8 || type === 9) values.push(type - 8);
    else if (type === 7) values.push(view.getFloat64(value));
    else if (type >= 13 && type % 2 === 1) {
      values.push(new TextDecoder().decode(record.subarray(value, value + length)));
    } else if (type < 7) values.push(wholeNumber(view, value, length));
    else values.push(undefined);
    value += length;
  }
  return values;
}

function wholeNumber(view: DataView, at: number, length: number): number {
  let value = view.getInt8(at);
  for (let n = 1; n < length; n++) value = value * 256 + view.getUint8(at + n);
  return value;
}
