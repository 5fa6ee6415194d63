import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { AWS_BYTES_PER_S, createPacer, type Rates } from "../lib/pacing.ts";

/** When messages leave within a time, by a clock that moves in steps of a timer. */
function departures(rates: Rates, bytes: number, durationMs: number): number[] {
  const pacer = createPacer();
  const times: number[] = [];
  for (let nowMs = 0; nowMs < durationMs;) {
    const waitMs = pacer.waitMs(nowMs);
    if (waitMs > 0) {
      nowMs += Math.ceil(waitMs);
      continue;
    }
    times.push(nowMs);
    pacer.sent(nowMs, bytes, rates);
  }
  return times;
}

/** The most that fall into any second. */
function densest(times: readonly number[]): number {
  return Math.max(...times.map((at) => times.filter((t) => t >= at && t < at + 1000).length));
}

Deno.test("pacer lets no second hold more than 100 messages, and nearly that many (P6)", () => {
  const times = departures({ messages: 100, bytes: AWS_BYTES_PER_S }, 200, 5000);
  assertLessOrEqual(densest(times), 100);
  assert(times.length >= 450, `${times.length} in 5 s`);
});

Deno.test("pacer lets no second hold more than 512 KiB (P6)", () => {
  const times = departures({ messages: 100, bytes: AWS_BYTES_PER_S }, 131_072, 10_000);
  assertLessOrEqual(densest(times) * 131_072, AWS_BYTES_PER_S);
});

Deno.test("pacer reaches 1,000 a second with timers of 1 ms", () => {
  const times = departures({ messages: 1000, bytes: undefined }, 10, 5000);
  assert(times.length >= 4700, `${times.length} in 5 s`);
});

Deno.test("pacer gives no credit for a pause", () => {
  const pacer = createPacer();
  const rates = { messages: 10, bytes: undefined };
  pacer.sent(0, 1, rates);
  pacer.sent(60_000, 1, rates);
  assertEquals(Math.round(pacer.waitMs(60_000)), 102);
});

Deno.test("pacer without rates never waits", () => {
  const pacer = createPacer();
  for (let i = 0; i < 100; i++) pacer.sent(0, 1e6, { messages: undefined, bytes: undefined });
  assertEquals(pacer.waitMs(0), 0);
});
