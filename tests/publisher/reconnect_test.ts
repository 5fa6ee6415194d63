/** The link without a network: attempts that the test lets succeed or fail when it wants. */

import { assert, assertEquals } from "@std/assert";
import type { Connection } from "../../lib/connection/types.ts";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { createLink } from "../../lib/publisher/reconnect.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const LOST = new UserError("lost", {
  code: "session-hung-up",
  hint: "wait",
  exitCode: EXIT.unavailable,
  step: "mqtt",
});

/** A link, and what the test does to it. */
function makeLink(backoffMs = 3_600_000) {
  const over = new AbortController();
  const events: string[] = [];
  let attempt = Promise.withResolvers<Connection>();
  let session = Promise.withResolvers<UserError | undefined>();
  let onEvent = () => {};
  const note = (event: string) => {
    events.push(event);
    onEvent();
  };
  // Each look at the clock is a second later, so that no wait of this is a real one.
  let nowMs = 0;
  const link = createLink({
    outage: {
      isFlapping: () => false,
      connecting: () => note("connecting"),
      connected: () => note("connected"),
      failed: () => (note("failed"), backoffMs),
      ended: () => (note("ended"), backoffMs),
    },
    log: SILENT,
    connect: () => attempt.promise.finally(() => attempt = Promise.withResolvers()),
    async use() {
      const reason = await session.promise;
      session = Promise.withResolvers();
      return { reason, ms: 0, delivered: 0, inFlight: 0 };
    },
    handOver() {
      note("hand over");
      session.resolve(undefined);
    },
    onFailure: () => {},
    signal: over.signal,
    monotonicMs: () => nowMs += 1000,
  });
  const running = link.run();
  return {
    link,
    events,
    opens: () => attempt.resolve({ abort() {} } as unknown as Connection),
    fails: (error: unknown = LOST) => attempt.reject(error),
    ends: (reason: UserError | undefined) => session.resolve(reason),
    async until(event: string, times = 1) {
      while (events.filter((one) => one === event).length < times) {
        await new Promise<void>((resolve) => onEvent = resolve);
      }
    },
    async stop() {
      over.abort();
      attempt.promise.catch(() => {});
      attempt.reject(LOST);
      session.resolve(undefined);
      await running;
    },
    running,
  };
}

Deno.test("link that waits tries at once when it is asked to (X3)", async () => {
  const { link, fails, until, events, stop } = makeLink();
  fails();
  await until("failed");
  // The wait begins in the turn after the failure.
  await new Promise((resolve) => setTimeout(resolve));
  link.renew(false);
  await until("connecting", 2);
  assertEquals(events, ["connecting", "failed", "connecting"]);
  await stop();
});

Deno.test("link goes over to a new identity without a back-off, and counts no failure (X3)", async () => {
  const { link, opens, until, events, stop } = makeLink();
  opens();
  await until("connected");
  link.renew(true);
  // Again while the session ends: once is enough.
  link.renew(true);
  await until("connecting", 2);
  assertEquals(events, ["connecting", "connected", "hand over", "connecting"]);
  await stop();
});

Deno.test("link lets its session be when there is nothing new (X3)", async () => {
  const { link, opens, until, events, stop } = makeLink();
  opens();
  await until("connected");
  link.renew(false);
  assertEquals(events, ["connecting", "connected"]);
  await stop();
});

Deno.test("link whose attempt began before the renewal goes over when it is open (X3)", async () => {
  const { link, opens, until, events, stop } = makeLink();
  link.renew(false);
  link.renew(true);
  opens();
  await until("connecting", 2);
  assertEquals(events, ["connecting", "connected", "hand over", "connecting"]);
  opens();
  await until("connected", 2);
  assertEquals(events.filter((event) => event === "hand over").length, 1);
  await stop();
});

Deno.test("link that ends while it waits ends at once (X2)", async () => {
  const { fails, until, stop } = makeLink();
  fails();
  await until("failed");
  await stop();
});

Deno.test("link goes on after a session was lost, and waits as it was told", async () => {
  const { opens, ends, until, events, stop } = makeLink(0);
  opens();
  await until("connected");
  ends(LOST);
  await until("connecting", 2);
  assertEquals(events, ["connecting", "connected", "ended", "connecting"]);
  await stop();
});

Deno.test("link that meets a bug says so instead of trying on", async () => {
  const { fails, running } = makeLink();
  fails(new TypeError("a bug"));
  const error = await running.catch((error: unknown) => error);
  assert(error instanceof TypeError);
});
