/** `deno task compile`: its command line, its errors, and what it finds of denort; what takes longer is in executables/. */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { crc32, deflateRawSync } from "node:zlib";
import { UserError } from "../lib/errors.ts";
import { generalGrants } from "../lib/grants.ts";
import { findDenort, readDenort, targetOf } from "../tools/compile/denort.ts";
import { scopeOf } from "../tools/compile/scope.ts";
import { stampOf } from "../tools/compile/stamp.ts";
import { TARGETS, targetsOf } from "../tools/compile/targets.ts";
import { inFolder } from "./command_line.ts";
import { namesIn, run } from "./packing.ts";

const COMPILE = new URL("../tools/compile.ts", import.meta.url).pathname;
const [X64, ARM64] = TARGETS as [typeof TARGETS[number], typeof TARGETS[number]];

/** Runs the command. */
function compileCommand(cwd: string, ...args: string[]) {
  const kept = ["HOME", "DENO_DIR"].flatMap((name) =>
    Deno.env.has(name) ? [[name, Deno.env.get(name)!]] : []
  );
  return run([Deno.execPath(), "run", "-A", "--frozen", COMPILE], {
    args,
    cwd,
    env: { ...Object.fromEntries(kept), MQTT443_ENDPOINT: "gw.example" },
  });
}

/** The beginning of an ELF file for a machine. */
function elf(machine: number, size = 5000): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes.set([machine & 0xff, machine >> 8], 18);
  return bytes;
}

/** A zip with one file. */
function zipOf(name: string, content: Uint8Array): Uint8Array {
  const packed = deflateRawSync(content);
  const nameBytes = new TextEncoder().encode(name);
  const local = new DataView(new ArrayBuffer(30));
  const central = new DataView(new ArrayBuffer(46));
  const end = new DataView(new ArrayBuffer(22));
  local.setUint32(0, 0x04034b50, true);
  local.setUint16(26, nameBytes.length, true);
  central.setUint32(0, 0x02014b50, true);
  central.setUint16(10, 8, true);
  central.setUint32(16, crc32(content), true);
  central.setUint32(20, packed.length, true);
  central.setUint32(24, content.length, true);
  central.setUint16(28, nameBytes.length, true);
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(10, 1, true);
  end.setUint32(16, 30 + nameBytes.length + packed.length, true);
  const bytes = (view: DataView) => new Uint8Array(view.buffer);
  const parts = [bytes(local), nameBytes, packed, bytes(central), nameBytes, bytes(end)];
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

Deno.test("compile command refuses what it does not know, and says what is near", async () => {
  const cases: [args: string[], code: number, said: RegExp][] = [
    [["--tarket", "x"], 64, /Unknown flag "--tarket" \(did you mean "target"\?\)/],
    [["--target", "aarch64-unknown-linux-gn"], 64, /did you mean "aarch64-unknown-linux-gnu"/],
    [["--target", "armv7-unknown-linux-gnueabihf"], 64, /Deno exists neither for 32-bit ARM nor/],
    [["--target", "x86_64-unknown-linux-musl"], 64, /Deno exists neither for .* nor for musl/],
    [["--runtime", "nmp"], 64, /Unknown runtime "nmp" \(did you mean "npm"\?\)/],
    [["--out"], 64, /Cannot use --out: a value is required/],
    [["--out", "a", "--out", "b"], 64, /--out: it is given more than once/],
    [["--runtime", "npm", "--denort", "x"], 64, /Cannot use --denort with --runtime npm/],
    [["dist"], 64, /Unexpected "dist"/],
    [["--settings", "no.json"], 78, /Cannot read settings file "no\.json": file not found/],
    [["--denort", "no.zip"], 78, /Cannot use denort "no\.zip": file not found/],
  ];
  await inFolder(async (folder) => {
    for (const [args, code, said] of cases) {
      const outcome = await compileCommand(folder, ...args);
      assertMatch(outcome.stderr, said);
      assertMatch(outcome.stderr, /^error: .*\nhint: .*\n$/);
      assertEquals([outcome.code, outcome.stdout], [code, ""], args.join(" "));
      assertEquals(namesIn(folder), []);
    }
    const help = await compileCommand(folder, "--help");
    assertEquals([help.code, help.stderr], [0, ""]);
    assertMatch(help.stdout, /--denort FILE/);
  });
});

Deno.test("compile command refuses settings that do not validate, whatever the environment has", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.json`, '{"port": 0, "endpiont": "x"}');
    const { code, stdout, stderr } = await compileCommand(folder, "--settings", "a.json");
    assertEquals([code, stdout], [78, ""]);
    for (
      const said of [
        "port: must be a whole number from 1 to 65535",
        '"endpoint"',
        "endpoint: required",
      ]
    ) {
      assertStringIncludes(stderr, said);
    }
    assertEquals(namesIn(folder), ["a.json"]);
  });
});

Deno.test("targets are taken by name, in one order, each once", () => {
  assertEquals(targetsOf([ARM64.name, X64.name, ARM64.name]), [X64, ARM64]);
});

Deno.test("general scope is that of the pure function", () => {
  assertEquals(scopeOf(undefined), { scope: "general", grants: generalGrants() });
});

Deno.test("site scope comes from the settings file alone", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/site.json`;
    await Deno.writeTextFile(file, '{"endpoint": "gw.example", "port": 8883, "state": "/data/q"}');
    const { scope, grants } = scopeOf(file);
    assertEquals(scope, "site");
    assertEquals(grants.net, ["gw.example:8883"]);
    assertEquals(grants.write, ["/data/q"]);
    // Neither where this machine has certificates, nor the name of the file here.
    for (const path of ["./certs", "/etc/mqtt443/certs", "./mqtt443.json"]) {
      assertEquals(grants.read.includes(path), true, path);
    }
    assertEquals(grants.read.includes(file), false);
  });
});

