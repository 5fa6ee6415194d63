import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { backoffMs, slowBackoffMs } from "../lib/backoff.ts";
import { seeded } from "./seeded.ts";

Deno.test("backoff is never under a second and never over its limit", () => {
  for (let n = 0; n < 80; n++) {
    for (const random of [0, 0.5, 0.999_999]) {
      const ms = backoffMs(n, random, 120_000);
      assert(ms >= 1000 && ms <= 120_000, `n ${n}, random ${random}: ${ms}`);
    }
  }
});

Deno.test("backoff after a good session is 1 to 2 s (C3)", () => {
  assertEquals(backoffMs(0, 0, 120_000), 1000);
  assertEquals(backoffMs(0, 1, 120_000), 2000);
});

Deno.test("backoff is neither constant nor strictly doubling, and its envelope grows (C1)", () => {
  const random = seeded(1);
  const delays = Array.from({ length: 12 }, (_, n) => backoffMs(n, random(), 120_000));
  assert(new Set(delays).size > 10, "delays repeat");
  const doubles = delays.slice(1).every((delay, i) => Math.abs(delay / delays[i]! - 2) < 0.1);
  assert(!doubles, "delays double strictly");
  assert(Math.max(...delays.slice(6)) > Math.max(...delays.slice(0, 6)), "envelope does not grow");
});

Deno.test("backoff with a limit of 1 s is 1 s", () => {
  assertEquals(backoffMs(9, 0.7, 1000), 1000);
});

Deno.test("twelve CONNECTs of which ten go unanswered take at most 700 s (C1)", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seeded(seed);
    let ms = 0;
    for (let n = 0; n < 11; n++) ms += backoffMs(n, random(), 120_000);
    assertLessOrEqual(ms + 10 * 15_000, 700_000, `seed ${seed}`);
  }
});

Deno.test("slow backoff stays at the slow end (C4)", () => {
  assertEquals([slowBackoffMs(0, 120_000), slowBackoffMs(1, 120_000)], [90_000, 120_000]);
});
