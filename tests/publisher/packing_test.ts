/** Samples in packs: what comes out is what was put in, and no pack is larger than it may be. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { type Json, type Metrics, RawMetrics, utf8Bytes } from "../../lib/core/message.ts";
import { MOST_SAMPLES, Pack, type Packet, type Packing } from "../../lib/publisher/packing.ts";
import type { TakenMessage } from "../../lib/queue/mod.ts";
import { seeded } from "../../tools/shared/seeded.ts";
import { ownPayload, samplesOf, taken } from "../support/samples.ts";

const PACKING: Packing = {
  mostBytes: 5120,
  serverBytes: Infinity,
  form: "samples",
  waitMs: 0,
};
const COLUMNS: Packing = { ...PACKING, form: "columns" };

/** Messages as packets, in their order. */
function packed(messages: readonly TakenMessage[], packing: Packing): Packet[] {
  const packets: Packet[] = [];
  let pack: Pack | undefined;
  for (const message of messages) {
    if (pack?.add(message)) continue;
    if (pack) packets.push(pack.close());
    pack = Pack.begin(message, packing);
    if (pack === undefined) {
      const { seq, ...rest } = message;
      packets.push({ ...rest, seqs: [seq], isPack: false });
    }
  }
  return pack ? [...packets, pack.close()] : packets;
}

const seqsOf = (packets: readonly Packet[]) => packets.map(({ seqs }) => [...seqs]);

Deno.test("samples are written whole, and columns say their names once (K1)", () => {
  const messages = [taken(1, { a: 1, b: "x" }), taken(2, { a: 2, b: "y" })];
  const [samples] = packed(messages, PACKING);
  assertEquals(
    samples!.payload,
    `{"device":"gw-7","samples":[${messages[0]!.payload},${messages[1]!.payload}]}`,
  );
  const [columns] = packed(messages, COLUMNS);
  assertEquals(
    columns!.payload,
    '{"device":"gw-7","names":["seq","time","a","b"],"rows":' +
      '[[1,"1970-01-01T00:00:01.000Z",1,"x"],[2,"1970-01-01T00:00:02.000Z",2,"y"]]}',
  );
  assertEquals([samples!.isPack, samples!.seqs, columns!.seqs], [true, [1, 2], [1, 2]]);
});

Deno.test("one sample has the form of a pack, too (K1)", () => {
  const message = taken(7, { a: 1 });
  const [packet] = packed([message], PACKING);
  assertEquals(packet!.payload, `{"device":"gw-7","samples":[${message.payload}]}`);
});

