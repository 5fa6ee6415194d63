import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { EXIT, formatError, messageOf, UserError } from "../../lib/core/errors.ts";

Deno.test("exit codes are those that scripts depend on", () => {
  assertEquals(Object.values(EXIT), [0, 1, 64, 69, 73, 75, 77, 78]);
});

Deno.test("formatError writes an error and its hint in two lines", () => {
  const error = new UserError("Cannot do it", {
    code: "file-not-found",
    hint: "do it again",
    exitCode: EXIT.config,
  });
  assertEquals(formatError(error), "error: Cannot do it\nhint: do it again");
});

Deno.test("formatError writes one indented line per problem", () => {
  const problems = ["a: wrong", "b: wrong too"];
  const error = new UserError("Cannot do it", {
    code: "file-not-found",
    hint: "mend",
    exitCode: EXIT.config,
    problems,
  });
  assertEquals(formatError(error), "error: Cannot do it\n  a: wrong\n  b: wrong too\nhint: mend");
});

Deno.test("formatError lets no value break a line or reach the terminal as a control sequence", () => {
  const error = new UserError('Cannot use "a\r\nerror: b"', {
    code: "file-not-found",
    hint: "chmod 600 'a\u001b[2J\u009b2J'",
    exitCode: EXIT.config,
    problems: ["x: is\ny"],
  });
  assertEquals(
    formatError(error),
    "error: Cannot use \"a\\r\\nerror: b\"\n  x: is\\ny\nhint: chmod 600 'a\\u001b[2J\\u009b2J'",
  );
});

Deno.test("formatError does not show what lies beneath, which may quote a file", () => {
  const cause = new Error("MARKED-SECRET");
  const error = new UserError("Cannot do it", {
    code: "file-not-found",
    hint: "mend",
    exitCode: EXIT.config,
    cause,
  });
  assertEquals(formatError(error).includes("MARKED-SECRET"), false);
});

Deno.test("formatError shows the stack of a bug", () => {
  const text = formatError(new TypeError("x is not a function"));
  assertMatch(text, /^error: internal error, please report it: TypeError: x is not a function\n/);
  assertStringIncludes(text, "errors_test.ts");
});

Deno.test("formatError bears whatever was thrown", () => {
  assertEquals(formatError("text"), "error: internal error, please report it: text");
  assertEquals(formatError(undefined), "error: internal error, please report it: undefined");
});

Deno.test("UserError keeps its cause, its step and no problems by default", () => {
  const cause = new Error("deep");
  const error = new UserError("x", {
    code: "file-not-found",
    hint: "y",
    exitCode: EXIT.refused,
    step: "tls",
    cause,
  });
  assertEquals([error.cause, error.step, error.problems, error.exitCode], [cause, "tls", [], 77]);
});

Deno.test("UserError without a cause has none", () => {
  assertEquals(
    "cause" in new UserError("x", { code: "file-not-found", hint: "y", exitCode: EXIT.bug }),
    false,
  );
});

Deno.test("messageOf makes words of anything", () => {
  assertEquals([new Error("a"), "b", undefined, 5].map(messageOf), ["a", "b", "undefined", "5"]);
});

Deno.test("a failure in other words keeps its code, its step and what lies beneath", () => {
  const error = new UserError("x", {
    code: "disconnected",
    hint: "y",
    exitCode: EXIT.refused,
    step: "mqtt",
    reason: 0x8e,
  });
  const other = error.with({ message: "x again", hint: "z" });
  assertEquals(
    [other.message, other.hint, other.code, other.step, other.reason, other.exitCode, other.cause],
    ["x again", "z", "disconnected", "mqtt", 0x8e, 77, error],
  );
});
