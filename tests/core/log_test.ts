import { assertEquals, assertMatch } from "@std/assert";
import { EXIT, failureFields, UserError } from "../../lib/core/errors.ts";
import { type LogOptions, openLog } from "../../lib/core/log.ts";

function logged(options: Partial<LogOptions>) {
  const lines: string[] = [];
  const log = openLog({
    format: "text",
    level: "debug",
    write: (line) => void lines.push(line),
    ...options,
  });
  return { log, lines };
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

Deno.test("text line is time, level, event and fields", () => {
  const { log, lines } = logged({});
  log.info("connected", {
    endpoint: "gw.example",
    tls: "TLSv1.3",
    mqtt: 5,
    ms: 83,
    resumed: false,
  });
  assertMatch(lines[0]!, TIME);
  assertEquals(
    lines[0]!.replace(TIME, "TIME"),
    "TIME INFO  connected endpoint=gw.example tls=TLSv1.3 mqtt=5 ms=83 resumed=false",
  );
});

Deno.test("text lines align the levels", () => {
  const { log, lines } = logged({});
  log.debug("queued");
  log.info("start");
  log.warn("dropped");
  log.error("warning");
  assertEquals(lines.map((line) => line.replace(TIME, "")), [
    " DEBUG queued",
    " INFO  start",
    " WARN  dropped",
    " ERROR warning",
  ]);
});

Deno.test("lines for the journal begin with their priority, and text ones have no time (F11)", () => {
  const said = (format: "text" | "json") => {
    const { log, lines } = logged({ format, isJournal: true, colour: true });
    log.debug("queued");
    log.info("start");
    log.warn("dropped");
    log.error("warning", { cause: "a\nb\u2028c" });
    return lines.map((line) => line.replace(/"time":"[^"]*",/, ""));
  };
  // deno-lint-ignore no-control-regex -- the colours
  assertEquals(said("text").map((line) => line.replaceAll(/\u001b\[\d+m/g, "")), [
    "<7>DEBUG queued",
    "<6>INFO  start",
    "<4>WARN  dropped",
    '<3>ERROR warning cause="a\\nb\\u2028c"',
  ]);
  assertEquals(said("json"), [
    '<7>{"level":"debug","event":"queued"}',
    '<6>{"level":"info","event":"start"}',
    '<4>{"level":"warn","event":"dropped"}',
    '<3>{"level":"error","event":"warning","cause":"a\\nb\u2028c"}',
  ]);
});

Deno.test("JSON line has time, level and event first", () => {
  const { log, lines } = logged({ format: "json" });
  log.warn("retrying", { cause: 'say "no"\n', ms: 2000, ok: true });
  const { time, ...rest } = JSON.parse(lines[0]!);
  assertMatch(time, new RegExp(`${TIME.source}$`));
  assertEquals(
    lines[0]!.replace(time, "TIME"),
    '{"time":"TIME","level":"warn","event":"retrying","cause":"say \\"no\\"\\n","ms":2000,"ok":true}',
  );
  assertEquals(rest.cause, 'say "no"\n');
});

Deno.test("undefined fields are left out of both forms", () => {
  for (const format of ["text", "json"] as const) {
    const { log, lines } = logged({ format });
    log.info("connected", { alpn: undefined, ms: 1 });
    assertEquals(lines[0]!.includes("alpn"), false);
  }
});

Deno.test("level hides what is less severe", () => {
  const shown = (level: LogOptions["level"]) => {
    const { log, lines } = logged({ level });
    log.debug("queued");
    log.info("start");
    log.warn("dropped");
    log.error("warning");
    return lines.length;
  };
  assertEquals((["debug", "info", "warn", "error"] as const).map(shown), [4, 3, 2, 1]);
});

Deno.test("text values are quoted where they would not stay one word", () => {
  const { log, lines } = logged({});
  const values = [
    "plain-1.0:x/y",
    "two words",
    "",
    'a"b',
    "a=b",
    "a\nb",
    "a\u001b[2J",
    "\u009b2J",
    "ü",
  ];
  for (const cause of values) log.info("dropped", { cause });
  assertEquals(
    lines.map((line) => line.replace(/^.*?cause=/, "")),
    [
      "plain-1.0:x/y",
      '"two words"',
      '""',
      '"a\\"b"',
      '"a=b"',
      '"a\\nb"',
      '"a\\u001b[2J"',
      '"\\u009b2J"',
      "ü",
    ],
  );
});

Deno.test("no value makes two lines of one, in either form", () => {
  for (const format of ["text", "json"] as const) {
    const { log, lines } = logged({ format });
    log.error("warning", { cause: "a\nERROR faked\r\u2028b" });
    assertEquals(/[\r\n]/.test(lines[0]!), false);
  }
});

Deno.test("colour marks warnings and errors only, and only if asked for", () => {
  const { log, lines } = logged({ colour: true });
  log.info("start");
  log.warn("dropped");
  log.error("warning");
  // deno-lint-ignore no-control-regex -- the colours themselves
  assertEquals(lines.map((line) => /\u001b\[(\d+)m/.exec(line)?.[1]), [undefined, "33", "31"]);
});

Deno.test("colour never enters a JSON line", () => {
  const { log, lines } = logged({ colour: true, format: "json" });
  log.error("warning");
  assertEquals(JSON.parse(lines[0]!).level, "error");
  assertEquals(lines[0]!.includes("\\u001b"), false);
});

Deno.test("a write that throws stops nobody (X8)", () => {
  const { log } = logged({
    write: () => {
      throw new Deno.errors.BrokenPipe("stderr is closed");
    },
  });
  log.info("start");
  log.error("warning", { cause: "x" });
});

Deno.test("logs write to their own place", () => {
  const [one, two] = [logged({}), logged({})];
  one.log.info("start");
  assertEquals([one.lines.length, two.lines.length], [1, 0]);
});

Deno.test("failureFields tell step, cause and hint, and nothing of what lies beneath", () => {
  const error = new UserError("Cannot connect", {
    code: "tcp-refused",
    hint: "check --port",
    exitCode: EXIT.unavailable,
    step: "tcp",
    cause: new Error("MARKED-SECRET"),
  });
  assertEquals(failureFields(error), {
    step: "tcp",
    code: "tcp-refused",
    cause: "Cannot connect",
    hint: "check --port",
  });
  assertEquals(failureFields(new Error("odd")), { cause: "odd" });
});
