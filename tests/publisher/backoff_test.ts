import { assert, assertEquals, assertThrows } from "@std/assert";
import { backoffMs, slowBackoffMs } from "../../lib/publisher/backoff.ts";
import { judgeWaits } from "../support/waits.ts";

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

Deno.test("judge of waits knows what is no jittered back-off", () => {
  assertEquals(judgeWaits([1500, 900, 3000, 5000]), "too-soon");
  assertEquals(judgeWaits([1000, 1050, 1000, 1090]), "constant");
  assertEquals(judgeWaits([1000, 2000, 3000, 4000, 5050]), "linear");
  assertEquals(judgeWaits([1000, 2000, 4000, 8100, 16_000]), "doubling");
  assertEquals(judgeWaits([3000, 1500, 2200, 1100, 2900]), "not-growing");
  assertEquals(judgeWaits([1200, 2900, 1800, 6100, 3000]), "jitter");
  assertThrows(() => judgeWaits([1000, 2000]), RangeError);
});

Deno.test("slow backoff stays at the slow end (C4)", () => {
  assertEquals([slowBackoffMs(0, 120_000), slowBackoffMs(1, 120_000)], [90_000, 120_000]);
});
