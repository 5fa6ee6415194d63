/** When a status that was refused is tried again, on a clock of the test's own. */

import { assert, assertEquals } from "@std/assert";
import type { Connection } from "../../lib/connection/mod.ts";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { OnlineStatus } from "../../lib/publisher/online_status.ts";
import type { Target } from "../../lib/core/endpoint.ts";

const TARGET: Target = {
  ...{ endpoint: "gw.example", port: 443, alpn: undefined, clientId: "gw-7" },
  ...{ tlsMin: "1.2", caFiles: [] },
};
const REFUSED = new UserError("refused", {
  code: "puback-refused",
  hint: "",
  exitCode: EXIT.refused,
});
const HUNG_UP = new UserError("hung up", {
  ...{ code: "connect-hung-up", hint: "", exitCode: EXIT.unavailable },
});
const NOT_ALLOWED = new UserError("not authorized", {
  ...{ code: "connack-refused", hint: "", exitCode: EXIT.refused },
});

/** A status, its clock, and what it said. */
function makeStatus() {
  const clock = { ms: 0 };
  const told: unknown[] = [];
  const warn = (_event: string, fields?: unknown) => void told.push(fields);
  const status = new OnlineStatus({
    topic: "st/gw-7",
    target: TARGET,
    ackTimeoutMs: 1000,
    log: { debug() {}, info() {}, warn, error() {} },
    now: () => new Date(clock.ms),
    monotonicMs: () => clock.ms,
  });
  return { status, clock, told };
}

/** A session in which the server answers so; it never ends by itself. */
function session(answer: UserError | undefined): Connection {
  return {
    publish: (_message: unknown, done: (refused?: UserError) => void) => done(answer),
    closed: new Promise(() => {}),
  } as unknown as Connection;
}

Deno.test("a status that a PUBACK refuses is tried again after 1 min, 2 min, … 24 h, and told once", async () => {
  const { status, clock, told } = makeStatus();
  const pauses: number[] = [];
  for (let n = 0; n < 14; n++) {
    assert(status.begin().will);
    await status.online(session(REFUSED));
    pauses.push(status.leftOutMs! / 60_000);
    clock.ms += status.leftOutMs! - 1;
    assertEquals(status.begin(), {});
    clock.ms += 1;
  }
  assertEquals(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440]);
  assertEquals(told.length, 1);
  // Once it is taken all begins anew.
  status.begin();
  await status.online(session(undefined));
  assertEquals(status.leftOutMs, undefined);
  status.begin();
  await status.online(session(REFUSED));
  assertEquals([status.leftOutMs, told.length], [60_000, 2]);
});

Deno.test("a will is to blame for refused sessions if one without it comes about, and for no other", async () => {
  const { status, clock, told } = makeStatus();
  assert(status.begin().will);
  // Not as slow as after a refusal: the next one may well be taken.
  assertEquals((status.failed(NOT_ALLOWED) as UserError).exitCode, EXIT.unavailable);
  assertEquals(status.begin(), {});
  assertEquals(status.failed(NOT_ALLOWED), NOT_ALLOWED);
  assertEquals(told, []);
  assert(status.begin().will);
  status.failed(NOT_ALLOWED);
  status.begin();
  assertEquals(await status.online(session(undefined)), false);
  assertEquals([told.length, status.leftOutMs], [1, 60_000]);
  clock.ms += 60_000;
  assert(status.begin().will);
  // Once told, one more is enough.
  status.failed(HUNG_UP);
  assertEquals(status.begin(), {});
});

Deno.test("an outage that hangs up at CONNECT blames no will for long", async () => {
  const { status, clock } = makeStatus();
  const hasWill = [];
  for (let n = 0; n < 6; n++) {
    hasWill.push(status.begin().will !== undefined);
    status.failed(HUNG_UP);
  }
  assertEquals(hasWill, [true, true, false, true, true, false]);
  status.begin();
  status.failed(HUNG_UP);
  status.begin();
  status.failed(HUNG_UP);
  // The server is back just when it is left out: a minute later it is there.
  assertEquals(status.begin(), {});
  await status.online(session(undefined));
  assertEquals(status.leftOutMs, 60_000);
  clock.ms += 60_000;
  assert(status.begin().will);
  await status.online(session(undefined));
  assertEquals(status.leftOutMs, undefined);
});

Deno.test("a session takes the place of the one before for 5 s, and never after a takeover", () => {
  const { status, clock } = makeStatus();
  assertEquals(status.begin().resumes, false);
  status.ended(HUNG_UP);
  clock.ms += 4999;
  assertEquals(status.begin().resumes, true);
  clock.ms += 1;
  assertEquals(status.begin().resumes, false);
  status.ended(HUNG_UP.with({ code: "disconnected", reason: 0x8e }));
  assertEquals(status.begin().resumes, false);
});
