/** The outbox: that what is written leaves whole, in order and together, and waits in few objects. */

import { nextTick } from "node:process";
import { assertEquals } from "@std/assert";
import { createOutbox } from "../lib/outbox.ts";

const KIB = 1024;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const piece = (letters: string) => new TextEncoder().encode(letters);
const nothing = () => {};
/** Settles when this turn has ended. */
const endOfTurn = () => new Promise<void>((resolve) => nextTick(resolve));

/** A connection whose writes take so many bytes, and end when they are let. */
function openLink(mostBytes = Infinity) {
  const taken: string[] = [];
  const begun: { bytes: Uint8Array; end: PromiseWithResolvers<number> }[] = [];
  const next = async () => {
    for (let turns = 0; begun.length === 0; turns++) {
      if (turns > 100) throw new Error("no write was begun");
      await endOfTurn();
    }
    return begun.shift()!;
  };
  return {
    taken,
    write(bytes: Uint8Array) {
      const end = Promise.withResolvers<number>();
      begun.push({ bytes, end });
      return end.promise;
    },
    /** Lets the next write end. */
    async let() {
      const { bytes, end } = await next();
      const some = bytes.subarray(0, mostBytes);
      taken.push(text(some));
      end.resolve(some.length);
    },
    /** Makes the next write fail. */
    async fail(error: Error) {
      (await next()).end.reject(error);
    },
  };
}

Deno.test("outbox writes at once what came in one turn", async () => {
  const link = openLink();
  const outbox = createOutbox(link.write, nothing);
  for (const letter of "publish") outbox.add(piece(letter), nothing);
  await link.let();
  await outbox.flushed();
  assertEquals(link.taken, ["publish"]);
});

Deno.test("outbox writes with a turn what the ticks of the turn have added", async () => {
  const link = openLink();
  const outbox = createOutbox(link.write, nothing);
  // As MQTT.js takes packets: the first at once, in the microtask that has read them, and each other in a tick.
  const take = (letters: string) => {
    if (letters === "") return;
    outbox.add(piece(letters[0]!), nothing);
    nextTick(take, letters.slice(1));
  };
  await Promise.resolve();
  take("publish");
  await link.let();
  await outbox.flushed();
  assertEquals(link.taken, ["publish"]);
});

Deno.test("outbox keeps the order of what comes while it writes, however little is taken at a time", async () => {
  const link = openLink(2);
  const outbox = createOutbox(link.write, nothing);
  outbox.add(piece("abc"), nothing);
  await link.let();
  outbox.add(piece("d"), nothing);
  outbox.add(piece("ef"), nothing);
  for (let n = 0; n < 3; n++) await link.let();
  await outbox.flushed();
  assertEquals(link.taken, ["ab", "c", "de", "f"]);
});

Deno.test("outbox says that it is full, and when it has room again", async () => {
  const link = openLink();
  const outbox = createOutbox(link.write, nothing);
  const room: string[] = [];
  outbox.add(new Uint8Array(200 * KIB), () => room.push("first"));
  await endOfTurn();
  // The first is on its way.
  outbox.add(new Uint8Array(200 * KIB), () => room.push("second"));
  outbox.add(new Uint8Array(100 * KIB), () => room.push("third"));
  assertEquals(room, ["first", "second"]);
  await link.let();
  await link.let();
  await outbox.flushed();
  assertEquals(room, ["first", "second", "third"]);
  assertEquals(link.taken.map(({ length }) => length), [200 * KIB, 300 * KIB]);
});

Deno.test("outbox writes text as UTF-8, however long it is", async () => {
  const link = openLink();
  const outbox = createOutbox(link.write, nothing);
  const long = "\u20ac".repeat(130 * KIB);
  outbox.add("\u00e9", nothing);
  outbox.add(long, nothing);
  outbox.add(piece("."), nothing);
  await link.let();
  await outbox.flushed();
  assertEquals(link.taken.join("") === `\u00e9${long}.`, true);
});

Deno.test("outbox tells that a write failed, and writes nothing after it", async () => {
  const link = openLink();
  const failures: unknown[] = [];
  const outbox = createOutbox(link.write, (error) => failures.push(error));
  const error = new Error("broken pipe");
  outbox.add(piece("a"), nothing);
  await link.fail(error);
  await outbox.flushed();
  outbox.add(piece("b"), nothing);
  await outbox.flushed();
  assertEquals([failures, link.taken], [[error], []]);
});
