/** What a session sends next, packed: how long it waits for others, how fast it goes, and whom it holds apart. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { Connection } from "../../lib/connection/types.ts";
import { PublishRefusedError } from "../../lib/connection/reason_codes.ts";
import type { Metrics } from "../../lib/core/message.ts";
import { Delivery, type DeliveryOptions } from "../../lib/publisher/delivery.ts";
import { AWS_BYTES_PER_S, createPacer } from "../../lib/publisher/pacer.ts";
import type { Packet, Packing } from "../../lib/publisher/packing.ts";
import { Poison } from "../../lib/publisher/poison.ts";
import { createReports } from "../../lib/publisher/reports.ts";
import { type FakeTime, fakeTime } from "../support/fake_time.ts";
import { seeded } from "../../tools/shared/seeded.ts";
import { range, TARGET } from "../support/publishing.ts";
import { memoryQueue } from "../support/queueing.ts";
import { taken } from "../support/samples.ts";

const PACKING: Packing = {
  mostBytes: 5120,
  serverBytes: Infinity,
  form: "samples",
  waitMs: 0,
};

/** A PUBLISH that was sent, and when. */
interface Sent extends Packet {
  readonly atMs: number;
  /** Its PUBACK, with a refusal if one is given. */
  readonly settle: (why?: PublishRefusedError) => void;
}

/** A device on a clock of the test's own. */
interface Device extends Disposable {
  readonly time: FakeTime;
  readonly sent: Sent[];
  readonly queue: ReturnType<typeof memoryQueue>;
  readonly delivery: Delivery;
  /** How many were sent before this session. */
  readonly sessionAt: number;
  /** The session is to be replaced. */
  readonly isGivenUp: boolean;
  /** Puts so many samples, and says so. */
  put(samples: number, metrics?: Metrics): void;
  /** Ends the session, and begins the next one. */
  reconnect(isLost?: boolean): void;
}

/** Opens a session over what waits already. */
function openDevice(
  packing: Partial<Packing> = {},
  { waiting = 0, isAcked = true, ...more }:
    & { waiting?: number; isAcked?: boolean }
    & Partial<DeliveryOptions> = {},
): Device {
  const time = fakeTime();
  const queue = memoryQueue();
  const sent: Sent[] = [];
  const poison = new Poison();
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const put: Device["put"] = (samples, metrics = { n: 1 }) => {
    queue.put(Array.from({ length: samples }, (_, at) => taken(queue.nextSeq + at, metrics)));
  };
  if (waiting > 0) put(waiting);
  let sessionAt = 0;
  let isGivenUp = false;
  const open = () =>
    new Delivery({
      connection: {
        publish(packet: Packet, done: Sent["settle"]) {
          sent.push({ ...packet, atMs: time.nowMs(), settle: done });
          if (isAcked) setTimeout(done, 1);
        },
        doings: () => ({ sent: 0, acknowledged: 0, ms: 0 }),
        abort: () => void (isGivenUp = true),
      } as unknown as Connection,
      queue,
      poison,
      pacer: createPacer(),
      reports: createReports(log, time.nowMs),
      log,
      target: TARGET,
      inflight: 20,
      packing: { ...PACKING, ...packing },
      ackTimeoutMs: 1e9,
      rates: {
        live: { messages: undefined, bytes: undefined },
        backlog: { messages: undefined, bytes: undefined },
      },
      onAccepted() {},
      monotonicMs: time.nowMs,
      ...more,
    });
  let delivery = open();
  return {
    time,
    sent,
    queue,
    get delivery() {
      return delivery;
    },
    get sessionAt() {
      return sessionAt;
    },
    get isGivenUp() {
      return isGivenUp;
    },
    put(samples, metrics) {
      put(samples, metrics);
      delivery.wake();
    },
    reconnect(isLost = true) {
      delivery.stop(isLost);
      sessionAt = sent.length;
      isGivenUp = false;
      delivery = open();
    },
    [Symbol.dispose]() {
      delivery.stop(false);
      queue.close();
      time[Symbol.dispose]();
    },
  };
}

const seqsIn = (sent: readonly Packet[]) => sent.map(({ seqs }) => [...seqs]);

