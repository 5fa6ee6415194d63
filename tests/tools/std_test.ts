/**
 * What this project relies on in `@std/cli`, `@std/log` and `@std/assert`. These tests run against the stand-ins of
 * tools/std where jsr.io cannot be reached and against the real packages elsewhere: they hold for both.
 */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { BaseHandler } from "@std/log/base-handler";
import { Logger, type LogRecord } from "@std/log/logger";
import { stripVTControlCharacters } from "node:util";

// @std/cli

for (
  const [args, expected] of [
    [[], { _: [], yes: false, list: [] }],
    [["--port", "8443"], { _: [], yes: false, list: [], port: "8443" }],
    [["--port=8443"], { _: [], yes: false, list: [], port: "8443" }],
    // The first = ends the name.
    [["--port=t=/sys/t*0.1"], { _: [], yes: false, list: [], port: "t=/sys/t*0.1" }],
    [["--port="], { _: [], yes: false, list: [], port: "" }],
    [["--port"], { _: [], yes: false, list: [], port: "" }],
    // What begins with - is no value, except behind =.
    [["--port", "--yes"], { _: [], yes: true, list: [], port: "" }],
    [["--port=-5"], { _: [], yes: false, list: [], port: "-5" }],
    // The last one counts, or all are gathered.
    [["--port=1", "--port=2"], { _: [], yes: false, list: [], port: "2" }],
    [["--list=1", "--list", "2"], { _: [], yes: false, list: ["1", "2"] }],
    // A flag takes no value but true and false.
    [["--yes", "a"], { _: ["a"], yes: true, list: [] }],
    [["--yes", "false", "a"], { _: ["a"], yes: false, list: [] }],
    [["--yes=false"], { _: [], yes: false, list: [] }],
    [["a", "-", "--yes", "b"], { _: ["a", "-", "b"], yes: true, list: [] }],
    [["--", "--yes", "-h"], { _: ["--yes", "-h"], yes: false, list: [] }],
    [["--port", "--", "a"], { _: ["a"], yes: false, list: [], port: "" }],
  ] as const
) {
  Deno.test(`parseArgs reads ${JSON.stringify(args)}`, () => {
    const parsed = parseArgs([...args], {
      string: ["port", "list", "_"],
      boolean: ["yes"],
      collect: ["list"],
    });
    assertEquals<unknown>(parsed, expected);
  });
}

Deno.test("parseArgs asks about what it does not know, and leaves out what is refused", () => {
  const asked: [string, string | undefined][] = [];
  const parsed = parseArgs(["--prot=1", "a", "--port=2", "--no-yes", "-x"], {
    string: ["port"],
    boolean: ["yes"],
    unknown: (arg, key) => {
      asked.push([arg, key]);
      return key === undefined;
    },
  });
  assertEquals<unknown>(parsed, { _: ["a"], port: "2", yes: false });
  assertEquals(asked, [
    ["--prot=1", "prot"],
    ["a", undefined],
    ["--no-yes", "no-yes"],
    ["-x", "x"],
  ]);
});

// @std/log

class Lines extends BaseHandler {
  readonly records: LogRecord[] = [];
  readonly lines: string[] = [];

  override format(record: LogRecord): string {
    this.records.push(record);
    return `${record.levelName} ${record.msg}`;
  }

  override log(line: string): void {
    this.lines.push(line);
  }
}

Deno.test("a logger hands to its handler what is at their level or above", () => {
  for (
    const [logger, handler, expected] of [
      ["DEBUG", "DEBUG", ["DEBUG a", "INFO b", "WARN c", "ERROR d"]],
      ["WARN", "DEBUG", ["WARN c", "ERROR d"]],
      ["DEBUG", "ERROR", ["ERROR d"]],
    ] as const
  ) {
    const lines = new Lines(handler);
    const log = new Logger("mqtt443", logger, { handlers: [lines] });
    log.debug("a");
    log.info("b");
    log.warn("c");
    log.error("d");
    assertEquals<unknown>(lines.lines, expected);
  }
});

Deno.test("a record bears what was given besides the message, its level and its time", () => {
  const lines = new Lines("INFO");
  const before = Date.now();
  new Logger("mqtt443", "INFO", { handlers: [lines] }).warn("event", { a: 1 });
  const [record] = lines.records;
  assertEquals([record!.args, record!.level, record!.levelName], [[{ a: 1 }], 30, "WARN"]);
  const time = record!.datetime.getTime();
  assert(before <= time && time <= Date.now());
});

// @std/assert

const BYTES = new Uint8Array([1, 2]);

