/** Device shadows: their topics, documents and limits. */

import { assertEquals, assertMatch } from "@std/assert";
import { formatDoubt, isRuleTopic, isShadowTopic, shadowDoubt } from "../../lib/core/shadow.ts";

const TOPIC = "$aws/things/gw-7/shadow/update";

Deno.test("topics of shadows and of Basic Ingest are known (D16)", () => {
  assertEquals(isShadowTopic(TOPIC), true);
  assertEquals(isShadowTopic("$aws/things/gw-7/shadow/name/a/update"), true);
  assertEquals(isShadowTopic("$aws/things/gw-7/shadow/get"), false);
  assertEquals([isRuleTopic("$aws/rules/r/a"), isRuleTopic("a")], [true, false]);
});

Deno.test("a format that is no shadow document is doubted on a shadow's topic alone (D16)", () => {
  assertMatch(formatDoubt({ topic: TOPIC, format: "json" })!.hint, /--format shadow.*rejected/);
  assertEquals(formatDoubt({ topic: TOPIC, format: "shadow" }), undefined);
  assertEquals(formatDoubt({ topic: "dt/a", format: "json" }), undefined);
  assertMatch(formatDoubt({ topic: TOPIC, format: "json", message: "hi" })!.cause, /not JSON/);
});

Deno.test("a shadow document is held against 8 KB and 8 levels (D16)", () => {
  const deep = (levels: number): unknown => levels === 0 ? 1 : { a: deep(levels - 1) };
  assertEquals(shadowDoubt(JSON.stringify({ state: deep(8) })), undefined);
  assertMatch(shadowDoubt(JSON.stringify({ state: deep(9) }))!, /9 levels/);
  assertMatch(shadowDoubt(JSON.stringify({ state: { a: "x".repeat(9000) } }))!, /at most 8192/);
  assertMatch(shadowDoubt('{"metrics":{}}')!, /no object "state"/);
});
