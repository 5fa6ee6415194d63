import { assert, assertEquals } from "@std/assert";
import { didYouMean, nearest, oneLine, quote, shellWord, wrap } from "../../lib/core/text.ts";

const KNOWN = ["interval", "topic", "keepAlive", "count"];

Deno.test("nearest finds a word with a letter too much, too few, wrong or swapped", () => {
  for (const word of ["intervall", "intrval", "intervel", "itnerval", "INTERVAL"]) {
    assertEquals(nearest(word, KNOWN), "interval", word);
  }
});

Deno.test("nearest finds nothing for a word unlike all", () => {
  for (const word of ["banana", "", "xyz", "password"]) {
    assertEquals(nearest(word, KNOWN), undefined, word);
  }
});

Deno.test("nearest does not spend time on a very long word", () => {
  assertEquals(nearest("interval".repeat(1_000_000), KNOWN), undefined);
});

Deno.test("nearest prefers the nearer of two", () => {
  assertEquals(nearest("key", ["keep", "key", "keys"]), "key");
});

Deno.test("didYouMean asks only if there is something to ask", () => {
  assertEquals(didYouMean("topik", KNOWN), ' (did you mean "topic"?)');
  assertEquals(didYouMean("banana", KNOWN), "");
});

Deno.test("quote puts a text in quotes and shows what is invisible", () => {
  assertEquals(quote('a"b\r\n\0'), '"a\\"b\\r\\n\\u0000"');
});

Deno.test("quote escapes what moves a terminal's cursor", () => {
  assertEquals(quote("\u001b[2J\u009b2J\u007f"), '"\\u001b[2J\\u009b2J\\u007f"');
});

Deno.test("quote shows other values as JSON", () => {
  const values = [1e12, true, null, undefined, [1], { a: 1 }];
  assertEquals(values.map(quote), [
    '"1000000000000"',
    '"true"',
    '"null"',
    '"undefined"',
    '"[1]"',
    '"{\\"a\\":1}"',
  ]);
});

Deno.test("quote cuts a long value", () => {
  const quoted = quote("x".repeat(1_000_000));
  assertEquals(quoted.length, 162);
  assert(quoted.endsWith('..."'));
});

Deno.test("quote bears half of a surrogate pair, also one made by cutting", () => {
  assert(quote("\ud800").isWellFormed());
  assert(quote("x".repeat(156) + "\u{1f600}".repeat(10)).isWellFormed());
});

Deno.test("quote and oneLine show nothing of a PEM block (S1)", () => {
  const pem = "-----BEGIN PRIVATE KEY-----\nMARKED\n-----END PRIVATE KEY-----\n";
  assertEquals(quote(pem), '"-----BEGIN … (not shown)"');
  assertEquals(quote({ key: pem }), '"{\\"key\\":\\"-----BEGIN … (not shown)"');
  assertEquals(oneLine(`a ${pem} b`), "a -----BEGIN … (not shown)");
});

Deno.test("wrap breaks lines at spaces, and no command between backticks (F20)", () => {
  const long = "`sed -n p <a/very/long/name >another/very/long/name.new`";
  assertEquals(wrap(`hint: make it with ${long}, and look at (\`a b\`)`, 30), [
    "hint: make it with",
    `${long},`,
    "and look at (`a b`)",
  ]);
});

Deno.test("oneLine leaves every other character alone", () => {
  assertEquals(oneLine("a\tb – ü\n"), "a\\tb – ü\\n");
});

Deno.test("oneLine escapes what moves a cursor, ends a line or turns the direction (G14)", () => {
  assertEquals(
    oneLine("a\n\u001b\u009b\u2028\u202e\u2066\u200fb\u00fc"),
    "a\\n\\u001b\\u009b\\u2028\\u202e\\u2066\\u200fb\u00fc",
  );
});

Deno.test("shellWord quotes what a shell would not take as one word", () => {
  assertEquals(
    ["gw-7", "a b", "it's", "$HOME", "", "a:b/c.d"].map(shellWord),
    ["gw-7", "'a b'", "'it'\\''s'", "'$HOME'", "''", "a:b/c.d"],
  );
});
