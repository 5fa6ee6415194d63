import { assertEquals, assertThrows } from "@std/assert";
import { checked, choice, duration, integer, orNone, size } from "../../lib/settings/parsers.ts";
import { formatDuration, formatSize, roundSize } from "../../lib/core/text.ts";

Deno.test("duration knows its four units and fractions", () => {
  const { parse } = duration("1ms", "24h");
  const texts = ["250ms", "10s", "5m", "2h", "1.5s", "0.25h", "24h", "1ms"];
  assertEquals(texts.map(parse), [
    250,
    10_000,
    300_000,
    7_200_000,
    1500,
    900_000,
    86_400_000,
    1,
  ]);
});

Deno.test("duration refuses what is outside its bounds and says them", () => {
  for (const text of ["0s", "99ms", "24.1h", "999999999999999h"]) {
    assertThrows(
      () => duration("100ms", "24h").parse(text),
      RangeError,
      "must be from 100ms to 24h",
    );
  }
});

Deno.test("duration refuses what is no duration and shows the form", () => {
  const wrong = [
    "",
    "10",
    "s",
    "-1s",
    "1e3s",
    "10 s",
    "10S",
    "10d",
    "0x1s",
    "1000000000000",
    "1s1s",
  ];
  for (const text of [...wrong, "10constructor", "10toString", "٣s", "NaNs", "Infinitys", "1s\n"]) {
    assertThrows(
      () => duration("100ms", "24h").parse(text),
      RangeError,
      "must be a duration with its unit (250ms, 10s, 5m, 2h) from 100ms to 24h",
      text,
    );
  }
});

Deno.test("size knows its units, and no others", () => {
  const { parse } = size("1B", "64GiB");
  assertEquals(["1B", "512KiB", "64MiB", "1.5GiB"].map(parse), [
    1,
    524_288,
    67_108_864,
    1_610_612_736,
  ]);
  for (const text of ["64MB", "64M", "64", "64mib"]) {
    assertThrows(() => parse(text), RangeError, "must be a size with its unit (512KiB, 64MiB)");
  }
});

Deno.test("integer takes whole numbers within bounds, the bounds too", () => {
  const { parse } = integer(1, 65535);
  assertEquals([parse("1"), parse("65535"), parse("0443")], [1, 65535, 443]);
});

Deno.test("integer refuses the rest", () => {
  const wrong = ["0", "65536", "-1", "1.5", "1e3", "0x10", "", " 1", "1 ", "１", "9".repeat(400)];
  for (const text of [...wrong, "Infinity", "1\n"]) {
    assertThrows(
      () => integer(1, 65535).parse(text),
      RangeError,
      "must be a whole number from 1 to 65535",
      text,
    );
  }
});

Deno.test("choice takes its words alone", () => {
  const { parse } = choice("FORMAT", ["text", "json"]);
  assertEquals(parse("json"), "json");
  for (const text of ["JSON", "", "js", "constructor"]) {
    assertThrows(() => parse(text), RangeError, "must be text or json");
  }
});

Deno.test("orNone adds the word none, and says so", () => {
  const { parse } = orNone(integer(1, 9));
  assertEquals([parse("none"), parse("5")], [undefined, 5]);
  assertThrows(() => parse("None"), RangeError, "must be a whole number from 1 to 9, or none");
});

Deno.test("checked hands on the text that a check finds nothing wrong with", () => {
  const problem = (text: string) => text === "bad" ? "must be good" : undefined;
  const { parse } = checked("TEXT", problem, { allowed: "good texts" });
  assertEquals(parse("good"), "good");
  assertThrows(() => parse("bad"), RangeError, "must be good");
});

Deno.test("formatDuration picks the largest unit that is exact", () => {
  const values = [1, 250, 1000, 1500, 60_000, 90_000, 86_400_000, 100_001, 86_399_999, 0];
  assertEquals(values.map(formatDuration), [
    "1ms",
    "250ms",
    "1s",
    "1.5s",
    "1m",
    "1.5m",
    "24h",
    "100001ms",
    "86399999ms",
    "0s",
  ]);
});

Deno.test("what formatDuration and formatSize print means the same when read again", () => {
  const [inMs, inBytes] = [duration("1ms", "8760h"), size("1B", "64GiB")];
  for (const value of [1, 999, 1001, 59_999, 100_001, 3_600_001, 5_400_000, 86_399_999, 131_073]) {
    assertEquals(inMs.parse(formatDuration(value)), value);
    assertEquals(inBytes.parse(formatSize(value)), value);
  }
});

Deno.test("roundSize is short instead of exact", () => {
  assertEquals([0, 1023, 1_234_567, 67_108_864].map(roundSize), [
    "0B",
    "1023B",
    "1.18MiB",
    "64MiB",
  ]);
});
