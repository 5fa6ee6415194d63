import { assertEquals } from "@std/assert";
import { Poison } from "../../lib/publisher/poison.ts";

const at = (seq: number, topic = "t") => ({ seq, topic });

Deno.test("poison falls to one message at a time after a loss, and lets the window grow again (P4)", () => {
  const poison = new Poison();
  assertEquals(poison.window, Infinity);
  poison.lost([1, 2, 3]);
  assertEquals(poison.window, 1);
  poison.accepted(1);
  poison.accepted(2);
  assertEquals(poison.window, 3);
  poison.lost([3]);
  assertEquals(poison.window, 1);
});

Deno.test("poison sends one message at a time as long as it has a suspect (P4)", () => {
  const poison = new Poison();
  for (let i = 0; i < 3; i++) poison.lost([7]);
  poison.accepted(8);
  assertEquals(poison.window, 1);
  poison.accepted(7);
  assertEquals(poison.window, 2);
});

Deno.test("poison blames a message that is lost again after another was taken (P4)", () => {
  const poison = new Poison();
  for (let i = 0; i < 3; i++) assertEquals(poison.lost([7]), undefined);
  assertEquals([poison.next(at(7)), poison.next(at(8))], [false, true]);
  assertEquals(poison.accepted(8), true);
  assertEquals(poison.next(at(7)), true);
  assertEquals(poison.lost([7]), 7);
});

Deno.test("poison acquits a message that is taken after all", () => {
  const poison = new Poison();
  for (let i = 0; i < 3; i++) poison.lost([7]);
  poison.accepted(8);
  poison.accepted(7);
  assertEquals([poison.window, poison.next(at(7))], [2, true]);
  assertEquals(poison.lost([7]), undefined);
});

Deno.test("poison blames nobody in an outage that takes every message (P4)", () => {
  const poison = new Poison();
  for (let session = 0; session < 1000; session++) {
    const seq = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].find((seq) => poison.next(at(seq))) ?? 1;
    assertEquals(poison.lost([seq]), undefined, `session ${session}`);
  }
});

Deno.test("poison takes no notice of a session that ends with nothing in flight", () => {
  const poison = new Poison();
  for (let i = 0; i < 10; i++) poison.lost([]);
  assertEquals(poison.window, Infinity);
});

Deno.test("poison blames a refused message only when it is refused again after another was accepted (P5)", () => {
  const poison = new Poison();
  poison.begin();
  assertEquals(poison.refused(at(1), false), "hold");
  assertEquals([poison.next(at(1)), poison.next(at(2))], [false, true]);
  assertEquals(poison.accepted(2), true);
  assertEquals(poison.next(at(1)), true);
  assertEquals(poison.refused(at(1), false), "quarantine");
});

Deno.test("poison acquits a refused message that is accepted after all (P5, Q16)", () => {
  const poison = new Poison();
  poison.begin();
  poison.refused(at(1), false);
  poison.accepted(2);
  poison.accepted(1);
  assertEquals(poison.refused(at(1), false), "hold");
});

Deno.test("poison holds others to a topic of which three were refused, and not those to another (P5)", () => {
  const poison = new Poison();
  poison.begin();
  for (const seq of [1, 2, 3]) poison.refused(at(seq, "deny"), false);
  assertEquals([poison.next(at(4, "deny")), poison.next(at(5, "good"))], [false, true]);
  poison.accepted(5);
  assertEquals(poison.next(at(4, "deny")), true);
});

Deno.test("poison keeps what was refused for a reason that may pass for the next session, and ends this one after three (P5)", () => {
  const poison = new Poison();
  poison.begin();
  assertEquals([1, 2, 3].map((seq) => poison.refused(at(seq), true)), ["hold", "hold", "end"]);
  assertEquals([poison.next(at(1)), poison.isPostponed(1)], [false, true]);
  poison.begin();
  assertEquals(poison.next(at(1)), true);
});