for (const packing of [PACKING, COLUMNS]) {
  Deno.test(`values keep the bytes they came in, in ${packing.form} (K1)`, () => {
    const values = ["20.0", "1e3", "9007199254740993", "-0.00", '"\\u00e9\\/"', '{"a" : [1 ,2]}'];
    const raw = `{${values.map((value, at) => `"v${at}": ${value}`).join(" , ")}}`;
    const [{ payload }] = packed([1, 2].map((seq) => taken(seq, new RawMetrics(raw))), packing) as [
      Packet,
    ];
    for (const value of values) assertEquals(payload.split(value).length, 3, value);
    assertEquals(samplesOf(payload).length, 2);
  });

  Deno.test(`a sample that fills a pack to its last byte is in it, in ${packing.form} (K4)`, () => {
    const messages = [taken(1, { a: "x" }), taken(2, { a: "yyy" }), taken(3, { a: "zzzz" })];
    const [{ bytes }] = packed(messages.slice(0, 2), packing) as [Packet];
    const exact = packed(messages, { ...packing, mostBytes: bytes });
    assertEquals(seqsOf(exact), [[1, 2], [3]]);
    assertEquals(exact[0]!.bytes, bytes);
    assertEquals(seqsOf(packed(messages, { ...packing, mostBytes: bytes - 1 })), [[1], [2], [3]]);
    // The server's limit is kept as well.
    assertEquals(seqsOf(packed(messages, { ...packing, serverBytes: bytes - 1 })), [[1], [2], [3]]);
  });

  Deno.test(`a pack holds ${MOST_SAMPLES} samples at most, in ${packing.form} (K4)`, () => {
    const messages = Array.from({ length: MOST_SAMPLES + 1 }, (_, at) => taken(at + 1, { a: at }));
    const packets = packed(messages, { ...packing, mostBytes: 128 * 1024 });
    assertEquals(packets.map(({ seqs }) => seqs.length), [MOST_SAMPLES, 1]);
  });

  Deno.test(`what has another topic, QoS or device begins another pack, in ${packing.form} (K2)`, () => {
    const messages = [
      taken(1, { a: 1 }),
      taken(2, { a: 1 }, { topic: "dt/b" }),
      taken(3, { a: 1 }, { topic: "dt/b" }),
      taken(4, { a: 1 }, { topic: "dt/b", qos: 0 }),
      taken(5, { a: 1 }),
      taken(6, { a: 1 }, { device: "gw-8" }),
    ];
    assertEquals(seqsOf(packed(messages, packing)), [[1], [2, 3], [4], [5], [6]]);
  });

  Deno.test(`what did not become json here goes by itself, as it is, in ${packing.form} (K6)`, () => {
    const ours = taken(2, { a: 1 });
    for (
      const payload of [
        "21.5",
        '{"state":{"reported":{"a":1}}}',
        '{"device":"gw-7"}',
        // A payload of somebody else, that begins like ours: with another seq, and broken.
        taken(9, { a: 1 }).payload,
        '{"device":"gw-7","seq":3,"time":"x","metrics":{"a":}}',
        '{"device":"gw-7","seq":3,"time":"x","metrics":{"a":1}',
        '{"device":"gw-7","seq":3,"time":"\n","metrics":{}}',
        '{"device":"gw-7","seq":3,"time":"x","metrics":{"a":NaN}}',
        taken(3, { text: "pump started" }).payload,
      ]
    ) {
      const packets = packed([ours, ownPayload(3, payload), taken(4, { a: 1 })], packing);
      assertEquals(seqsOf(packets), [[2], [3], [4]], payload);
      assertEquals([packets[1]!.isPack, packets[1]!.payload], [false, payload]);
    }
  });

  Deno.test(`a message over the size goes alone, and as it is where the form has no room, in ${packing.form} (K6)`, () => {
    const large = taken(2, { a: "x".repeat(6000) });
    const packets = packed([taken(1, { a: "" }), large, taken(3, { a: "" })], packing);
    assertEquals(seqsOf(packets), [[1], [2], [3]]);
    assertEquals(samplesOf(packets[1]!.payload).length, 1);
    assert(packets[1]!.isPack);
    // Of AWS's 128 KiB nothing is left for the form of a pack.
    const largest = taken(1, { a: "x".repeat(131_000) });
    assertEquals(packed([largest], packing).map(({ payload }) => payload), [largest.payload]);
    const { bytes } = packed([large], packing)[0]!;
    const bare = packed([large], { ...packing, serverBytes: bytes - 1 });
    assertEquals(bare.map(({ payload }) => payload), [large.payload]);
  });
}

Deno.test("a sample with other names begins another pack of columns, and what is absent is null (K1)", () => {
  const messages = [
    taken(1, { a: 1, b: 2 }),
    taken(2, { b: 3 }),
    taken(3, { b: 4, c: 5 }),
    taken(4, { c: 6, b: 7 }),
    taken(5, { c: 8, b: 9 }, { clock: "unsynchronised" }),
    taken(6, { c: 8, b: 9 }, { tags: { site: "Nürnberg" } }),
  ];
  const packets = packed(messages, COLUMNS);
  assertEquals(seqsOf(packets), [[1, 2], [3, 4], [5], [6]]);
  const documents = packets.map(({ payload }) => JSON.parse(payload));
  assertEquals(documents[0].rows[1].slice(2), [null, 3]);
  assertEquals(documents[1].names, ["seq", "time", "b", "c"]);
  assertEquals(documents[1].rows[1].slice(2), [7, 6]);
  assertEquals([documents[2].clock, documents[3].tags], ["unsynchronised", { site: "Nürnberg" }]);
  // Whole, the samples say all that themselves.
  assertEquals(seqsOf(packed(messages, PACKING)), [[1, 2, 3, 4, 5, 6]]);
});