Deno.test("a pack leaves when its first sample has waited packWait, and not before (K5)", () => {
  using device = openDevice({ waitMs: 60_000 });
  for (let n = 1; n <= 60; n++) {
    device.put(1);
    device.time.pass(1000);
    assertEquals(device.sent.length, n < 60 ? 0 : 1, `second ${n}`);
  }
  assertEquals(seqsIn(device.sent), [range(1, 60)]);
  assertEquals(device.sent[0]!.atMs, 60_000);
  device.time.pass(10_000);
  device.put(1);
  device.time.pass(59_999);
  assertEquals(device.sent.length, 1);
  device.time.pass(1);
  assertEquals(seqsIn(device.sent.slice(1)), [[61]]);
});

Deno.test("a pack leaves when it is full, and what is left waits its own time (K5)", () => {
  using device = openDevice({ waitMs: 60_000 });
  device.put(10, { text: "x".repeat(1000), n: 1 });
  assertEquals(seqsIn(device.sent), [range(1, 4), range(5, 8)]);
  device.time.pass(30_000);
  device.put(1, { text: "x".repeat(1000), n: 1 });
  device.time.pass(29_999);
  assertEquals(device.sent.length, 2);
  device.time.pass(1);
  assertEquals(seqsIn(device.sent.slice(2)), [[9, 10, 11]]);
});

Deno.test("a pack leaves at once while a backlog waits, and at the end of a run (K5)", () => {
  using device = openDevice({ waitMs: 3_600_000 }, { waiting: 3 });
  assertEquals(seqsIn(device.sent), [[1, 2, 3]]);
  device.time.pass(5);
  assert(device.delivery.isIdle());
  device.put(2);
  assertEquals(device.sent.length, 1);
  // The backlog is delivered, though a pack waits.
  assert(device.delivery.isIdle());
  device.delivery.hurry();
  assertEquals(seqsIn(device.sent.slice(1)), [[4, 5]]);
  device.put(1);
  assertEquals(seqsIn(device.sent.slice(2)), [[6]]);
});

Deno.test("samples that the window kept waiting have waited, too (K5)", () => {
  using device = openDevice({ waitMs: 10_000 }, { inflight: 1, isAcked: false });
  device.put(1);
  device.time.pass(10_000);
  assertEquals(seqsIn(device.sent), [[1]]);
  device.time.pass(1000);
  device.put(1);
  device.time.pass(9000);
  device.put(1);
  device.sent[0]!.settle();
  device.time.pass(999);
  assertEquals(device.sent.length, 1);
  device.time.pass(1);
  assertEquals(seqsIn(device.sent.slice(1)), [[2, 3]]);
});

Deno.test("a session that ends while a pack waits gives its samples back (K5)", () => {
  using device = openDevice({ waitMs: 10_000 });
  device.put(3);
  device.reconnect();
  assertEquals(seqsIn(device.sent), [[1, 2, 3]]);
  // No timer of the first session is left: accepting, and the wait for a PUBACK.
  assertEquals(device.time.timers, 2);
});

Deno.test("a pack holds no more than a quarter of what the queue may, as what is in flight cannot be dropped (K5)", () => {
  using device = openDevice({ waitMs: 60_000 });
  const quarter = device.queue.load.most.messages / 4;
  device.put(quarter + 1, {});
  for (const { seqs } of device.sent) assertLessOrEqual(seqs.length, quarter);
});

Deno.test("rates count packets, and no second holds more bytes than AWS takes (K4, P6)", () => {
  for (const mostBytes of [5120, 40_000, 128 * 1024]) {
    const rates = { messages: 100, bytes: AWS_BYTES_PER_S };
    using device = openDevice({ mostBytes }, {
      waiting: 6000,
      rates: { live: rates, backlog: rates },
    });
    device.time.pass(60_000);
    assertEquals(device.sent.flatMap(({ seqs }) => seqs), range(1, 6000));
    const window: Sent[] = [];
    for (const sent of device.sent) {
      window.push(sent);
      while (window[0]!.atMs <= sent.atMs - 1000) window.shift();
      assertLessOrEqual(window.length, 100);
      assertLessOrEqual(window.reduce((sum, { bytes }) => sum + bytes, 0), AWS_BYTES_PER_S);
    }
    // One by one it would take a minute.
    assertLessOrEqual(device.sent.at(-1)!.atMs, 6000);
  }
});

