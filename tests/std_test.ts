/**
 * What this project relies on in `@std/cli`, `@std/log` and `@std/assert`.
 * These tests run against the stand-ins of tools/std where jsr.io cannot be
 * reached and against the real packages elsewhere: they hold for both.
 *
 * @module
 */

import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unreachable,
} from "@std/assert";
import { parseArgs } from "@std/cli";
import { parseArgs as parseArgsOfSubpath } from "@std/cli/parse-args";
import { BaseHandler, getLevelByName, getLevelName, Logger, LogLevels } from "@std/log";
import { BaseHandler as BaseHandlerOfSubpath } from "@std/log/base-handler";
import { LogLevels as LogLevelsOfSubpath } from "@std/log/levels";
import { Logger as LoggerOfSubpath, LogRecord } from "@std/log/logger";

// @std/cli

Deno.test("parseArgs takes the value of a string option from behind it or from behind =", () => {
  for (const args of [["--port", "8443"], ["--port=8443"]]) {
    assertEquals(parseArgs(args, { string: ["port"] }), {
      _: [],
      port: "8443",
    });
  }
});

Deno.test("parseArgs splits an option at its first =", () => {
  const { source } = parseArgs(["--source=file:t=/sys/t*0.1"], {
    string: ["source"],
  });
  assertEquals(source, "file:t=/sys/t*0.1");
});

Deno.test("parseArgs gives a string option without a value the empty text", () => {
  for (const args of [["--topic="], ["--topic"], ["--topic", "--yes"]]) {
    const parsed = parseArgs(args, { string: ["topic"], boolean: ["yes"] });
    assertEquals(parsed.topic, "");
  }
});

Deno.test("parseArgs leaves an absent string option out", () => {
  assertEquals(parseArgs([], { string: ["topic"] }), { _: [] });
});

Deno.test("parseArgs takes nothing that begins with - for a value, except behind =", () => {
  const behind = parseArgs(["--scale", "-5"], { string: ["scale"] });
  assertEquals(behind, { _: [], scale: "", 5: true });
  const joined = parseArgs(["--scale=-5"], { string: ["scale"] });
  assertEquals(joined.scale, "-5");
});

Deno.test("parseArgs takes an empty argument for no value and for a positional", () => {
  assertEquals(parseArgs(["--topic", ""], { string: ["topic"] }), {
    _: [""],
    topic: "",
  });
});

Deno.test("parseArgs keeps the last value of an option that is given twice", () => {
  const args = ["--port", "1", "--port", "2"];
  assertEquals(parseArgs(args, { string: ["port"] }).port, "2");
});

Deno.test("parseArgs gathers all values of a collected option, in order", () => {
  const names = { string: ["source"], collect: ["source"] };
  const args = ["--source", "clock", "--source=a,b", "--source="];
  assertEquals(parseArgs(args, names).source, ["clock", "a,b", ""]);
  assertEquals(parseArgs([], names).source, []);
});

Deno.test("parseArgs makes a boolean option true or false and never takes the next argument for it", () => {
  const parse = (...args: string[]) => parseArgs(args, { boolean: ["yes"] });
  assertEquals(parse(), { _: [], yes: false });
  assertEquals(parse("--yes", "x"), { _: ["x"], yes: true });
  assertEquals(parse("--yes=false").yes, false);
  assertEquals(parse("--yes=no").yes, true);
});

Deno.test("parseArgs takes true and false behind a boolean option for its value", () => {
  assertEquals(parseArgs(["--yes", "false", "x"], { boolean: ["yes"] }), {
    _: ["x"],
    yes: false,
  });
});

Deno.test("parseArgs makes numbers of positionals, but not of what follows --", () => {
  assertEquals(parseArgs(["5", "0x10", "5s", "--", "7"])._, [5, 16, "5s", "7"]);
});

Deno.test("parseArgs keeps positionals as text if _ is a string option", () => {
  const parsed: unknown = parseArgs(["5", "007"], { string: ["_"] });
  assertEquals(parsed, { _: ["5", "007"] });
});

Deno.test("parseArgs makes numbers only of options that are not string options", () => {
  const parsed = parseArgs(["--a=5", "--b=5"], { string: ["b"] });
  assertEquals([parsed.a, parsed.b], [5, "5"]);
});

