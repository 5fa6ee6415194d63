/** `deno task compile`: its command line, its errors, and what it finds of denort; what takes longer is in executables/. */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { crc32, deflateRawSync } from "node:zlib";
import type { Build } from "../../lib/core/build.ts";
import { UserError } from "../../lib/core/errors.ts";
import { findDenort, readDenort, targetOf } from "../../tools/build/denort.ts";
import { putAll } from "../../tools/build/put.ts";
import { scopeOf } from "../../tools/build/scope.ts";
import { stampOf } from "../../tools/build/stamp.ts";
import { DENO_VERSION, TARGETS } from "../../tools/build/targets.ts";
import { tryOut } from "../../tools/build/trial.ts";
import { inTempFolder } from "../../tools/shared/temp_folder.ts";
import { inFolder } from "../support/command_line.ts";
import { namesIn, run, spawn } from "../support/packing.ts";
import { hasProgram } from "../support/queueing.ts";

const COMPILE = new URL("../../tools/build/compile.ts", import.meta.url).pathname;
const [X64, ARM64] = TARGETS as [typeof TARGETS[number], typeof TARGETS[number]];
const OWN = TARGETS.find(({ name }) => name === Deno.build.target)!;

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

Deno.test(
  "stamp has the commit and its time, `+` where the tree has changes, and SOURCE_DATE_EPOCH first (needs git)",
  {
    ignore: !hasProgram("git"),
  },
  async () => {
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
  },
);

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
  const cut = elf(62);
  // Where its section headers start, how long each is, and how many there are.
  new DataView(cut.buffer).setBigUint64(40, BigInt(cut.length - 99), true);
  new DataView(cut.buffer).setUint16(58, 50, true);
  new DataView(cut.buffer).setUint16(60, 2, true);
  const cases: Record<string, [bytes: Uint8Array, why: RegExp]> = {
    "cut.zip": [whole.subarray(0, -30), /the zip is cut or damaged/],
    "changed.zip": [changed, /the zip is cut or damaged/],
    "other.zip": [zipOf("deno", elf(62)), /the zip has no file "denort"/],
    "zip.zip": [zipOf("denort", new TextEncoder().encode("#!/bin/sh")), /no 64-bit ELF/],
    "script": [new TextEncoder().encode("#!/bin/sh\n"), /it is neither an ELF file nor a zip/],
    "empty": [new Uint8Array(), /it is neither an ELF file nor a zip/],
    "arm64": [elf(183), /for x86_64-unknown-linux-gnu: it is for aarch64/],
    "riscv64": [elf(243), /it is for ELF machine 243/],
    "cut": [cut, /for x86_64-unknown-linux-gnu: it is cut/],
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

const BUILD: Build = { commit: "c", date: "d", ...scopeOf(undefined) };

Deno.test("executable for this machine is started before it is taken, and must be denort's with its grants", async () => {
  const { grants } = BUILD;
  const told = { runtime: "denort", deno: DENO_VERSION, baked: grants };
  const saying = (document: unknown) => `cat <<'END'\n${JSON.stringify(document)}\nEND`;
  const cases: [script: string, why: string | undefined][] = [
    [saying(told), undefined],
    [saying({ ...told, runtime: "deno" }), 'its runtime is "deno"'],
    [saying({ ...told, deno: "2.9.4" }), 'its Deno is "2.9.4"'],
    [saying({ ...told, baked: { ...grants, net: [] } }), "it has other grants"],
    [saying({ ...told, baked: null }), "it has other grants"],
    ["echo coreutils", "`version --json` prints no JSON"],
    ["exit 0", "`version --json` prints no JSON"],
    ["exit 3", "`version` ends with code 3"],
    ["kill -SEGV $$", "`version` ends with SIGSEGV"],
    ["exec sleep 100", "it was not done after 0.5 s"],
  ];
  await inFolder(async (folder) => {
    for (const [at, [script, why]] of cases.entries()) {
      const path = `${folder}/${at}`;
      await Deno.writeTextFile(path, "#!/bin/sh\nPATH=/usr/bin:/bin\n" + script, { mode: 0o755 });
      const said: string[] = [];
      const options = {
        ...{ target: OWN, build: BUILD, denort: { path: "d", bytes: elf(62) } },
        say: (line: string) => said.push(line),
        patienceMs: script.includes("sleep") ? 500 : 30_000,
      };
      if (why === undefined) await tryOut(path, options);
      else {
        const error = await assertRejects(() => tryOut(path, options), UserError);
        assertEquals(
          error.message,
          `Cannot use denort "d" for ${OWN.name}: what is made of it is not this program: ${why}`,
        );
        assertEquals(error.exitCode, 78);
      }
      assertEquals(said, []);
    }
  });
});

Deno.test("nothing is put into a folder where a folder has one of the names", async () => {
  await inFolder(async (folder) => {
    const content = new TextEncoder().encode("new");
    const files = ["a", "b"].map((name) => ({ path: `${folder}/${name}`, content, mode: 0o755 }));
    await Deno.writeTextFile(`${folder}/a`, "former");
    await Deno.mkdir(`${folder}/b`);
    const error = await assertRejects(() => putAll(folder, files), UserError);
    assertEquals(error.message, `Cannot write "${folder}/b": a folder is there`);
    assertEquals([error.exitCode, namesIn(folder)], [73, ["a", "b"]]);
    assertStringIncludes(error.hint, `\`mv ${folder}/b ${folder}/b.old\``);
    assertEquals(await Deno.readTextFile(`${folder}/a`), "former");
    await Deno.remove(`${folder}/b`);
    await putAll(folder, files);
    assertEquals(await Deno.readTextFile(`${folder}/a`), "new");
    assertEquals((await Deno.stat(`${folder}/b`)).mode! & 0o777, 0o755);
  });
});

Deno.test("folders of a task are removed when a signal ends it", async () => {
  await inFolder(async (folder) => {
    const module = new URL("../../tools/shared/temp_folder.ts", import.meta.url).href;
    const script = `import { inTempFolder } from "${module}";
      await inTempFolder("a-", () => inTempFolder("b-", async (folder) => {
        Deno.writeTextFileSync(folder + "/half", "");
        console.log("there");
        setInterval(() => {}, 60_000);
        await new Promise(() => {});
      }));`;
    await Deno.mkdir(`${folder}/temp`);
    await Deno.writeTextFile(`${folder}/task.ts`, script);
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
      const env = { ...Deno.env.toObject(), TMPDIR: `${folder}/temp` };
      const child = spawn([Deno.execPath(), "run", "-A", "--no-lock", `${folder}/task.ts`], {
        env,
      });
      const reader = child.stdout.getReader();
      assertEquals(new TextDecoder().decode((await reader.read()).value), "there\n");
      assertEquals(namesIn(`${folder}/temp`).length, 2);
      child.kill(signal);
      assertEquals((await child.status).code, code);
      await Promise.all([
        child.stdin.close().catch(() => {}),
        reader.cancel(),
        child.stderr.cancel(),
      ]);
      assertEquals(namesIn(`${folder}/temp`), []);
    }
  });
});

Deno.test("temporary folder that is not there, or full, is named with the way out", async () => {
  const former = Deno.env.get("TMPDIR");
  await inFolder(async (folder) => {
    try {
      Deno.env.set("TMPDIR", `${folder}/no`);
      const missing = await assertRejects(() => inTempFolder("x", async () => {}), UserError);
      assertStringIncludes(missing.message, `Cannot use temporary folder "${folder}/no": No such`);
      assertEquals(missing.exitCode, 73);
      assertStringIncludes(missing.hint, "set TMPDIR to a folder that is there");
      Deno.env.set("TMPDIR", folder);
      const write = () => Deno.writeTextFile("/dev/full", "x");
      const full = await assertRejects(() => inTempFolder("x", write), UserError);
      assertStringIncludes(full.message, "No space left on device");
      assertEquals(full.exitCode, 73);
      assertStringIncludes(full.hint, `\`df -h ${folder}\``);
      assertEquals(namesIn(folder), []);
    } finally {
      if (former === undefined) Deno.env.delete("TMPDIR");
      else Deno.env.set("TMPDIR", former);
    }
  });
});