Deno.test("after a loss what was in flight goes one by one, and what follows is packed again (K3)", () => {
  using device = openDevice({}, { waiting: 30, isAcked: false });
  assertEquals(seqsIn(device.sent), [range(1, 30)]);
  device.put(10);
  assertEquals(device.sent.length, 2);
  device.reconnect();
  device.put(5);
  for (let at = 2; at < device.sent.length; at++) {
    device.sent[at]!.settle();
    device.time.pass(1);
  }
  const again = seqsIn(device.sent.slice(2));
  assertEquals(again, [...range(1, 40).map((seq) => [seq]), range(41, 45)]);
});

Deno.test("a pack that PUBACK refuses is sent again one by one, and what follows is packed again (K3)", () => {
  using device = openDevice({}, { waiting: 20, isAcked: false });
  device.sent[0]!.settle(new PublishRefusedError(0x90, "dt/a"));
  device.put(5);
  for (let at = 1; at < device.sent.length; at++) {
    const { seqs, settle } = device.sent[at]!;
    settle(seqs.includes(7) ? new PublishRefusedError(0x90, "dt/a") : undefined);
    device.time.pass(1);
  }
  const later = seqsIn(device.sent.slice(1));
  assertEquals(later.filter((seqs) => seqs.length > 1), [range(21, 25)]);
  assertEquals(later.filter(([seq]) => seq === 7).length, 2);
  assertEquals(device.queue.stats().quarantined, 1);
  assertEquals(device.queue.waiting.messages, 0);
});

Deno.test("a pack that waits is taken apart when a message is refused (K3)", () => {
  using device = openDevice({ waitMs: 60_000 }, { waiting: 1, isAcked: false });
  device.put(3);
  device.sent[0]!.settle(new PublishRefusedError(0x90, "dt/a"));
  assertEquals(seqsIn(device.sent.slice(1)), [[2], [3], [4]]);
});

Deno.test("whatever is cut, refused or ends sessions, each sample arrives but those at fault (K2, K3, P4, P5, L2)", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed);
    const below = (most: number) => 1 + Math.floor(random() * most);
    const samples = 400;
    /** At these the server hangs up, those it refuses. */
    const [deadly, refused] = [
      new Set([below(samples)]),
      new Set([below(samples), below(samples)]),
    ];
    for (const seq of refused) deadly.delete(seq);
    const bad = [...deadly, ...refused];
    const packing = {
      mostBytes: 1024 + below(4000),
      waitMs: seed % 2 * 50,
      form: seed % 3 ? "samples" : "columns",
    } as const;
    using device = openDevice(packing, {
      isAcked: false,
      inflight: below(8),
    });
    let [put, served, cuts] = [0, 0, 0];
    const arrived: number[] = [];
    for (let turn = 0; device.queue.waiting.messages > 0 || put < samples; turn++) {
      assert(turn < 20_000, `seed ${seed} goes on for ever`);
      if (put < samples && random() < 0.3) {
        const more = Math.min(below(60), samples - put);
        device.put(more);
        put += more;
      }
      served = Math.max(served, device.sessionAt);
      const next = device.sent[served];
      if (random() < 0.003) {
        cuts++;
        device.reconnect();
      } else if (device.isGivenUp || next?.seqs.some((seq) => deadly.has(seq))) {
        device.reconnect();
      } else if (next !== undefined) {
        served++;
        const isRefused = next.seqs.some((seq) => refused.has(seq));
        if (!isRefused) arrived.push(...next.seqs);
        next.settle(isRefused ? new PublishRefusedError(0x99, "dt/a") : undefined);
      }
      device.time.pass(1);
    }
    const lost = range(1, samples).filter((seq) => !arrived.includes(seq));
    assertEquals(lost, bad.toSorted((a, b) => a - b), `seed ${seed}, ${cuts} cuts`);
    assertEquals(device.queue.stats().quarantined, bad.length);
  }
});