Deno.test("parseArgs tells unknown of each unknown option and each positional", () => {
  const calls: unknown[][] = [];
  parseArgs(["a", "--x=5", "--port=1", "--y", "-z", "--no-w", "--yes"], {
    string: ["port"],
    boolean: ["yes"],
    unknown: (arg, key, value) => calls.push([arg, key, value]),
  });
  assertEquals(calls, [
    ["a", undefined, undefined],
    ["--x=5", "x", "5"],
    ["--y", "y", true],
    ["-z", "z", true],
    ["--no-w", "no-w", true],
  ]);
});

Deno.test("parseArgs leaves out what unknown answers false to", () => {
  const parsed = parseArgs(["a", "--x", "b", "--y", "c", "-v"], {
    string: ["y"],
    unknown: () => false,
  });
  assertEquals(parsed, { _: [], y: "c" });
});

Deno.test("parseArgs gives the argument behind an unknown option to that option", () => {
  const calls: unknown[] = [];
  parseArgs(["--prot", "1883", "x"], {
    string: ["port"],
    unknown: (arg, _key, value) => calls.push([arg, value]),
  });
  assertEquals(calls, [["--prot", "1883"], ["x", undefined]]);
});

Deno.test("parseArgs stops at the first positional with stopEarly", () => {
  assertEquals(
    parseArgs(["--yes", "publish", "--port", "1", "5"], {
      boolean: ["yes"],
      stopEarly: true,
    }),
    { _: ["publish", "--port", "1", "5"], yes: true },
  );
});

Deno.test("parseArgs keeps what follows -- apart if told to", () => {
  assertEquals(parseArgs(["a", "--", "--port", "--"], { "--": true }), {
    _: ["a"],
    "--": ["--port", "--"],
  });
});

Deno.test("parseArgs sets an option under all its names", () => {
  const options = {
    boolean: ["help"],
    string: ["port"],
    alias: { help: "h", port: ["p"] },
  } as const;
  assertEquals(parseArgs(["-h", "-p", "1"], options), {
    _: [],
    help: true,
    h: true,
    port: "1",
    p: "1",
  });
});

Deno.test("parseArgs takes one-letter options together", () => {
  assertEquals(parseArgs(["-ab", "-p8443", "-q=1"], { string: ["p"] }), {
    _: [],
    a: true,
    b: true,
    p: "8443",
    q: 1,
  });
});

Deno.test("parseArgs uses a default only for an option that is not given", () => {
  const options = { string: ["port"], default: { port: "443" } };
  assertEquals(parseArgs([], options).port, "443");
  assertEquals(parseArgs(["--port="], options).port, "");
});

Deno.test("parseArgs sets an option to false by --no- only if it is negatable", () => {
  const args = ["--no-color"];
  assertEquals(
    parseArgs(args, { boolean: ["color"], negatable: ["color"] }),
    { _: [], color: false },
  );
  assertEquals(parseArgs(args, { boolean: ["color"] }), {
    _: [],
    color: false,
    "no-color": true,
  });
});

Deno.test("parseArgs takes --no-NAME=VALUE for --NAME=VALUE", () => {
  assertEquals(parseArgs(["--no-port=5"], { string: ["port"] }).port, "5");
});

Deno.test("parseArgs nests an option with a dot, and never reaches a prototype", () => {
  assertEquals(parseArgs(["--a.b=1", "--__proto__.x=1"]), {
    _: [],
    a: { b: 1 },
  });
  assertFalse("x" in {});
});

Deno.test("parseArgs takes a single - for a positional", () => {
  assertEquals(parseArgs(["-"])._, ["-"]);
});

// @std/log

/** Keeps what is logged. */
class KeepingHandler extends BaseHandler {
  readonly lines: string[] = [];

  override log(msg: string): void {
    this.lines.push(msg);
  }
}

Deno.test("Logger gives its handlers messages of its level and above", () => {
  const handler = new KeepingHandler("DEBUG");
  const logger = new Logger("test", "WARN", { handlers: [handler] });
  logger.debug("a");
  logger.info("b");
  logger.warn("c");
  logger.error("d");
  logger.critical("e");
  assertEquals(handler.lines, ["WARN c", "ERROR d", "CRITICAL e"]);
});

Deno.test("BaseHandler writes records of its level and above", () => {
  const handler = new KeepingHandler("ERROR");
  const logger = new Logger("test", "DEBUG", { handlers: [handler] });
  logger.warn("a");
  logger.error("b");
  assertEquals(handler.lines, ["ERROR b"]);
});

