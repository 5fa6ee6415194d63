/** The codes of failures: what they look like, and that each is used where errors are made. */

import { assertEquals, assertMatch } from "@std/assert";
import { CODES } from "../../lib/core/codes.ts";

const LIB = new URL("../../lib/", import.meta.url);

Deno.test("every code is kebab-case and has a meaning of its own", () => {
  for (const [code, meaning] of Object.entries(CODES)) {
    assertMatch(code, /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
    assertMatch(meaning, /^[A-Z`].*[^.]$/s);
  }
  assertEquals(new Set(Object.values(CODES)).size, Object.keys(CODES).length);
});

Deno.test("every code is made somewhere in lib, and nowhere is an error made without one", async () => {
  const texts = await sources(LIB);
  const all = texts.map(({ text }) => text).join("\n");
  const unused = Object.keys(CODES).filter((code) =>
    code !== "tool-failed" && !all.includes(`"${code}"`)
  );
  assertEquals(unused, []);
});

Deno.test("nothing in lib recognises an error of its own by its words", async () => {
  const found = (await sources(LIB)).flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, index) =>
      /\/\.(test|exec)\(\w*(error|reason|outcome|told)\w*\.message\)|message\.(includes|startsWith|match)\(/
          .test(line) && !FOREIGN.some((known) => line.includes(known))
        ? [`${path}:${index + 1}: ${line.trim()}`]
        : []
    )
  );
  assertEquals(found, []);
});

/** What says nothing else than a sentence of somebody else's: V8's, MQTT.js's, Deno's. */
const FOREIGN = ["/^write after end/"];

async function sources(folder: URL): Promise<{ path: string; text: string }[]> {
  const found: { path: string; text: string }[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const url = new URL(isDirectory ? `${name}/` : name, folder);
    if (isDirectory) found.push(...await sources(url));
    else if (name.endsWith(".ts") && name !== "codes.ts") {
      found.push({ path: url.pathname, text: await Deno.readTextFile(url) });
    }
  }
  return found;
}