Deno.test("assertEquals takes like structures for equal", () => {
  assertEquals<unknown>([NaN, { a: [1, undefined] }], [NaN, { a: [1, undefined] }]);
  assertEquals(new Map([["a", { x: 1 }]]), new Map([["a", { x: 1 }]]));
  assertEquals(new Set([1, 2]), new Set([2, 1]));
  assertEquals(BYTES, Uint8Array.from(BYTES));
  assertEquals(new Date(5), new Date(5));
  assertEquals({ a: 1, b: 2 }, { b: 2, a: 1 });
});

for (
  const [name, actual, expected] of [
    ["a property that is missing and one that is undefined", { a: undefined }, {}],
    ["a number and its text", 1, "1"],
    ["null and undefined", null, undefined],
    ["bytes and a list", BYTES, [1, 2]],
    ["other bytes", BYTES, new Uint8Array([1, 3])],
    ["other entries", new Map([["a", { x: 1 }]]), new Map([["a", { x: 2 }]])],
    ["other members", new Set([1]), new Set([2])],
    ["other times", new Date(5), new Date(6)],
    [
      "an instance and a plain object",
      new (class {
        a = 1;
      })(),
      { a: 1 },
    ],
    ["a longer list", [1, 2], [1]],
  ] as const
) {
  Deno.test(`assertEquals tells apart ${name}`, () => {
    assertThrows(() => assertEquals<unknown>(actual, expected), Error, "Values are not equal");
  });
}

Deno.test("assertEquals shows the caller's words, and the lines that differ", () => {
  const actual = { a: 1, list: ["x", "y"] };
  const error = assertThrows(
    () => assertEquals(actual, { ...actual, a: 2 }, "of the gateway"),
    Error,
  );
  const plain = stripVTControlCharacters(error.message);
  assertStringIncludes(plain, "Values are not equal: of the gateway");
  assertMatch(plain, /^-\s+a: 1,$/m);
  assertMatch(plain, /^\+\s+a: 2,$/m);
  assertMatch(plain, /^\s+"y",$/m);
});

for (
  const [name, holds, fails] of [
    ["assert", () => assert("x"), () => assert("", "words")],
    ["assertGreater", () => assertGreater(2, 1), () => assertGreater(1, 1, "words")],
    [
      "assertGreaterOrEqual",
      () => assertGreaterOrEqual(1, 1),
      () => assertGreaterOrEqual(0, 1, "words"),
    ],
    ["assertLess", () => assertLess(1, 2), () => assertLess(1, 1, "words")],
    ["assertLessOrEqual", () => assertLessOrEqual(1, 1), () => assertLessOrEqual(2, 1, "words")],
    ["assertMatch", () => assertMatch("ab", /b$/), () => assertMatch("ab", /a$/, "words")],
    ["assertNotMatch", () => assertNotMatch("ab", /a$/), () => assertNotMatch("ab", /b/, "words")],
    [
      "assertStringIncludes",
      () => assertStringIncludes("ab", "b"),
      () => assertStringIncludes("ab", "c", "words"),
    ],
    [
      "assertInstanceOf",
      () => assertInstanceOf(new TypeError(), Error),
      () => assertInstanceOf({}, Error, "words"),
    ],
  ] as const
) {
  Deno.test(`${name} holds, or fails with the caller's words`, () => {
    holds();
    assertThrows(fails, Error, "words");
  });
}

Deno.test("assertAlmostEquals allows a ten-millionth, or what is given", () => {
  assertAlmostEquals(1 + 1e-8, 1);
  assertAlmostEquals(1.05, 1, 0.1);
  assertThrows(() => assertAlmostEquals(1 + 1e-6, 1), Error);
});

Deno.test("assertThrows and assertRejects return what they met, and look at class and message", async () => {
  const error = new RangeError("\x1b[31mtoo\x1b[0m far");
  const fn = () => {
    throw error;
  };
  const rejecting = () => Promise.reject(error);
  assert(assertThrows(fn) === error && await assertRejects(rejecting) === error);
  assert(assertThrows(fn, RangeError, "too far") === error);
  assert(await assertRejects(rejecting, RangeError, "too far") === error);
  for (const [type, words] of [[TypeError, ""], [RangeError, "near"]] as const) {
    assertThrows(() => assertThrows(fn, type, words), Error);
    await assertRejects(() => assertRejects(rejecting, type, words), Error);
  }
  assertThrows(() => assertThrows(() => 1), Error, "Expected function to throw");
  await assertRejects(
    () => assertRejects(() => Promise.resolve()),
    Error,
    "Expected function to reject",
  );
  // To throw at once is not to reject.
  await assertRejects(() => assertRejects(fn as () => Promise<never>), Error);
});