Deno.test("BaseHandler writes what its formatter makes of a record", () => {
  const handler = new KeepingHandler("INFO", {
    formatter: ({ levelName, loggerName, msg, args }) =>
      JSON.stringify([levelName, loggerName, msg, args]),
  });
  const logger = new Logger("test", "INFO", { handlers: [handler] });
  logger.info("connected", { ms: 83 }, 2);
  assertEquals(handler.lines, ['["INFO","test","connected",[{"ms":83},2]]']);
});

Deno.test("BaseHandler calls its own format and log for each record", () => {
  class Shouting extends KeepingHandler {
    override format(record: LogRecord): string {
      return super.format(record).toUpperCase();
    }
  }
  const handler = new Shouting("INFO");
  const [level, args] = [LogLevels.INFO, [] as unknown[]];
  handler.handle(new LogRecord({ msg: "a", args, level, loggerName: "test" }));
  assertEquals(handler.lines, ["INFO A"]);
});

Deno.test("BaseHandler and Logger change level by name and by number", () => {
  const handler = new KeepingHandler("INFO");
  const logger = new Logger("test", "INFO");
  for (const leveled of [handler, logger]) {
    leveled.levelName = "ERROR";
    assertEquals(leveled.level, LogLevels.ERROR);
    leveled.level = LogLevels.DEBUG;
    assertEquals(leveled.levelName, "DEBUG");
  }
});

Deno.test("BaseHandler is destroyed at the end of using", () => {
  let isDestroyed = false;
  class Closing extends KeepingHandler {
    override destroy(): void {
      isDestroyed = true;
    }
  }
  {
    using handler = new Closing("INFO");
    handler.setup();
  }
  assert(isDestroyed);
});

Deno.test("Logger returns the message, and what a function message returned", () => {
  const logger = new Logger("test", "INFO");
  assertEquals(logger.info("a"), "a");
  assertEquals(logger.info(() => 5), 5);
  assertEquals(logger.debug("a"), "a");
});

Deno.test("Logger does not call a function message that is not logged", () => {
  const logger = new Logger("test", "INFO");
  assertEquals(logger.debug(() => unreachable()), undefined);
});

Deno.test("Logger makes a text of every message", () => {
  const handler = new KeepingHandler("INFO", { formatter: ({ msg }) => msg });
  const logger = new Logger("test", "INFO", { handlers: [handler] });
  const error = new Error("boom");
  logger.info(5);
  logger.info(null);
  logger.info({ a: "x", b: { c: [1] } });
  logger.info(error);
  assertEquals(handler.lines, [
    "5",
    "null",
    '{"a":"x","b":{"c":{"0":1}}}',
    error.stack,
  ]);
});

Deno.test("LogRecord knows its level, logger and time, and nobody can change it", () => {
  const args: unknown[] = [1];
  const record = new LogRecord({
    msg: "a",
    args,
    level: LogLevels.WARN,
    loggerName: "test",
  });
  args.push(2);
  record.args.push(3);
  record.datetime.setTime(0);
  assertEquals(record.args, [1]);
  assertEquals([record.level, record.levelName], [30, "WARN"]);
  assertEquals([record.msg, record.loggerName], ["a", "test"]);
  assertAlmostEquals(record.datetime.getTime(), Date.now(), 60_000);
});

Deno.test("log levels have the numbers handlers compare", () => {
  assertEquals({ ...LogLevels }, {
    NOTSET: 0,
    DEBUG: 10,
    INFO: 20,
    WARN: 30,
    ERROR: 40,
    CRITICAL: 50,
  });
});

Deno.test("log levels are found by name and by number, or refused", () => {
  assertEquals(getLevelByName("WARN"), 30);
  assertEquals(getLevelName(40), "ERROR");
  assertThrows(() => getLevelByName("LOUD" as "INFO"), Error, "LOUD");
  assertThrows(() => getLevelName(7 as 10), Error, "7");
});

Deno.test("subpaths give the same things as the packages", () => {
  assertStrictEquals(parseArgsOfSubpath, parseArgs);
  assertStrictEquals(BaseHandlerOfSubpath, BaseHandler);
  assertStrictEquals(LogLevelsOfSubpath, LogLevels);
  assertStrictEquals(LoggerOfSubpath, Logger);
});

