/** PINGREQ and its PINGRESP, in a time that the test moves. */

import { assertEquals } from "@std/assert";
import { KeepAlive } from "../../lib/connection/keep_alive.ts";

/** A keep-alive, and what it did when. */
function watch(keepAliveS: number, ackTimeoutS: number) {
  let nowMs = 0;
  let due: { readonly atMs: number; readonly action: () => void } | undefined;
  const seen: string[] = [];
  const keepAlive = new KeepAlive({
    keepAliveMs: keepAliveS * 1000,
    ackTimeoutMs: ackTimeoutS * 1000,
    ping() {
      seen.push(`PINGREQ ${nowMs / 1000}`);
      keepAlive.sent();
    },
    onSilence: () => void seen.push(`silence ${nowMs / 1000}`),
    monotonicMs: () => nowMs,
    later(action, ms) {
      due = { atMs: nowMs + ms, action };
      return () => void (due = undefined);
    },
  });
  /** Lets the time pass; with `isStopped` no timer fires before its end. */
  const until = (s: number, isStopped = false) => {
    while (due !== undefined && due.atMs <= s * 1000) {
      const { atMs, action } = due;
      due = undefined;
      nowMs = isStopped ? s * 1000 : atMs;
      action();
    }
    nowMs = s * 1000;
  };
  return { keepAlive, seen, until };
}

Deno.test("keep-alive counts from the last packet sent, whatever is received (D20)", () => {
  const { keepAlive, seen, until } = watch(30, 20);
  until(1);
  keepAlive.sent();
  for (const s of [18, 30]) {
    until(s);
    // A late PUBACK.
    keepAlive.received();
  }
  until(32);
  assertEquals(seen, ["PINGREQ 31"]);
});

Deno.test("keep-alive asks when nothing is received, though something is sent all the time (L1)", () => {
  const { keepAlive, seen, until } = watch(60, 20);
  for (let s = 1; s <= 81; s++) {
    until(s);
    keepAlive.sent();
  }
  assertEquals(seen, ["PINGREQ 60", "silence 80"]);
});

Deno.test("keep-alive knows a dead link within 1.5 times its length, the shortest one too (L1)", () => {
  const { seen, until } = watch(30, 20);
  until(60);
  assertEquals(seen, ["PINGREQ 25", "silence 45"]);
});

Deno.test("keep-alive waits for PINGRESP as long as --ack-timeout says (D20)", () => {
  const { keepAlive, seen, until } = watch(30, 60);
  until(70);
  // Meanwhile it goes on speaking, as the server counts.
  assertEquals(seen, ["PINGREQ 15", "PINGREQ 45"]);
  assertEquals([keepAlive.answered(), keepAlive.answered()], [true, true]);
  until(90);
  assertEquals(seen, ["PINGREQ 15", "PINGREQ 45", "PINGREQ 75"]);
  until(135);
  assertEquals(seen.at(-1), "silence 135");
});

Deno.test("keep-alive sets no timer for what is sent, and is quiet while both sides speak", () => {
  const { keepAlive, seen, until } = watch(30, 20);
  for (let s = 1; s <= 600; s++) {
    until(s);
    keepAlive.sent();
    keepAlive.received();
  }
  assertEquals(seen, []);
});

Deno.test("keep-alive asks again after a suspend, as the answer may wait to be read (X6)", () => {
  const { keepAlive, seen, until } = watch(60, 20);
  until(61);
  until(700, true);
  assertEquals(seen, ["PINGREQ 60", "PINGREQ 700"]);
  assertEquals([keepAlive.answered(), keepAlive.answered(), keepAlive.answered()], [
    true,
    true,
    false,
  ]);
});

Deno.test("keep-alive takes PINGRESP as asked for only after PINGREQ (G15)", () => {
  const { keepAlive, until } = watch(60, 20);
  assertEquals(keepAlive.answered(), false);
  until(60);
  assertEquals([keepAlive.answered(), keepAlive.answered()], [true, false]);
});

Deno.test("keep-alive that is stopped does nothing more", () => {
  const { keepAlive, seen, until } = watch(60, 20);
  keepAlive.stop();
  until(600);
  assertEquals(seen, []);
});
