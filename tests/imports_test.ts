/**
 * The drawing of the layers as data: who may import whom, and through which file each package enters. Type imports are
 * free downward.
 */

import { assert, assertEquals } from "@std/assert";

const LIB = new URL("../lib/", import.meta.url);

/** Layers from the bottom; a file may import from its own `beside` list and from lower layers. */
const LAYERS: Record<string, number> = {
  "errors.ts": 0,
  "message.ts": 0,
  "words.ts": 0,
  "build.ts": 0,
  "version.ts": 0,
  "entropy.ts": 0,
  "no_debugger.ts": 0,
  "values.ts": 1,
  "settings_table.ts": 1,
  "settings.ts": 1,
  "cli.ts": 1,
  "help.ts": 1,
  "backoff.ts": 1,
  "pacing.ts": 1,
  "suspicion.ts": 1,
  "length_watch.ts": 1,
  "pem.ts": 1,
  "file_guard.ts": 1,
  "key_kinds.ts": 1,
  "policy.ts": 1,
  "causes.ts": 1,
  "reason_codes.ts": 1,
  "certificate.ts": 1,
  "validity.ts": 1,
  "line_sink.ts": 1,
  "log.ts": 2,
  "identity.ts": 2,
  "identity_files.ts": 2,
  "keep_alive.ts": 1,
  "tcp.ts": 2,
  "chain_fault.ts": 2,
  "notify.ts": 2,
  "transport.ts": 2,
  "connection.ts": 2,
  "session.ts": 2,
  "no_store.ts": 2,
  "queue_types.ts": 0,
  "checksum.ts": 1,
  "queue_errors.ts": 1,
  "queue_schema.ts": 2,
  "queue_rows.ts": 2,
  "queue_limits.ts": 2,
  "queue_ahead.ts": 1,
  "queue_drafts.ts": 1,
  "queue_left.ts": 1,
  "queue_memory.ts": 2,
  "damaged_table.ts": 2,
  "salvage.ts": 2,
  "queue.ts": 2,
  "last_run.ts": 1,
  "queue_dir.ts": 2,
  "state_guard.ts": 2,
  "second_look.ts": 2,
  "volatile.ts": 2,
  "spill.ts": 2,
  "sources/": 2,
  "reports.ts": 3,
  "outage.ts": 3,
  "clock_watch.ts": 3,
  "expiry.ts": 3,
  "link.ts": 3,
  "health.ts": 3,
  "gather.ts": 3,
  "delivery.ts": 3,
  "publisher.ts": 3,
  "verdict.ts": 3,
  "doctor.ts": 3,
  "world.ts": 4,
  "load.ts": 4,
  "grants.ts": 4,
  "commands/": 4,
  "app.ts": 4,
};

/** The one file by which each outside package enters, and why only there. */
const OWNERS: Record<string, readonly string[]> = {
  "@std/cli/parse-args": ["cli.ts"],
  "@std/log/base-handler": ["log.ts"],
  "@std/log/levels": ["log.ts"],
  "@std/log/logger": ["log.ts"],
  "mqtt": ["session.ts"],
  "mqtt/lib/client": ["session.ts"],
  "mqtt/lib/store": ["no_store.ts"],
  "node:buffer": ["queue_drafts.ts", "session.ts"],
  "node:crypto": ["identity.ts"],
  "node:fs": ["volatile.ts", "sources/disk.ts", "world.ts"],
  "node:sqlite": ["queue.ts", "queue_rows.ts", "queue_schema.ts", "damaged_table.ts", "salvage.ts"],
  "node:tls": ["second_look.ts", "transport.ts"],
  "node:dns": ["tcp.ts"],
  "node:net": ["tcp.ts", "transport.ts"],
  "node:stream": ["transport.ts"],
  "node:zlib": ["checksum.ts"],
};