// @std/assert

class Point {
  constructor(readonly x: number) {}
}

Deno.test("equal sees into objects, arrays, maps, sets, bytes and dates", () => {
  const make = (n: number) => ({
    list: [n, { n }],
    map: new Map<unknown, unknown>([["n", n], [{ key: 1 }, [n]]]),
    set: new Set([[n]]),
    bytes: new Uint8Array([1, n]),
    date: new Date(n),
    url: new URL(`mqtts://host:${n}`),
  });
  assert(equal(make(1), make(1)));
  for (const key of Object.keys(make(1)) as (keyof ReturnType<typeof make>)[]) {
    assertFalse(equal(make(1)[key], make(2)[key]), key);
  }
});

Deno.test("equal tells a missing property from an undefined one", () => {
  assertFalse(equal({ a: 1 }, { a: 1, b: undefined }));
  assertFalse(equal({ a: undefined }, { b: undefined }));
});

Deno.test("equal tells objects of different classes apart", () => {
  assertFalse(equal(new Point(1), { x: 1 }));
  assertFalse(equal(new Uint8Array([1]), [1]));
  assertFalse(equal(new Uint8Array([1]), new Int8Array([1])));
  assert(equal(new Point(1), new Point(1)));
});

Deno.test("equal takes an object without a prototype for a plain one", () => {
  assert(equal(Object.assign(Object.create(null), { a: 1 }), { a: 1 }));
});

Deno.test("equal takes NaN for itself and 0 for -0", () => {
  assert(equal([NaN, 0], [NaN, -0]));
});

Deno.test("equal does not care about the order of keys, and ends at circles", () => {
  const a: Record<string, unknown> = { x: 1, y: 2 };
  const b: Record<string, unknown> = { y: 2, x: 1 };
  a.self = a;
  b.self = b;
  assert(equal(a, b));
});

Deno.test("equal compares functions and symbols by identity", () => {
  assertFalse(equal(() => 1, () => 1));
  assertFalse(equal(Symbol("a"), Symbol("a")));
});

/** Each assertion: what it lets pass, what it does not, and what it says. */
const ASSERTIONS: Record<
  string,
  { pass: () => void; miss: () => void; says: string }
> = {
  assert: {
    pass: () => assert("x"),
    miss: () => assert(0, "nothing"),
    says: "nothing",
  },
  assertFalse: {
    pass: () => assertFalse(""),
    miss: () => assertFalse(1, "one"),
    says: "one",
  },
  assertEquals: {
    pass: () => assertEquals({ a: [1] }, { a: [1] }),
    miss: () => assertEquals("1", "2", "mine"),
    says: "Values are not equal: mine",
  },
  assertNotEquals: {
    pass: () => assertNotEquals([1], [2]),
    miss: () => assertNotEquals(1, 1),
    says: "Expected actual: 1 not to be: 1.",
  },
  assertStrictEquals: {
    pass: () => assertStrictEquals(NaN, NaN),
    miss: () => assertStrictEquals({}, {}),
    says: "Values have the same structure but are not reference-equal.",
  },
  assertAlmostEquals: {
    pass: () => assertAlmostEquals(0.1 + 0.2, 0.3),
    miss: () => assertAlmostEquals(1, 2, 0.5),
    says: 'Expected actual: "1" to be close to "2"',
  },
  assertGreater: {
    pass: () => assertGreater(2, 1),
    miss: () => assertGreater(1, 1),
    says: "Expect 1 > 1",
  },
  assertGreaterOrEqual: {
    pass: () => assertGreaterOrEqual(1, 1),
    miss: () => assertGreaterOrEqual(1, 2),
    says: "Expect 1 >= 2",
  },
  assertLess: {
    pass: () => assertLess(1, 2),
    miss: () => assertLess(1, 1),
    says: "Expect 1 < 1",
  },
  assertLessOrEqual: {
    pass: () => assertLessOrEqual(1, 1),
    miss: () => assertLessOrEqual(2, 1),
    says: "Expect 2 <= 1",
  },
  assertExists: {
    pass: () => assertExists(0),
    miss: () => assertExists(null),
    says: 'Expected actual: "null" to not be null or undefined.',
  },
  assertInstanceOf: {
    pass: () => assertInstanceOf(new TypeError("x"), Error),
    miss: () => assertInstanceOf(new Date(), Error),
    says: 'Expected object to be an instance of "Error" but was "Date".',
  },
  assertMatch: {
    pass: () => assertMatch("port 443", /\d+/),
    miss: () => assertMatch("port", /\d+/),
    says: 'Expected actual: "port" to match: "/\\d+/".',
  },
  assertNotMatch: {
    pass: () => assertNotMatch("port", /\d+/),
    miss: () => assertNotMatch("443", /\d+/),
    says: 'Expected actual: "443" to not match: "/\\d+/".',
  },
  assertStringIncludes: {
    pass: () => assertStringIncludes("abc", "b"),
    miss: () => assertStringIncludes("abc", "x"),
    says: 'Expected actual: "abc" to contain: "x".',
  },
  assertArrayIncludes: {
    pass: () => assertArrayIncludes([1, { a: 1 }, NaN], [{ a: 1 }, NaN]),
    miss: () => assertArrayIncludes([1], [2]),
    says: "missing: [",
  },
  assertObjectMatch: {
    pass: () =>
      assertObjectMatch(
        { a: 1, b: [{ c: 2, d: 3 }, 4], e: new Point(5) },
        { b: [{ c: 2 }], e: { x: 5 } },
      ),
    miss: () => assertObjectMatch({ a: { b: 1 } }, { a: { b: 2 } }),
    says: "Values are not equal.",
  },
  fail: { pass: () => {}, miss: () => fail("mine"), says: "mine" },
  unreachable: {
    pass: () => {},
    miss: () => unreachable(),
    says: "Unreachable.",
  },
};

