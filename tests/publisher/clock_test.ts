/** A device whose clock is wrong, or is set while the publisher runs. */

import { assertEquals, assertMatch } from "@std/assert";
import { createClockWatch } from "../../lib/publisher/clock.ts";
import type { Fields } from "../../lib/core/log.ts";
import {
  makeRig,
  numbered,
  openInput,
  pki,
  range,
  type Run,
  seqsOf,
  writeIdentity,
} from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;
const NOON_MS = Date.parse("2027-03-01T12:00:00Z");

/** A watch on two clocks that the test moves: wall alone, or both. */
function watched(startMs = NOON_MS, builtAt = new Date("2027-01-01T00:00:00Z")) {
  const warnings: string[] = [];
  let [wallMs, monotonicMs] = [startMs, 5000];
  const silent = () => {};
  const watch = createClockWatch({
    now: () => new Date(wallMs),
    monotonicMs: () => monotonicMs,
    builtAt,
    log: {
      debug: silent,
      info: silent,
      warn: (_event: string, fields?: Fields) => void warnings.push(String(fields?.cause)),
      error: silent,
    },
  });
  return {
    watch,
    warnings,
    jump: (ms: number) => void (wallMs += ms),
    pass(ms: number) {
      wallMs += ms;
      monotonicMs += ms;
    },
  };
}

Deno.test("a clock's jump is told once, with its size and direction (X5)", () => {
  const { watch, warnings, jump, pass } = watched();
  const moves: [ms: number, says: string][] = [
    [YEAR_MS, "forward by 365 d 0 h, to 2028-02-29T12:00:10.000Z"],
    [-2 * YEAR_MS, "back by 730 d 0 h, to 2026-03-01T12:00:20.000Z"],
    [3 * 3_600_000 + 60_000, "forward by 3 h 1 min, to 2026-03-01T15:01:30.000Z"],
    [-90_000, "back by 2 min, to 2026-03-01T15:00:10.000Z"],
  ];
  for (const [ms, says] of moves) {
    jump(ms);
    pass(10_000);
    watch.sampleTime();
    pass(10_000);
    jump(-10_000);
    watch.sampleTime();
    assertEquals(warnings.splice(0), [
      `The clock jumped ${says}: it was set, or this device slept`,
    ]);
  }
});

Deno.test("a clock that is slewed by an NTP client does not jump (X5)", () => {
  const { watch, warnings, jump, pass } = watched();
  for (let hour = 0; hour < 1000; hour++) {
    pass(3_600_000);
    jump(1800);
    watch.sampleTime();
  }
  assertEquals(warnings, []);
});

Deno.test("a sample is marked until the clock can be right (X5)", () => {
  const { watch, jump } = watched(0);
  assertEquals(watch.sampleTime(), { timeMs: 0, clock: "unsynchronised" });
  jump(NOON_MS);
  assertEquals(watch.sampleTime(), { timeMs: NOON_MS });
  jump(-YEAR_MS);
  assertEquals(watch.sampleTime().clock, "unsynchronised");
});

Deno.test("the age of what waits follows the clock, but no jump forward of one that was right (X5)", () => {
  const { watch, jump, pass } = watched();
  pass(DAY_MS);
  assertEquals(watch.ageTimeMs(), NOON_MS + DAY_MS);
  jump(YEAR_MS);
  assertEquals(watch.ageTimeMs(), NOON_MS + DAY_MS);
  pass(DAY_MS);
  assertEquals(watch.ageTimeMs(), NOON_MS + 2 * DAY_MS);
  jump(-YEAR_MS);
  assertEquals(watch.ageTimeMs(), NOON_MS + 2 * DAY_MS);
  jump(-YEAR_MS);
  assertEquals(watch.ageTimeMs(), NOON_MS + 2 * DAY_MS - YEAR_MS, "what is new is not old");
});

Deno.test("the age of what waits begins anew when the clock is first set (X5)", () => {
  const { watch, jump, pass } = watched(0);
  pass(DAY_MS);
  assertEquals(watch.ageTimeMs(), DAY_MS);
  jump(NOON_MS);
  assertEquals(watch.ageTimeMs(), NOON_MS + DAY_MS);
});

function jumps(run: Run): unknown[] {
  return run.log.filter(({ cause }) => String(cause).includes("jumped")).map(({ cause }) => cause);
}

Deno.test("publisher with a certificate from the future takes its clock for wrong, and goes on trying (X5)", async () => {
  await using rig = await makeRig();
  const validFrom = new Date(Date.now() + DAY_MS);
  const device = await pki.authority.issue("gw-7 renewed", { validFrom });
  await writeIdentity(`${rig.folder}/certs`, { ca: pki.ca, device });
  const run = rig.publish(["--source", "clock", "--interval", "100ms"]);
  const { level, cause } = await run.said("warning");
  assertEquals(level, "warn");
  assertMatch(String(cause), /valid from .* only, and this device says .*the clock is probably/);
  await run.said("retrying");
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("publisher drops nothing as too old when its clock jumps a year while it is offline (X5)", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const { stream, write } = openInput();
  let offsetMs = 0;
  const now = () => new Date(Date.now() + offsetMs);
  const flags = ["--source", "stdin", "--queue-max-age", "1h"];
  const run = rig.publishHere(flags, { input: stream, now });
  for (const line of numbered(1, 20)) write(line);
  await run.said("queued", ({ seq }) => seq === 20);
  offsetMs = YEAR_MS;
  for (const line of numbered(21, 40)) write(line);
  await run.said("queued", ({ seq }) => seq === 40);
  offsetMs = 0;
  for (const line of numbered(41, 60)) write(line);
  await run.said("queued", ({ seq }) => seq === 60);
  await rig.endpoint.resume();
  await rig.endpoint.waitFor(60);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 60));
  assertEquals(jumps(run).length, 2);
});