/** Arrows that the layers would allow or forbid otherwise, each with its reason. */
const FORBIDDEN: readonly (readonly [from: RegExp, to: RegExp, reason: string])[] = [
  [
    /^(publisher|delivery|gather|outage|reports)\.ts$/,
    /^(connection|queue|identity|spill)\.ts$/,
    "policy gets the edges as arguments, so that a test can hand it others",
  ],
  [
    /^queue\.ts$/,
    /^connection\.ts$/,
    "a message may leave the disk only when its PUBACK says so, which the publisher decides",
  ],
  [/^connection\.ts$/, /^queue\.ts$/, "a session knows nothing of what waits"],
  [/^sources\//, /^(connection|queue|publisher)\.ts$/, "a source only measures"],
  [/^(?!commands\/|app\.ts)/, /^commands\//, "only the wiring wires"],
];

interface Import {
  readonly file: string;
  readonly target: string;
  readonly isType: boolean;
  /** Imported when it is needed. */
  readonly isLater: boolean;
}

Deno.test("every file of lib is in the drawing", () => {
  const missing = files().filter((file) => layerOf(file) === undefined);
  assertEquals(missing, []);
});

Deno.test("imports in lib go down, or to the same layer", () => {
  const upward = localImports().filter(({ file, target, isType }) =>
    !isType && layerOf(target)! > layerOf(file)!
  );
  assertEquals(upward, []);
});

Deno.test("forbidden arrows are not drawn", () => {
  const drawn = localImports().filter(({ isType }) => !isType).flatMap(({ file, target }) =>
    FORBIDDEN.filter(([from, to]) => from.test(file) && to.test(target))
      .map(([, , reason]) => `${file} -> ${target}: ${reason}`)
  );
  assertEquals(drawn, []);
});

Deno.test("each outside package enters lib by its own file", () => {
  const strangers = allImports().filter(({ target }) => !target.startsWith("."))
    .filter(({ file, target }) => !OWNERS[target]?.includes(file))
    .map(({ file, target }) => `${file} imports ${target}`);
  assertEquals(strangers, []);
});

Deno.test("lib never imports tools or tests", () => {
  assert(allImports().every(({ target }) => !/(^|\/)(tools|tests)\//.test(target)));
});

Deno.test("help, version and settings load nothing of Node, which takes longer than all else", () => {
  const imports = allImports().filter(({ isType, isLater }) => !isType && !isLater);
  const reached = new Set(["app.ts", "world.ts", "commands/version.ts", "commands/settings.ts"]);
  for (const file of reached) {
    for (const { target } of imports.filter((entry) => entry.file === file)) {
      reached.add(target.startsWith(".") ? pathOf({ file, target }) : target);
    }
  }
  assert(reached.has("settings_table.ts"), "nothing was followed");
  assertEquals([...reached].filter((name) => name.startsWith("node:")), []);
});

Deno.test("only main.ts and the world touch arguments, exit code, signals and environment", () => {
  const pattern = /Deno\.(args|exit\b|exitCode|addSignalListener|env\b(?!"))/;
  const touching = files().filter((file) => !["world.ts", "no_debugger.ts"].includes(file))
    .filter((file) => pattern.test(code(file)));
  assertEquals(touching, []);
});

Deno.test("nobody in lib calls console", () => {
  assertEquals(files().filter((file) => /\bconsole\./.test(code(file))), []);
});

function files(folder = ""): string[] {
  return [...Deno.readDirSync(new URL(folder, LIB))].flatMap(({ name, isDirectory }) =>
    isDirectory ? files(`${folder}${name}/`) : [`${folder}${name}`]
  );
}

function layerOf(file: string): number | undefined {
  return LAYERS[file] ?? LAYERS[file.replace(/[^/]+$/, "")];
}

/** The text without comments. */
function code(file: string): string {
  const text = Deno.readTextFileSync(new URL(file, LIB));
  return text.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function allImports(): Import[] {
  const pattern = /^\s*(import|export)\s+(type\s+)?([^;]*?)\s*from\s+"([^"]+)"/gm;
  const later = /\bimport\("([^"]+)"\)/g;
  return files().flatMap((file) => [
    ...[...code(file).matchAll(later)].map(([, target]) => ({
      file,
      target: target!,
      isType: false,
      isLater: true,
    })),
    ...[...code(file).matchAll(pattern)].map(([, , type, names, target]) => ({
      file,
      target: target!,
      // `import { type A, type B }` is a type import too.
      isType: type !== undefined ||
        (names!.startsWith("{") && names!.slice(1, -1).split(",").map((name) => name.trim())
          .filter(Boolean).every((name) => name.startsWith("type "))),
      isLater: false,
    })),
  ]);
}

function localImports(): Import[] {
  return allImports().filter(({ target }) => target.startsWith(".")).map((entry) => {
    return { ...entry, target: pathOf(entry) };
  }).filter(({ target }) => layerOf(target) !== undefined);
}

/** The file that an import names, from lib. */
function pathOf({ file, target }: Pick<Import, "file" | "target">): string {
  return new URL(target, new URL(file, LIB)).href.slice(LIB.href.length);
}
