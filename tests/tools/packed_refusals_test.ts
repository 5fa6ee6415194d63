/** Where a self-extracting executable does not start, and what it says then, with a stand-in for Deno. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  envOf,
  namesIn,
  onBench,
  run,
  SHELLS,
  standIn,
  startOf,
  writePacked,
} from "../support/packing.ts";
import { hasProgram } from "../support/queueing.ts";

Deno.test("packed file refuses a place where others could put another program", async () => {
  await onBench(async (bench) => {
    startOf(await run([bench.file], { env: envOf(bench) }));
    const runtime = `${bench.runtimes}/${namesIn(bench.runtimes)[0]}`;
    for (const path of [bench.runtimes, runtime, `${runtime}/mqtt443`, `${runtime}/mqtt443.js`]) {
      const { mode } = await Deno.stat(path);
      for (const open of [0o020, 0o002]) {
        await Deno.chmod(path, mode! & 0o777 | open);
        const { code, stdout, stderr } = await run([bench.file], { env: envOf(bench) });
        assertEquals([code, stdout], [73, ""], path);
        assertStringIncludes(stderr, `others can write to ${path}: \`chmod go-w ${path}\``);
        assertMatch(stderr, /^error: .*\n {2}.*\nhint: .*MQTT443_RUNTIME_DIR=.*\n$/);
      }
      await Deno.chmod(path, mode! & 0o777);
    }
    // Who can write to the directory around it can put another one there, but not in one like /tmp.
    await Deno.chmod(bench.folder, 0o777);
    const around = await run([bench.file], { env: envOf(bench) });
    assertEquals(around.code, 73);
    assertStringIncludes(around.stderr, `others can write to ${bench.folder}: `);
    await Deno.chmod(bench.folder, 0o1777);
    await Deno.chmod(bench.runtimes, 0o1777);
    startOf(await run([bench.file], { env: envOf(bench) }));
    await Deno.rename(runtime, `${bench.folder}/elsewhere`);
    await Deno.symlink(`${bench.folder}/elsewhere`, runtime);
    const linked = await run([bench.file], { env: envOf(bench) });
    assertEquals(linked.code, 73);
    assertStringIncludes(linked.stderr, `${runtime} is a symbolic link`);
  });
});

Deno.test("packed file looks at every directory above a place, before it makes anything there", async () => {
  await onBench(async ({ file, folder }) => {
    const above = `${folder}/a b`;
    const runtimes = `${above}/c/d/runtimes`;
    const start = () => run([file], { env: { MQTT443_RUNTIME_DIR: runtimes } });
    await Deno.mkdir(above);
    for (const isMade of [false, true]) {
      await Deno.chmod(above, 0o777);
      const { code, stdout, stderr } = await start();
      assertEquals([code, stdout], [73, ""]);
      assertStringIncludes(stderr, `  ${runtimes}: others can write to ${above}: \`chmod go-w `);
      assertEquals(namesIn(above), isMade ? ["c"] : []);
      // As in /tmp, and where our own group may write.
      for (const mode of [0o1777, 0o770, 0o700]) {
        await Deno.chmod(above, mode);
        startOf(await start());
      }
    }
  });
});

Deno.test("packed file starts from where a place really is, whatever its links lead to later", async () => {
  await onBench(async ({ file, folder }) => {
    await Deno.mkdir(`${folder}/real`);
    await Deno.symlink("real", `${folder}/link`);
    const env = { MQTT443_RUNTIME_DIR: `${folder}/link/x/runtimes` };
    for (const start of ["first", "later"]) {
      const { flags } = startOf(await run([file], { env }));
      assert(flags.at(-1)!.startsWith(`${folder}/real/x/runtimes/mqtt443-`), start);
    }
    await Deno.chmod(`${folder}/real`, 0o777);
    const { code, stderr } = await run([file], { env });
    assertEquals(code, 73);
    assertStringIncludes(stderr, `others can write to ${folder}/real: `);
  });
});

Deno.test({
  name:
    "packed file started with the home of another user makes and starts nothing there (needs root)",
  ignore: Deno.uid() !== 0,
  fn: () =>
    onBench(async ({ file, folder }) => {
      const home = `${folder}/home`;
      const runtimes = `${home}/.cache/mqtt443`;
      await writePacked(file, { systemDir: `${folder}/none/runtime` });
      await Deno.mkdir(home);
      await Deno.chown(home, 12_345, 12_345);
      for (const cache of [{}, { XDG_CACHE_HOME: `${home}/.cache` }]) {
        const { code, stdout, stderr } = await run([file], { env: { HOME: home, ...cache } });
        assertEquals([code, stdout], [73, ""]);
        assertStringIncludes(
          stderr,
          `  ${runtimes}: ${home} belongs to another user, number 12345`,
        );
        assertEquals(namesIn(home), []);
      }
      // Nor what is there already, although root made it.
      await Deno.chown(home, 0, 0);
      startOf(await run([file], { env: { HOME: home } }));
      await Deno.chown(home, 12_345, 12_345);
      assertEquals((await run([file], { env: { HOME: home } })).code, 73);
    }),
});

Deno.test({
  name: "packed file refuses a runtime of another user (needs root)",
  ignore: Deno.uid() !== 0,
  fn: () =>
    onBench(async (bench) => {
      startOf(await run([bench.file], { env: envOf(bench) }));
      const runtime = `${bench.runtimes}/${namesIn(bench.runtimes)[0]}`;
      const { runtimes } = bench;
      for (const path of [`${runtime}/mqtt443`, runtime, runtimes, bench.folder]) {
        await Deno.chown(path, 12_345, 12_345);
        const { code, stderr } = await run([bench.file], { env: envOf(bench) });
        assertEquals(code, 73, path);
        assertStringIncludes(stderr, `${path} belongs to another user, number 12345`);
        await Deno.chown(path, 0, 0);
      }
    }),
});

Deno.test("packed file takes the first place that will do, and names all when none does", async () => {
  await onBench(async ({ folder, file }) => {
    const places = {
      system: `${folder}/lib/runtime`,
      cache: `${folder}/cache/mqtt443`,
      home: `${folder}/home/.cache/mqtt443`,
    };
    const env = { XDG_CACHE_HOME: `${folder}/cache`, HOME: `${folder}/home` };
    await writePacked(file, { systemDir: places.system });
    const where = async (variables: Record<string, string>) =>
      startOf(await run([file], { env: variables })).env.DENO_DIR!.replace(/\/mqtt443-1.*/, "");
    // The place for all users is install.sh's: nobody else makes it, root neither.
    assertEquals(await where(env), places.cache);
    await Deno.remove(places.cache, { recursive: true });
    await Deno.mkdir(`${folder}/lib`);
    await Deno.writeTextFile(places.system, "");
    assertEquals(await where(env), places.cache);
    assertEquals(await where({ HOME: env.HOME }), places.home);
    assertEquals(await where({ ...env, XDG_CACHE_HOME: "relative" }), places.home);
    const none = await run([file], { env: { HOME: "relative" } });
    assertEquals(none.code, 73);
    assertEquals(none.stderr.split("\n")[0], "error: Cannot unpack the runtime anywhere");
    assertStringIncludes(none.stderr, "  neither HOME nor XDG_CACHE_HOME is set\n");
    await Deno.remove(`${folder}/cache`, { recursive: true });
    await Deno.writeTextFile(`${folder}/cache`, "");
    const both = await run([file], { env: { XDG_CACHE_HOME: `${folder}/cache` } });
    assertEquals(both.stderr.split("\n").filter((line) => line.startsWith("  ")).length, 1);
    const relative = await run([file], { env: { MQTT443_RUNTIME_DIR: "here" } });
    assertEquals(relative.code, 73);
    assertStringIncludes(relative.stderr, 'must be an absolute path: current value is "here"');
  });
});

