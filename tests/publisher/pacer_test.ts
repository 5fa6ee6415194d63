import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { AWS_BYTES_PER_S, createPacer, type Rates } from "../../lib/publisher/pacer.ts";
import { seeded } from "../../tools/shared/seeded.ts";

const AWS: Rates = { messages: 100, bytes: AWS_BYTES_PER_S };

/** A message that left. */
interface Sent {
  readonly atMs: number;
  readonly bytes: number;
}

/** What leaves within a time, by a clock that moves in steps of a timer and is up to `lateMs` late. */
function departures(
  rates: Rates,
  sizeOf: () => number,
  durationMs: number,
  lateMs: () => number = () => 0,
): Sent[] {
  const pacer = createPacer();
  const sent: Sent[] = [];
  for (let nowMs = 0; nowMs < durationMs;) {
    const waitMs = pacer.waitMs(nowMs);
    if (waitMs > 0) {
      nowMs += Math.ceil(waitMs) + lateMs();
      continue;
    }
    const bytes = sizeOf();
    sent.push({ atMs: nowMs, bytes });
    pacer.sent(nowMs, bytes, rates);
  }
  return sent;
}

/** The most of something that falls into any second. */
function densest(sent: readonly Sent[], measure: (message: Sent) => number): number {
  const inSecond = (from: number) => sent.filter(({ atMs }) => atMs >= from && atMs < from + 1000);
  return Math.max(
    ...sent.map(({ atMs }) => inSecond(atMs).reduce((sum, each) => sum + measure(each), 0)),
  );
}

Deno.test("pacer lets no second hold more than 100 messages, and nearly that many (P6)", () => {
  const sent = departures(AWS, () => 200, 5000);
  assertLessOrEqual(densest(sent, () => 1), 100);
  assert(sent.length >= 450, `${sent.length} in 5 s`);
});

Deno.test("pacer lets no second hold more than 100 messages though some arrive 90 ms late (P6)", () => {
  const random = seeded(6);
  const arrived = departures(AWS, () => 200, 20_000)
    .map((message) => ({ ...message, atMs: message.atMs + random() * 90 }));
  assertLessOrEqual(densest(arrived, () => 1), 100);
});

for (const bytes of [200, 40_000, 65_536, 100_000, 131_072, 131_328]) {
  Deno.test(`pacer lets no second hold more than 512 KiB in messages of ${bytes} bytes (P6)`, () => {
    const sent = departures(AWS, () => bytes, 10_000);
    assertLessOrEqual(densest(sent, (message) => message.bytes), AWS_BYTES_PER_S);
  });
}

Deno.test("pacer lets no second hold more than 512 KiB, and one message, of any sizes (P6)", () => {
  const random = seeded(7);
  const sent = departures(AWS, () => Math.ceil(random() * 131_072), 60_000);
  assertLessOrEqual(densest(sent, ({ bytes }) => bytes), AWS_BYTES_PER_S + 131_072);
});

Deno.test("pacer reaches 1,000 a second with timers of 1 ms", () => {
  const sent = departures({ messages: 1000, bytes: undefined }, () => 10, 5000);
  assert(sent.length >= 4500, `${sent.length} in 5 s`);
});

Deno.test("pacer makes up for timers that are late", () => {
  const random = seeded(8);
  const late = () => random() * 4;
  const sent = departures({ messages: 100, bytes: undefined }, () => 10, 5000, late);
  assert(sent.length >= 450, `${sent.length} in 5 s`);
  assertLessOrEqual(densest(sent, () => 1), 100);
});

Deno.test("pacer gives no credit for a pause", () => {
  const pacer = createPacer();
  const rates = { messages: 10, bytes: undefined };
  pacer.sent(0, 1, rates);
  pacer.sent(60_000, 1, rates);
  const waitMs = pacer.waitMs(60_000);
  assert(waitMs > 100 && waitMs <= 110, `${waitMs} ms`);
});

Deno.test("pacer without rates never waits", () => {
  const pacer = createPacer();
  for (let i = 0; i < 100; i++) pacer.sent(0, 1e6, { messages: undefined, bytes: undefined });
  assertEquals(pacer.waitMs(0), 0);
});