Deno.test("what cannot be a column is written as samples (K1)", () => {
  const odd = ['{"seq":1}', '{"time":2,"a":1}', '{"a":1,"a":2}'];
  const messages = [
    taken(1, { a: 1 }),
    ...odd.map((raw, at) => taken(at + 2, new RawMetrics(raw))),
    taken(5, { a: 1 }),
  ];
  const packets = packed(messages, COLUMNS);
  assertEquals(seqsOf(packets), [[1], [2, 3, 4], [5]]);
  assertEquals("samples" in JSON.parse(packets[1]!.payload), true);
});

/** A value of any kind, but null: in columns that means absent. */
function anyValue(random: ReturnType<typeof seeded>, depth = 0): Json {
  const pick = Math.floor(random() * (depth > 1 ? 4 : 6));
  const text = Array.from(
    { length: Math.floor(random() * 12) },
    () =>
      String.fromCodePoint(
        [34, 92, 10, 44, 91, 93, 123, 125, 233, 0x1f600, 97, 48][
          Math.floor(random() * 12)
        ]!,
      ),
  ).join("");
  if (pick === 0) return text;
  if (pick === 1) return random() < 0.5;
  if (pick < 4) return Math.round(random() * 1e6) / 10 ** Math.floor(random() * 6);
  return pick === 4 ? [anyValue(random, depth + 1), null] : { [text]: anyValue(random, depth + 1) };
}

Deno.test("whatever is put comes out of the packs: each sample once, in order, within the bounds (K1, K2, K4)", () => {
  const random = seeded(18);
  const NAMES = ["a", "b", "c", 'q"\\', "é", "seq", "time", "text", "device"];
  for (let round = 0; round < 400; round++) {
    const messages: TakenMessage[] = [];
    const put: unknown[] = [];
    for (let seq = 1; seq <= 60; seq++) {
      const names = NAMES.filter(() => random() < (round % 2 ? 0.9 : 0.4));
      const metrics: Metrics = Object.fromEntries(names.map((name) => [name, anyValue(random)]));
      const more = {
        topic: random() < 0.05 ? "dt/b" : "dt/a",
        qos: random() < 0.05 ? 0 as const : 1 as const,
        device: random() < 0.02 ? 'gw "8"\\' : "gw-7",
        ...(random() < 0.03 && { tags: { 'site, "1"': "Ü}" } }),
        ...(random() < 0.03 && { clock: "unsynchronised" as const }),
      };
      messages.push(taken(seq, metrics, more));
      put.push(JSON.parse(messages.at(-1)!.payload));
    }
    const mostBytes = 1024 + Math.floor(random() * 8000);
    for (const form of ["samples", "columns"] as const) {
      const packets = packed(messages, { ...PACKING, mostBytes, form });
      const found = packets.flatMap(({ payload }) => samplesOf(payload));
      assertEquals(found, put, `round ${round}, ${form}`);
      assertEquals(packets.flatMap(({ seqs }) => seqs), messages.map(({ seq }) => seq));
      for (const { seqs, topic, qos, payload, payloadBytes, bytes } of packets) {
        assertEquals(payloadBytes, utf8Bytes(payload));
        assertEquals(bytes, payloadBytes + utf8Bytes(topic));
        if (seqs.length > 1) assertLessOrEqual(bytes, mostBytes);
        for (const seq of seqs) {
          assertEquals([messages[seq - 1]!.topic, messages[seq - 1]!.qos], [topic, qos]);
        }
      }
    }
  }
});