Deno.test("packed file starts what install.sh unpacked for all users, and nothing that others can write to (F13)", async () => {
  await onBench(async ({ folder, file }) => {
    const systemDir = `${folder}/lib`;
    await writePacked(file, { systemDir });
    await Deno.mkdir(`${systemDir}/new`, { recursive: true });
    const unpacked = await run([file], { env: { MQTT443_UNPACK: `${systemDir}/new` } });
    assertEquals([unpacked.code, unpacked.stderr], [0, ""]);
    const runtime = `${systemDir}/${unpacked.stdout.trim()}`;
    await Deno.rename(`${systemDir}/new`, runtime);
    const start = () => run([file], { env: { HOME: folder } });
    const first = startOf(await start());
    assertEquals(first.env.DENO_DIR, `${runtime}/cache`);
    assertEquals(namesIn(folder).includes(".cache"), false);
    // Damaged, or open to others: each user unpacks, and it is said.
    await Deno.writeTextFile(`${runtime}/mqtt443.js`, "THE PROGRAM");
    const damaged = await start();
    assert(startOf(damaged).env.DENO_DIR!.startsWith(`${folder}/.cache/mqtt443/`));
    assertEquals(damaged.stderr, `mqtt443: ${runtime} is damaged: install it again\n`);
    await Deno.writeTextFile(`${runtime}/mqtt443.js`, "the program");
    await Deno.chmod(systemDir, 0o777);
    assert(startOf(await start()).env.DENO_DIR!.startsWith(`${folder}/.cache/mqtt443/`));
  });
});

