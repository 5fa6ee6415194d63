import { assertEquals } from "@std/assert";
import { createSuspicion } from "../../lib/publisher/poison.ts";

Deno.test("suspicion falls to one message at a time after a loss, and lets the window grow again (P4)", () => {
  const suspicion = createSuspicion();
  assertEquals(suspicion.window(), Infinity);
  suspicion.lost([1, 2, 3]);
  assertEquals(suspicion.window(), 1);
  suspicion.delivered(1);
  suspicion.delivered(2);
  assertEquals(suspicion.window(), 3);
  suspicion.lost([3]);
  assertEquals(suspicion.window(), 1);
});

Deno.test("suspicion sends one message at a time as long as it has a suspect (P4)", () => {
  const suspicion = createSuspicion();
  for (let i = 0; i < 3; i++) suspicion.lost([7]);
  suspicion.delivered(8);
  assertEquals(suspicion.window(), 1);
  suspicion.delivered(7);
  assertEquals(suspicion.window(), 2);
});

Deno.test("suspicion blames a message that is lost again after another was taken (P4)", () => {
  const suspicion = createSuspicion();
  for (let i = 0; i < 3; i++) assertEquals(suspicion.lost([7]), undefined);
  assertEquals([suspicion.isPassedOver(7), suspicion.isPassedOver(8)], [true, false]);
  assertEquals(suspicion.delivered(8), true);
  assertEquals(suspicion.isPassedOver(7), false);
  assertEquals(suspicion.lost([7]), 7);
});

Deno.test("suspicion acquits a message that is taken after all", () => {
  const suspicion = createSuspicion();
  for (let i = 0; i < 3; i++) suspicion.lost([7]);
  suspicion.delivered(8);
  suspicion.delivered(7);
  assertEquals([suspicion.window(), suspicion.isPassedOver(7)], [2, false]);
  assertEquals(suspicion.lost([7]), undefined);
});

Deno.test("suspicion blames nobody in an outage that takes every message (P4)", () => {
  const suspicion = createSuspicion();
  for (let session = 0; session < 1000; session++) {
    const seq = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].find((seq) => !suspicion.isPassedOver(seq)) ?? 1;
    assertEquals(suspicion.lost([seq]), undefined, `session ${session}`);
  }
});

Deno.test("suspicion takes no notice of a session that ends with nothing in flight", () => {
  const suspicion = createSuspicion();
  for (let i = 0; i < 10; i++) suspicion.lost([]);
  assertEquals(suspicion.window(), Infinity);
});
