import { assertEquals, assertStringIncludes } from "@std/assert";
import type { UserError } from "../../lib/core/errors.ts";
import { createHealth, illnessOf, type Vitals } from "../../lib/publisher/health.ts";

const LIMITS = { connectTimeout: 15_000, ackTimeout: 20_000, packWait: 0 };
const DAY_MS = 86_400_000;
const WELL: Vitals = { link: "open", forMs: DAY_MS, waitMs: 0, owedMs: 0 };

const VITALS: Record<string, [vitals: Partial<Vitals>, illness: string | undefined]> = {
  "an idle session": [{ link: "open", owedMs: 0 }, undefined],
  "a session whose PUBACK is as late as a slow link may make it": [
    { link: "open", owedMs: 20_000 },
    undefined,
  ],
  "a session right after an outage in which messages waited for a week": [
    { link: "open", forMs: 1, owedMs: 7 * DAY_MS },
    undefined,
  ],
  "a session in which messages wait and none is acknowledged, longer than ackTimeout allows": [
    { link: "open", owedMs: 101_000 },
    "messages wait, and none was acknowledged for 101 s of a session",
  ],
  "a session as silent as this, half of it before it was opened": [
    { link: "open", forMs: 50_000, owedMs: 101_000 },
    undefined,
  ],
  "an outage of a week, between two attempts": [
    { link: "waiting", forMs: 3_000_000, waitMs: 3_600_000, owedMs: 7 * DAY_MS },
    undefined,
  ],
  "an attempt that is due and has not begun, as this process was kept from running": [
    { link: "waiting", forMs: 59_000, waitMs: 1000 },
    undefined,
  ],
  "an attempt that is due and does not begin": [
    { link: "waiting", forMs: 62_000, waitMs: 1000 },
    "the next attempt to connect is 61 s late",
  ],
  "an attempt that takes connectTimeout": [{ link: "connecting", forMs: 15_000 }, undefined],
  "an attempt that does not end": [
    { link: "connecting", forMs: 76_000 },
    "an attempt to connect has taken 76 s, of 15 s at most",
  ],
};

for (const [name, [vitals, illness]] of Object.entries(VITALS)) {
  Deno.test(`health of ${name}: ${illness === undefined ? "well" : "ill"} (X9)`, () => {
    assertEquals(illnessOf({ ...WELL, ...vitals }, LIMITS), illness);
  });
}

/** A run that is watched, with clocks that stand until they are moved. */
function watched() {
  let ms = 0;
  const health = createHealth({
    limits: LIMITS,
    place: "gw.example:443",
    now: () => new Date(Date.UTC(2026, 10, 23) + ms),
    monotonicMs: () => ms,
  });
  const counts = { waiting: 0, published: 0, dropped: 0 };
  return {
    health,
    pass: (seconds: number) => void (ms += seconds * 1000),
    look: (changed: Partial<typeof counts> = {}) => health.look(Object.assign(counts, changed)),
  };
}

Deno.test("health says in a sentence since when a run is connected or offline, and why", () => {
  const { health, pass, look } = watched();
  assertEquals(
    look().status,
    "Not connected yet, connecting to gw.example:443; 0 waiting, 0 published, 0 dropped",
  );
  pass(1);
  health.link({ at: "open" });
  pass(60);
  assertEquals(
    look({ published: 6 }).status,
    "Connected to gw.example:443 since 2026-11-23T00:00:01Z; 0 waiting, 6 published, 0 dropped",
  );
  const reason = { message: "Cannot connect: refused" } as UserError;
  health.link({ at: "waiting", ms: 2000, reason });
  pass(2);
  health.link({ at: "connecting" });
  pass(1);
  health.link({ at: "waiting", ms: 5000, reason });
  assertEquals(
    look({ waiting: 2 }).status,
    "Offline since 2026-11-23T00:01:01Z, next attempt at 2026-11-23T00:01:09Z " +
      "(Cannot connect: refused); 2 waiting, 6 published, 0 dropped",
  );
});

Deno.test("health finds a session in which deliveries have stopped, and not one in which they go on", () => {
  const { health, pass, look } = watched();
  health.link({ at: "open" });
  for (let published = 1; published <= 20; published++) {
    pass(10);
    assertEquals(look({ waiting: 5, published }).illness, undefined);
  }
  pass(101);
  assertStringIncludes(look().status, "STUCK: messages wait, and none was acknowledged for 101 s");
  assertEquals(look({ waiting: 0 }).illness, undefined);
  // What waits from now on has waited for no time yet.
  assertEquals(look({ waiting: 1 }).illness, undefined);
});
