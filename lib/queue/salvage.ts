/**
 * What a queue file holds that cannot be opened as a queue: damaged, of an earlier version or a newer one, or on a disk
 * that cannot be written to.
 *
 * Rules: the file is only read; a row that was written with a checksum counts only if it agrees; what is on any page that
 * can be read is found.
 */

import { type Cell, Pages } from "./pages.ts";
import { type AsideMessage, checksumOf, countersChecksum } from "./row.ts";
import { type Counters, PAGE_BYTES } from "./schema.ts";
import type { QueuedMessage } from "./types.ts";

/** Rows handed over at once. */
const BATCH = 500;
/** Bytes of a page: of this version, and of those before. */
const SIZES = [PAGE_BYTES, 2048, 4096, 512];

/** What was found in one part of the file. */
export interface Part {
  readonly messages: readonly QueuedMessage[];
  readonly aside: readonly AsideMessage[];
}

/** What is looked for. */
export interface SalvageOptions {
  /** Messages that are not wanted. */
  readonly skip: (seq: number) => boolean;
  /** Most messages that wait: the oldest. @default Infinity */
  readonly most?: number;
  /** Takes what was found. */
  readonly take: (part: Part) => void;
}

/** Hands over what can be read, in any order, and returns how far `seq` and the drops had come. */
export function salvage(path: string, options: SalvageOptions): Counters {
  const size = sizeOf(path);
  const sizes = size === undefined ? SIZES : [size];
  for (const bytes of sizes) {
    using pages = new Pages(path, bytes);
    const counters = readPages(pages, options);
    if (counters.seq > 0 || bytes === sizes.at(-1)) return counters;
  }
  return { seq: 0, dropped: 0 };
}

/** Bytes of a page as the header or the log says it. */
function sizeOf(path: string): number | undefined {
  for (const [name, at, long] of [[path, 16, false], [`${path}-wal`, 8, true]] as const) {
    try {
      using file = Deno.openSync(name, { read: true });
      const bytes = new Uint8Array(24);
      file.readSync(bytes);
      const view = new DataView(bytes.buffer);
      const size = long ? view.getUint32(at) : view.getUint16(at);
      if (SIZES.includes(size)) return size;
    } catch { /* it is not there */ }
  }
  return undefined;
}

function readPages(pages: Pages, { skip, most = Infinity, take }: SalvageOptions): Counters {
  let through = Infinity;
  if (most < Infinity) {
    const seqs: number[] = [];
    for (const cell of pages.cells()) {
      const message = messageOf(cell);
      if (message && !("reason" in message) && !skip(message.seq)) seqs.push(message.seq);
    }
    through = seqs.sort((a, b) => a - b)[most - 1] ?? Infinity;
  }
  let seq = 0;
  let dropped = 0;
  let messages: QueuedMessage[] = [];
  let aside: AsideMessage[] = [];
  for (const cell of pages.cells()) {
    const counters = countersOf(cell);
    seq = Math.max(seq, counters.seq ?? 0);
    dropped = Math.max(dropped, counters.dropped ?? 0);
    const message = messageOf(cell);
    if (message === undefined) continue;
    seq = Math.max(seq, message.seq);
    if ("reason" in message) aside.push(message);
    else if (message.seq <= through && !skip(message.seq)) messages.push(message);
    if (messages.length + aside.length < BATCH) continue;
    take({ messages, aside });
    messages = [];
    aside = [];
  }
  take({ messages, aside });
  return { seq, dropped };
}

/**
 * The message of a row, if it is one and whole. Schema 1 has no checksum, in schema 2 it may be null, and neither has one
 * in quarantine.
 */
function messageOf([seq, values]: Cell): QueuedMessage | AsideMessage | undefined {
  const [key, topic, qos, timeMs, payload, fifth, sixth] = values;
  if (key !== null || !Number.isSafeInteger(seq) || seq <= 0 || values.length < 5) return undefined;
  if (typeof topic !== "string" || topic === "" || typeof payload !== "string") return undefined;
  if ((qos !== 0 && qos !== 1) || typeof timeMs !== "number") return undefined;
  const message: QueuedMessage = { seq, topic, qos, timeMs, payload };
  if (values.length === 5 || (values.length === 6 && fifth === null)) return message;
  if (values.length === 6 && typeof fifth === "string") return { ...message, reason: fifth };
  if (fifth !== checksumOf(message)) return undefined;
  return typeof sixth === "string" ? { ...message, reason: sixth } : message;
}

/** The counters of a row: two and their checksum, or before schema 3 one with its name. */
function countersOf([, values]: Cell): Partial<Counters> {
  const [seq, dropped, checksum] = values;
  if (values.length === 2 && Number.isSafeInteger(dropped) && Number(dropped) < 2 ** 40) {
    return seq === "seq" || seq === "dropped" ? { [seq]: Number(dropped) } : {};
  }
  const isOurs = values.length === 3 && typeof seq === "number" && typeof dropped === "number" &&
    checksum === countersChecksum(seq, dropped);
  return isOurs ? { seq, dropped } : {};
}