Deno.test({
  name: "packed file unpacks for all users with modes by which all can start it (needs setpriv)",
  ignore: Deno.uid() !== 0 || !hasProgram("setpriv"),
  fn: () =>
    onBench(async ({ folder, file }) => {
      const systemDir = `${folder}/lib`;
      await writePacked(file, { systemDir });
      await Deno.chmod(folder, 0o755);
      await Deno.mkdir(`${systemDir}/new`, { recursive: true });
      const { stdout } = await run([file], { env: { MQTT443_UNPACK: `${systemDir}/new` } });
      await Deno.rename(`${systemDir}/new`, `${systemDir}/${stdout.trim()}`);
      const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
      const { stderr, ...told } = await run([...asNobody, file], { cwd: "/" });
      assertEquals(stderr, "");
      startOf({ stderr, ...told });
      // What cannot be written down is checked at each start by systemd.
      const deno = `${systemDir}/${stdout.trim()}/mqtt443`;
      await Deno.writeFile(deno, (await Deno.readFile(deno)).with(-1, 0x20));
      assertEquals((await run([...asNobody, file], { cwd: "/" })).code, 0);
      const env = { INVOCATION_ID: "0aaa" };
      const checked = await run([...asNobody, file], { cwd: "/", env });
      assertStringIncludes(checked.stderr, " is damaged: install it again\n");
    }),
});

Deno.test("packed file that was cut or changed on its way says so, and leaves nothing", async () => {
  await onBench(async (bench) => {
    const whole = await Deno.readFile(bench.file);
    const changed = (at: number) => {
      const bytes = whole.slice();
      bytes[at]! ^= 0x10;
      return bytes;
    };
    const broken: [Uint8Array, string][] = [
      [whole.subarray(0, -100), `it has ${whole.length - 100} bytes of ${whole.length}`],
      [changed(whole.length - 60), "its content "],
      [changed(whole.length - 6), "its content "],
      // Whole in itself, and not what was packed.
      [
        changed(new TextDecoder("latin1").decode(whole).indexOf("js_sum='") + 9),
        "the wrong digest",
      ],
    ];
    for (const [bytes, why] of broken) {
      await Deno.writeFile(bench.file, bytes);
      const { code, stdout, stderr } = await run([bench.file], { env: envOf(bench) });
      assertEquals([code, stdout], [73, ""], why);
      assertStringIncludes(
        stderr,
        `error: Cannot unpack ${bench.file}: this executable is damaged`,
      );
      assertStringIncludes(stderr, why);
      assertEquals(namesIn(bench.runtimes), []);
    }
  });
});

Deno.test("packed file says why Deno does not start", async () => {
  const cases: [trial: string, expected: RegExp][] = [
    [
      "echo './mqtt443: error while loading shared libraries: libgcc_s.so.1: cannot open' >&2; exit 127",
      /a library is missing: .*libgcc_s\.so\.1/,
    ],
    [
      `echo "./mqtt443: /lib/libc.so.6: version \\\`GLIBC_2.27' not found" >&2; exit 1`,
      /the C library of this system is too old: .*GLIBC_2\.27/,
    ],
    ["echo Killed >&2; exit 137", /Deno ended with code 137: Killed/],
  ];
  for (const [trial, expected] of cases) {
    await onBench(async (bench) => {
      const { code, stdout, stderr } = await run([bench.file], { env: envOf(bench) });
      assertEquals([code, stdout], [73, ""]);
      assertMatch(stderr, expected);
      assertMatch(stderr, /^error: Cannot start here: .*\nhint: .*glibc 2\.27.*\n$/);
      assertEquals(namesIn(bench.runtimes), []);
    }, { deno: standIn(trial) });
  }
});

Deno.test("packed file tells a system without glibc, and a machine of another kind", async () => {
  // A loader that is not there is what musl's systems lack.
  const deno = standIn().replace("#!/bin/sh", "#!/lib/no-such-loader.so.2");
  for (const shell of SHELLS) {
    await onBench(async (bench) => {
      const musl = await run([...shell, bench.file], { env: envOf(bench) });
      assertEquals(musl.code, 73);
      assertStringIncludes(musl.stderr, "this system has no 64-bit glibc");
      assertEquals(namesIn(bench.runtimes), []);
      // The shell of BusyBox has a uname of its own.
      if (shell[0] === "busybox") return;
      const tools = `${bench.folder}/tools`;
      await Deno.mkdir(tools);
      await Deno.writeTextFile(`${tools}/uname`, "#!/bin/sh\necho riscv64\n", { mode: 0o755 });
      const PATH = `${tools}:${Deno.env.get("PATH")}`;
      const other = await run([...shell, bench.file], { env: { ...envOf(bench), PATH } });
      assertEquals(other.code, 73);
      assertStringIncludes(
        other.stderr,
        `this executable is for ${Deno.build.arch}, and this machine is riscv64`,
      );
      assertEquals(namesIn(bench.runtimes), []);
    }, { deno });
  }
});
