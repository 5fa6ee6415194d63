/**
 * Messages in packs: several samples as the payload of one PUBLISH, for links and bills that count packets. Pure.
 *
 * Only what this program wrote itself as json is packed; what came as it is (an envelope's own payload, a text) goes by
 * itself. Values keep their bytes, as they are cut out of the text that is on disk and never written anew.
 */

import type { Connection } from "../connection/mod.ts";
import { JsonObject, type Member } from "../core/json_text.ts";
import { MAX_PAYLOAD_BYTES, utf8Bytes } from "../core/message.ts";
import type { TakenMessage } from "../queue/mod.ts";
import type { Settings } from "../settings/mod.ts";

/** How samples are written: each whole, or their names once and a row of values for each. */
export type PackForm = "samples" | "columns";

/** How messages are packed. */
export interface Packing {
  /** Bytes of topic and payload of one PUBLISH at most; one message that is larger goes alone. */
  readonly mostBytes: number;
  /** What the server takes of them at most. */
  readonly serverBytes: number;
  readonly form: PackForm;
  /** How long a message may wait for others, ms. */
  readonly waitMs: number;
}

/** One PUBLISH, of one message or more. */
export interface Packet
  extends Pick<TakenMessage, "topic" | "qos" | "payload" | "payloadBytes" | "bytes"> {
  /** Of the messages in it, oldest first. */
  readonly seqs: readonly number[];
  /** It has the form of a pack, also with one sample. */
  readonly isPack: boolean;
}

/** Most samples in a pack: Firehose takes no more in batchMode. */
export const MOST_SAMPLES = 500;
/** Bytes of a PUBLISH besides topic and payload: head, lengths, packet id, properties with a topic alias. */
const PACKET_HEAD_BYTES = 13;

/** How messages share the packets of a session, by the settings and what the server says; undefined: not at all. */
export function packingOf(
  { pack, packAs, packWait, queueMaxBytes }: Settings,
  { facts }: Connection,
): Packing | undefined {
  const { maximumPacketSize = Infinity } = facts.limits;
  return pack === undefined ? undefined : {
    // What is in flight cannot be dropped for newer messages.
    mostBytes: Math.min(pack, queueMaxBytes / 4),
    serverBytes: maximumPacketSize - PACKET_HEAD_BYTES,
    form: packAs,
    waitMs: packWait,
  };
}

/** What is said of a text line in json: the one metric of it. */
const TEXT = "text";
/** Names that rows have besides those of metrics. */
const OWN_NAMES = ["seq", "time"];

const STRING = String.raw`"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"`;
/** A payload as {@linkcode payloadOf} writes it, up to its metrics. */
const HEAD = new RegExp(
  `^\\{"device":(${STRING})(,"tags":\\{${STRING}:${STRING}(?:,${STRING}:${STRING})*\\})?` +
    `,"seq":(\\d+),"time":(${STRING})(,"clock":${STRING})?,"metrics":(?=\\{)`,
);

/** A payload, taken apart; what is text is JSON. */
interface Sample {
  readonly device: string;
  /** As members of an object, with their comma; empty where there are none. */
  readonly tags: string;
  readonly clock: string;
  readonly seq: number;
  readonly time: string;
  readonly metrics: JsonObject;
}

/** The sample that a message is; undefined: it is not to be packed. */
function sampleOf({ seq, payload }: TakenMessage): Sample | undefined {
  const [head, device, tags = "", number, time, clock = ""] = HEAD.exec(payload) ?? [];
  if (head === undefined || Number(number) !== seq || !payload.endsWith("}")) return undefined;
  try {
    const metrics = new JsonObject(payload.slice(head.length, -1));
    const [first, second] = metrics.members;
    const isText = first?.key === TEXT && second === undefined && textOf(metrics, first)[0] === '"';
    if (isText || metrics.notFinite > 0) return undefined;
    return { device: device!, tags, clock, seq, time: time!, metrics };
  } catch {
    // A payload of somebody else, which begins like ours.
    return undefined;
  }
}

/** Whether its metrics can be columns: each has a name of its own, and none that of another column. */
function isTable({ metrics: { members, repeated } }: Sample): boolean {
  // A key that an object within a value holds twice does no harm; it is rare enough.
  return repeated === undefined && !members.some(({ key }) => OWN_NAMES.includes(key));
}

function textOf(object: JsonObject, { start, end }: Member): string {
  return object.text(start, end);
}

