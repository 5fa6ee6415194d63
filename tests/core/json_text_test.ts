import { assert, assertEquals, assertThrows } from "@std/assert";
import { JsonObject } from "../../lib/core/json_text.ts";
import { seeded } from "../../tools/shared/seeded.ts";

for (
  const text of [
    "{}",
    '{"a":20.0,"b":9007199254740993,"c":1e999,"d":-0.0,"e":1E+2}',
    '{ "a" : [ 1 , [ ] , { } , "x\\u00e9\\n\\"" ] , "b" : null }',
    '{"a":true,"b":false,"":0}',
    '{"grün":"温度 🌡"}',
  ]
) {
  Deno.test(`JSON object ${text} is its own text, byte for byte (S9)`, () => {
    const object = new JsonObject(text);
    assertEquals([object.text(), object.notFinite, object.repeated], [text, 0, undefined]);
    assertEquals(object.members.map(({ key }) => key), Object.keys(JSON.parse(text)));
  });
}

for (
  const [text, rest, count] of [
    ['{"a":NaN}', "{}", 1],
    ['{ "a" : NaN }', "{ }", 1],
    ['{"a":NaN,"b":1}', '{"b":1}', 1],
    ['{"a":1,"b":-Infinity}', '{"a":1}', 1],
    ['{"a":1 , "b":nan , "c":2}', '{"a":1  , "c":2}', 1],
    ['{"a":NaN,"b":+inf,"c":2,"d":-nan}', '{"c":2}', 3],
    ['{"a":inf,"b":Infinity}', "{}", 2],
    ['{"a":{"b":NaN},"c":[1,NaN,3]}', '{"a":{},"c":[1,null,3]}', 2],
  ] as const
) {
  Deno.test(`JSON object ${text} loses what is not finite, and nothing else (S9)`, () => {
    const object = new JsonObject(text);
    assertEquals([object.text(), object.notFinite], [rest, count]);
    JSON.parse(rest);
  });
}

for (
  const [text, problem] of [
    ["", "is no object"],
    ["[1]", "is no object"],
    ["{", "is cut off"],
    ['{"a', "is cut off"],
    ['{"a":1', "is cut off"],
    ['{"a":1,}', "is no JSON (at character 8)"],
    ['{"a":01}', "is no JSON (at character 7)"],
    ['{"a":+1}', "is no JSON"],
    ['{"a":.5}', "is no JSON"],
    ['{"a":1.}', "is no JSON"],
    ['{"a":nul}', "is no JSON"],
    ['{"a":nanx}', "is no JSON"],
    ['{"a" 1}', "a colon after each key"],
    ["{a:1}", "is no JSON (at character 2)"],
    ['{"a":"\\x"}', "is no JSON"],
    ['{"a":"\\u12"}', "is no JSON"],
    ['{"a":"x\0y"}', "must have no control character in a string (at character 8)"],
    ['{"a":"x\ty"}', "control character"],
    ['{"a":[1 2]}', "is no JSON"],
    ['{"a":1}x', "has something after its end (at character 8)"],
    ['{"a":1}{"b":2}', "has something after its end"],
    ['{\u00a0"a":1}', "is no JSON"],
  ] as const
) {
  Deno.test(`JSON text ${JSON.stringify(text)} is refused: ${problem}`, () => {
    assertThrows(() => new JsonObject(text), SyntaxError, problem);
    assertThrows(() => {
      const value = JSON.parse(text);
      if (Array.isArray(value)) throw new SyntaxError("no object");
    }, SyntaxError);
  });
}

Deno.test("JSON text nested more than 64 deep is refused, at any depth", () => {
  const nested = (n: number) => `{"a":${"[".repeat(n)}${"]".repeat(n)}}`;
  assertEquals(new JsonObject(nested(63)).text(), nested(63));
  for (const n of [64, 100_000]) {
    assertThrows(() => new JsonObject(nested(n)), SyntaxError, "more than 64 deep");
  }
});

Deno.test("JSON object knows the first key that it holds twice, at any depth, however it is written", () => {
  assertEquals(new JsonObject('{"a":1,"b":{"x":1,"\\u0078":2}}').repeated, "x");
  assertEquals(new JsonObject('{"a":1,"a":2}').text(), '{"a":1,"a":2}');
  assertEquals(new JsonObject('{"a":{"a":1}}').repeated, undefined);
});

Deno.test("JSON text is taken just where JSON.parse takes it, whatever is changed in it", () => {
  const samples = [
    '{"a":-1.5e-3,"b":[true,false,null,{"c":"\\u00e9\\\\"}],"d":{}}',
    ' {"x" : "y",\n"n":12} ',
  ];
  const alphabet = '{}[]",:\\ntruefalsu0123456789.eE+- \t\n\0x';
  const random = seeded(16);
  const pick = (n: number) => Math.floor(random() * n);
  let taken = 0;
  for (let n = 0; n < 6000; n++) {
    let text = samples[pick(samples.length)]!;
    for (let changes = pick(3) + 1; changes > 0; changes--) {
      const at = pick(text.length + 1);
      text = text.slice(0, at) + (pick(3) > 0 ? alphabet[pick(alphabet.length)]! : "") +
        text.slice(at + pick(2));
    }
    if (/nan|inf/i.test(text)) continue;
    const parsed = tryTo(() => JSON.parse(text));
    const isObject = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
    const ours = tryTo(() => new JsonObject(text).text());
    assertEquals(ours !== undefined, isObject, JSON.stringify(text));
    if (ours !== undefined) taken++;
    if (ours !== undefined) assertEquals(ours, text.trim());
  }
  assert(taken > 100, `${taken} taken`);
});

function tryTo<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