for (const [name, { pass, miss, says }] of Object.entries(ASSERTIONS)) {
  Deno.test(`${name} throws an AssertionError that says what it missed`, () => {
    pass();
    const error = assertThrows(miss, AssertionError);
    assertEquals(error.name, "AssertionError");
    assertStringIncludes(error.message, says);
  });
}

Deno.test("assertEquals shows the lines that differ", () => {
  const { message } = assertThrows(
    () => assertEquals({ a: 1, b: 2 }, { a: 1, b: 3 }),
    AssertionError,
  );
  assertStringIncludes(message, "Values are not equal.");
  assertMatch(message, /-.* {3}b: 2/);
  assertMatch(message, /\+.* {3}b: 3/);
});

Deno.test("assertObjectMatch does not take a missing property for an undefined one", () => {
  assertThrows(
    () => assertObjectMatch({ a: 1 }, { a: 1, b: undefined }),
    AssertionError,
  );
});

Deno.test("assertThrows returns what was thrown", () => {
  const error = new RangeError("too far");
  const rethrow = () => {
    throw error;
  };
  assertStrictEquals(assertThrows(rethrow), error);
  assertStrictEquals(assertThrows(rethrow, RangeError, "far"), error);
});

Deno.test("assertThrows misses no error, another class and another message", () => {
  const toss = () => {
    throw new RangeError("too far");
  };
  for (
    const [miss, says] of [
      [() => assertThrows(() => 5, "mine"), "function to throw: mine"],
      [() => assertThrows(toss, TypeError), 'instance of "TypeError"'],
      [() => assertThrows(toss, Error, "near"), 'to include "near"'],
    ] as const
  ) {
    assertThrows(miss, AssertionError, says);
  }
});

Deno.test("assertRejects returns what the promise was rejected with", async () => {
  const error = new RangeError("too far");
  const reject = () => Promise.reject(error);
  assertStrictEquals(await assertRejects(reject), error);
  assertStrictEquals(await assertRejects(reject, RangeError, "far"), error);
});

Deno.test("assertRejects misses no rejection, another class and another message", async () => {
  const reject = () => Promise.reject(new RangeError("too far"));
  for (
    const [miss, says] of [
      [() => assertRejects(() => Promise.resolve()), "function to reject"],
      [() => assertRejects(reject, TypeError), 'instance of "TypeError"'],
      [() => assertRejects(reject, Error, "near"), 'to include "near"'],
    ] as const
  ) {
    await assertRejects<Error>(miss, AssertionError, says);
  }
});

Deno.test("assertRejects does not take throwing for rejecting", async () => {
  await assertRejects(
    () =>
      assertRejects(() => {
        throw new Error("at once");
      }),
    AssertionError,
    "Function throws when expected to reject",
  );
});