/** A pack that is being filled. */
export class Pack {
  readonly #packing: Packing;
  readonly #message: TakenMessage;
  readonly #isTable: boolean;
  /** What stands before the samples: with it all have the same device and, in columns, tags and mark of the clock. */
  readonly #head: string;
  /** Of columns, those of metrics. */
  readonly #names: readonly string[];
  readonly #entries: string[] = [];
  readonly #seqs: number[] = [];
  #payloadBytes: number;

  /** Begins a pack with a message; undefined: it goes by itself, as it is. */
  static begin(message: TakenMessage, packing: Packing): Pack | undefined {
    const sample = sampleOf(message);
    if (sample === undefined) return undefined;
    const pack = new Pack(message, sample, packing);
    const { bytes } = pack;
    return bytes > packing.serverBytes || pack.#payloadBytes > MAX_PAYLOAD_BYTES ? undefined : pack;
  }

  private constructor(message: TakenMessage, sample: Sample, packing: Packing) {
    this.#packing = packing;
    this.#message = message;
    this.#isTable = packing.form === "columns" && isTable(sample);
    this.#names = this.#isTable ? sample.metrics.members.map(({ key }) => key) : [];
    this.#head = this.#headOf(sample);
    const entry = this.#entryOf(message, sample)!;
    this.#payloadBytes = utf8Bytes(this.#open + entry) + CLOSE.length;
    this.#push(message, entry);
  }

  /** Of topic and payload. */
  get bytes(): number {
    const { bytes, payloadBytes } = this.#message;
    return bytes - payloadBytes + this.#payloadBytes;
  }

  /** Of the messages in it. */
  get seqs(): readonly number[] {
    return this.#seqs;
  }

  /** Adds a message; false: it does not belong into this pack, or has no room. */
  add(message: TakenMessage): boolean {
    const { topic, qos } = this.#message;
    if (message.topic !== topic || message.qos !== qos || this.#seqs.length === MOST_SAMPLES) {
      return false;
    }
    const { mostBytes, serverBytes } = this.#packing;
    const leftBytes = Math.min(mostBytes, serverBytes) - this.bytes;
    // A row has at least the value of each name, a comma apart.
    if (leftBytes <= (this.#isTable ? 2 * this.#names.length : message.payloadBytes)) return false;
    const sample = sampleOf(message);
    const isAlike = sample !== undefined &&
      (this.#packing.form === "columns" && isTable(sample)) === this.#isTable &&
      this.#headOf(sample) === this.#head;
    const entry = isAlike ? this.#entryOf(message, sample) : undefined;
    if (entry === undefined) return false;
    const bytes = 1 + (this.#isTable ? utf8Bytes(entry) : message.payloadBytes);
    if (bytes > leftBytes) return false;
    this.#payloadBytes += bytes;
    this.#push(message, entry);
    return true;
  }

  /** The packet of what is in it. */
  close(): Packet {
    const { topic, qos } = this.#message;
    const payload = `${this.#open}${this.#entries.join(",")}${CLOSE}`;
    const { bytes } = this;
    return {
      seqs: this.#seqs,
      topic,
      qos,
      payload,
      payloadBytes: this.#payloadBytes,
      bytes,
      isPack: true,
    };
  }

  get #open(): string {
    const columns = `"names":${JSON.stringify([...OWN_NAMES, ...this.#names])},"rows"`;
    return `${this.#head},${this.#isTable ? columns : '"samples"'}:[`;
  }

  #headOf({ device, tags, clock }: Sample): string {
    return `{"device":${device}${this.#isTable ? tags + clock : ""}`;
  }

  #push({ seq }: TakenMessage, entry: string): void {
    this.#seqs.push(seq);
    this.#entries.push(entry);
  }

  /** A sample as it stands in the pack; undefined: it has a name that the pack does not have. */
  #entryOf({ payload }: TakenMessage, { seq, time, metrics }: Sample): string | undefined {
    if (!this.#isTable) return payload;
    const values = new Map(metrics.members.map((member) => [member.key, textOf(metrics, member)]));
    const row = this.#names.map((name) => values.get(name));
    const isWhole = row.filter((value) => value !== undefined).length === values.size;
    return isWhole
      ? `[${[seq, time, ...row.map((value) => value ?? "null")].join(",")}]`
      : undefined;
  }
}

/** What ends a pack. */
const CLOSE = "]}";
