/**
 * The rooms of lib, from the ground floor up: a room imports only rooms below it, and of another room only its door,
 * `mod.ts`. core has no door: its files are imported by name. Types obey it, too.
 */

import { assertEquals } from "@std/assert";

const LIB = new URL("../lib/", import.meta.url);

/** Rooms of one floor do not know each other. */
const FLOORS: readonly (readonly string[])[] = [
  ["core"],
  ["sources"],
  ["settings"],
  ["identity", "queue"],
  ["connection"],
  ["publisher", "intake", "doctor"],
  ["commands"],
  ["app.ts"],
];

/** The rooms by which each outside package enters. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  "@std/cli": ["commands"],
  "@std/log": ["core"],
  "mqtt": ["connection"],
  "mqtt-packet": ["connection"],
  "node:buffer": ["connection", "queue"],
  "node:crypto": ["identity"],
  "node:dns": ["connection"],
  "node:fs": ["core", "sources", "queue"],
  "node:net": ["connection", "intake"],
  "node:sqlite": ["queue"],
  "node:stream": ["connection"],
  "node:tls": ["connection", "doctor"],
  "node:zlib": ["queue"],
  "strip-json-comments": ["settings"],
};

interface Import {
  readonly file: string;
  readonly target: string;
  readonly isType: boolean;
  /** Imported when it is needed. */
  readonly isLater: boolean;
}

Deno.test("a room imports only rooms below it, and of another room only its door", () => {
  const wrong = imports().filter(({ file, target }) => {
    const [from, to] = [roomOf(file), roomOf(target)];
    if (!target.endsWith(".ts") || from === to) return false;
    return floorOf(to) >= floorOf(from) || (to !== "core" && target !== `${to}/mod.ts`);
  });
  assertEquals(wrong.map(arrow), []);
});

Deno.test("files of lib import each other in no circle", () => {
  const targets = Map.groupBy(imports(), ({ file }) => file);
  const done = new Set<string>();
  const circleFrom = (file: string, way: readonly string[]): readonly string[] | undefined => {
    if (way.includes(file)) return [...way, file];
    if (done.has(file)) return undefined;
    for (const { target } of targets.get(file) ?? []) {
      const found = circleFrom(target, [...way, file]);
      if (found) return found;
    }
    done.add(file);
    return undefined;
  };
  assertEquals([...targets.keys()].map((file) => circleFrom(file, [])).find(Boolean), undefined);
});

Deno.test("each outside package enters lib by its own room", () => {
  const strangers = imports().filter(({ target }) => !/\.(ts|json)$/.test(target))
    .filter(({ file, target }) => {
      const name = Object.keys(OWNERS).find((owned) => `${target}/`.startsWith(`${owned}/`));
      return name === undefined || !OWNERS[name]!.includes(roomOf(file));
    });
  assertEquals(strangers.map(arrow), []);
});

Deno.test("help, version and settings load nothing of Node, which takes longer than all else", () => {
  const reached = new Set([
    "app.ts",
    "core/process.ts",
    "commands/version.ts",
    "commands/settings.ts",
  ]);
  for (const file of reached) {
    for (const { target, isType, isLater } of imports().filter((entry) => entry.file === file)) {
      if (!isType && !isLater) reached.add(target);
    }
  }
  assertEquals([...reached].filter((name) => name.startsWith("node:")), []);
});

Deno.test("only main.ts and the process touch arguments, exit code, signals and environment", () => {
  const pattern = /Deno\.(args|exit\b|exitCode|addSignalListener|env\b(?!"))/;
  const touching = files().filter((file) => pattern.test(code(file)));
  assertEquals(touching, ["core/no_debugger.ts", "core/process.ts"]);
});

Deno.test("nobody in lib calls console", () => {
  assertEquals(files().filter((file) => /\bconsole\./.test(code(file))), []);
});

function roomOf(file: string): string {
  return file.split("/")[0]!;
}

function floorOf(room: string): number {
  const floor = FLOORS.findIndex((rooms) => rooms.includes(room));
  return floor < 0 ? Infinity : floor;
}

function arrow({ file, target }: Import): string {
  return `${file} -> ${target}`;
}

function files(folder = ""): string[] {
  return [...Deno.readDirSync(new URL(folder, LIB))].flatMap(({ name, isDirectory }) =>
    isDirectory ? files(`${folder}${name}/`) : [`${folder}${name}`]
  ).filter((name) => name.endsWith(".ts")).sort();
}

/** The text without comments. */
function code(file: string): string {
  const text = Deno.readTextFileSync(new URL(file, LIB));
  return text.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

/** Every import in lib; a target is a path from lib, or the name of a package. */
function imports(): Import[] {
  const pattern = /^\s*(?:import|export)\s+(type\s+)?([^;]*?)\s*from\s+"([^"]+)"/gm;
  const later = /\bimport\("([^"]+)"\)/g;
  return files().flatMap((file) => {
    const pathOf = (target: string) =>
      target.startsWith(".")
        ? new URL(target, new URL(file, LIB)).href.slice(LIB.href.length)
        : target;
    return [
      ...[...code(file).matchAll(later)].map(([, target]) => ({
        file,
        target: pathOf(target!),
        isType: false,
        isLater: true,
      })),
      ...[...code(file).matchAll(pattern)].map(([, type, names, target]) => ({
        file,
        target: pathOf(target!),
        // `import { type A, type B }` is a type import, too.
        isType: type !== undefined ||
          (names!.startsWith("{") && names!.slice(1, -1).split(",").map((name) => name.trim())
            .filter(Boolean).every((name) => name.startsWith("type "))),
        isLater: false,
      })),
    ];
  });
}