Deno.test("site scope names one certificate directory where the file does", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/site.json`;
    await Deno.writeTextFile(file, '{"endpoint": "gw.example", "certs": "/data/certs"}');
    const { grants } = scopeOf(file);
    assertEquals(grants.read.filter((path) => path.includes("certs")), ["/data/certs"]);
  });
});

Deno.test("stamp has the commit and its time, `+` where the tree has changes, and SOURCE_DATE_EPOCH first", async () => {
  await inFolder(async (folder) => {
    const git = async (...args: string[]) => {
      const env = {
        GIT_COMMITTER_DATE: "2026-01-02T03:04:05Z",
        GIT_CONFIG_GLOBAL: "/dev/null",
        HOME: folder,
      };
      const who = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
      const command = new Deno.Command("git", { args: ["-C", folder, ...who, ...args], env });
      assertEquals((await command.output()).success, true, args.join(" "));
    };
    const now = () => new Date("2030-01-01T00:00:00.123Z");
    assertEquals(await stampOf(folder, undefined, now), {
      commit: "unknown",
      date: "2030-01-01T00:00:00Z",
    });
    await git("init", "-q");
    await Deno.writeTextFile(`${folder}/a`, "a");
    await git("add", "a");
    await git("commit", "-q", "-m", "a");
    const clean = await stampOf(folder, undefined);
    assertMatch(clean.commit, /^[0-9a-f]{10}$/);
    assertEquals(clean.date, "2026-01-02T03:04:05Z");
    assertEquals(await stampOf(folder, undefined), clean);
    await Deno.writeTextFile(`${folder}/a`, "b");
    assertEquals((await stampOf(folder, undefined)).commit, `${clean.commit}+`);
    assertEquals((await stampOf(folder, "86400")).date, "1970-01-02T00:00:00Z");
    const error = await assertRejects(() => stampOf(folder, "today"), UserError);
    assertEquals(error.exitCode, 64);
  });
});

Deno.test("denort is read as it is, and from its zip", async () => {
  await inFolder(async (folder) => {
    await Deno.writeFile(`${folder}/denort`, elf(183));
    await Deno.writeFile(`${folder}/denort.zip`, zipOf("denort", elf(183)));
    for (const name of ["denort", "denort.zip"]) {
      const denort = await readDenort(`${folder}/${name}`);
      assertEquals(denort.bytes, elf(183));
      assertEquals(targetOf(denort), ARM64);
    }
  });
});

Deno.test("denort that is cut, damaged or something else is refused, and named", async () => {
  const whole = zipOf("denort", elf(62));
  const changed = whole.slice();
  changed[60]! ^= 1;
  const cases: Record<string, [bytes: Uint8Array, why: RegExp]> = {
    "cut.zip": [whole.subarray(0, -30), /the zip is cut or damaged/],
    "changed.zip": [changed, /the zip is cut or damaged/],
    "other.zip": [zipOf("deno", elf(62)), /the zip has no file "denort"/],
    "zip.zip": [zipOf("denort", new TextEncoder().encode("#!/bin/sh")), /no 64-bit ELF/],
    "script": [new TextEncoder().encode("#!/bin/sh\n"), /it is neither an ELF file nor a zip/],
    "empty": [new Uint8Array(), /it is neither an ELF file nor a zip/],
    "arm64": [elf(183), /for x86_64-unknown-linux-gnu: it is for aarch64/],
    "riscv64": [elf(243), /it is for ELF machine 243/],
  };
  await inFolder(async (folder) => {
    for (const [name, [bytes, why]] of Object.entries(cases)) {
      const path = `${folder}/${name}`;
      await Deno.writeFile(path, bytes);
      const find = async () => {
        const named = [await readDenort(path)];
        await findDenort(X64, { named, variable: undefined, denoDir: folder });
      };
      const error = await assertRejects(find, UserError);
      assertMatch(error.message, why);
      assertStringIncludes(error.message, path);
      assertEquals(error.exitCode, 78);
    }
  });
});

Deno.test("denort is looked for in the files named, DENORT_BIN, and Deno's cache", async () => {
  await inFolder(async (folder) => {
    const cached = `${folder}/dl/release/v2.9.5`;
    await Deno.mkdir(cached, { recursive: true });
    await Deno.writeFile(`${cached}/denort-${ARM64.name}.zip`, zipOf("denort", elf(183, 300)));
    await Deno.writeFile(`${folder}/variable`, elf(183, 200));
    const named = [{ path: "x", bytes: elf(62) }, { path: "arm", bytes: elf(183, 100) }];
    const sizeOf = async (search: Partial<Parameters<typeof findDenort>[1]>) => {
      const where = { named: [], variable: undefined, denoDir: folder, ...search };
      const denort = await findDenort(ARM64, where);
      return denort === "download" ? denort : denort.bytes.length;
    };
    assertEquals(await sizeOf({ named, variable: `${folder}/variable` }), 100);
    assertEquals(await sizeOf({ variable: `${folder}/variable` }), 200);
    assertEquals(await sizeOf({}), 300);
    await Deno.truncate(`${cached}/denort-${ARM64.name}.zip`, 100);
    const error = await assertRejects(() => sizeOf({}), UserError);
    assertStringIncludes(error.hint, "remove it: Deno then fetches it again");
  });
});
