/** What a self-extracting executable hands over to Deno, and how it keeps its runtime, with a stand-in for Deno. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Bench,
  envOf,
  GRANTS,
  namesIn,
  onBench,
  run,
  SHELLS,
  spawn,
  standIn,
  startOf,
  whereIs,
  writePacked,
} from "../support/packing.ts";

/** Arguments that a careless script would take apart. */
const HARD = ["a b", "", "-n", "--", 'it\'s "$HOME" `id`', "two\nlines", "*", "\\", "ü"];

for (const shell of SHELLS) {
  const name = shell.join(" ");
  Deno.test(`packed file under ${name} hands over arguments, input, exit code and its process`, async () => {
    await onBench(async ({ file, runtimes }) => {
      for (const start of ["first", "later"]) {
        const child = spawn([...shell, file], {
          args: ["7", ...HARD],
          env: { MQTT443_RUNTIME_DIR: runtimes },
        });
        const writer = child.stdin.getWriter();
        await writer.write(new TextEncoder().encode("some\ninput"));
        await writer.close();
        const { code, stdout, stderr } = await child.output();
        const text = new TextDecoder();
        const outcome = { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
        const told = startOf(outcome);
        assertEquals(code, 7, start);
        assertEquals(outcome.stderr, "", start);
        assertEquals(told.args, ["7", ...HARD], start);
        assertEquals(told.input, "some\ninput", start);
        assertEquals(told.pid, child.pid, start);
      }
    });
  });

  Deno.test(`packed file under ${name} starts with tools of BusyBox alone, and later with two of them`, async () => {
    await onBench(async (bench) => {
      const tools = `${bench.folder}/tools`;
      await Deno.mkdir(tools);
      const needed = ["ls", "sha256sum", "mkdir", "mv", "rm", "chmod", "tail", "head", "gzip"];
      const box = SHELLS.some(([shell]) => shell === "busybox");
      for (const tool of [...needed, "wc", "env", "cat", "sync", "uname"]) {
        await Deno.symlink(await whereIs(box ? "busybox" : tool), `${tools}/${tool}`);
      }
      const path = await whereIs(shell[0]!);
      const command = [path, ...shell.slice(1), bench.file];
      const first = await run(command, { env: { ...envOf(bench), PATH: tools } });
      assertEquals(startOf(first).args, []);
      for (const tool of needed.slice(2)) await Deno.remove(`${tools}/${tool}`);
      const later = await run(command, { env: { ...envOf(bench), PATH: tools } });
      assertEquals(startOf(later).args, []);
    });
  });
}

for (const shell of SHELLS) {
  const name = shell.join(" ");
  Deno.test(`packed file under ${name} gives Deno the baked grants, quoted, and of the variables a list (F5, F7)`, async () => {
    await onBench(async (bench) => {
      const hostile = {
        DENO_PERMISSION_BROKER_PATH: "/tmp/broker",
        DENO_V8_FLAGS: "--jitless",
        NODE_OPTIONS: "--require /tmp/x.js",
        DENO_DIR: "/tmp/elsewhere",
        DENO_CERT: "/tmp/ca.pem",
        NODE_EXTRA_CA_CERTS: "/tmp/ca.pem",
        DENO_SNAPSHOT_IMPORT_GRAPH: "/tmp/graph",
        SOME_SECRET: "two lines,\nexport PATH='/nowhere'\ndir=*",
        dir: "/tmp",
      };
      const kept = {
        NO_COLOR: "1",
        MQTT443_ENDPOINT: 'it\'s "x".example\n*',
        LC_MESSAGES: "C",
        JOURNAL_STREAM: "8:1",
        SSLKEYLOGFILE: "/tmp/keys",
      };
      const { flags, env } = startOf(
        await run([...shell, bench.file], { env: { ...envOf(bench), ...hostile, ...kept } }),
      );
      assertEquals(flags[0], "run");
      assert(flags.includes("--allow-net=gw.example:443"));
      assert(flags.includes("--allow-read=./it's here"));
      for (
        const flag of ["--no-prompt", "--ignore-env", "--no-config", "--no-remote", "--no-npm"]
      ) {
        assert(flags.includes(flag), flag);
      }
      assertEquals(flags.filter((flag) => /^-A$|--allow-all|^--allow-\w+$/.test(flag)), []);
      const { DENO_DIR, ...rest } = env;
      assertEquals(Object.keys(hostile).filter((name) => name in rest), []);
      assert(DENO_DIR!.startsWith(`${bench.runtimes}/mqtt443-1.2.3-`));
      assertEquals(rest.MQTT443_RUNTIME, "npm");
      for (const [name, value] of Object.entries(kept)) {
        assertEquals(rest[name], value.split("\n")[0]);
      }
    }, { grants: { ...GRANTS, env: ["SSLKEYLOGFILE", "DENO_CERT"] } });
  });
}

Deno.test("packed file is found through PATH, links, odd names and `sh FILE`", async () => {
  const name = 'it\'s "mqtt443" ünd $HOME\nmore';
  await onBench(async ({ folder, file }) => {
    const env = { MQTT443_RUNTIME_DIR: `${folder}/rün 'time" $x` };
    const fresh = () => Deno.remove(env.MQTT443_RUNTIME_DIR, { recursive: true });
    await Deno.symlink(file, `${folder}/link`);
    await Deno.symlink(file, `${folder}/-dash`);
    const PATH = `${folder}:${Deno.env.get("PATH")}`;
    const ways: [string[], Record<string, string>][] = [
      [[file], env],
      [[`${folder}/link`], env],
      [["sh", "-c", "exec link"], { ...env, PATH }],
      [["sh", "link"], env],
      [["sh", "./-dash"], env],
      [["sh", file], env],
    ];
    for (const [command, variables] of ways) {
      const told = startOf(await run(command, { env: variables, cwd: folder }));
      assertEquals(told.cwd, folder, command.join(" "));
      await fresh();
    }
  }, { name });
});

Deno.test("packed file unpacks privately whatever the umask, and hands the umask on", async () => {
  for (const umask of ["000", "077", "022"]) {
    await onBench(async (bench) => {
      const command = ["sh", "-c", `umask ${umask}; exec "$0"`, bench.file];
      const told = startOf(await run(command, { env: envOf(bench) }));
      assertEquals(told.umask.slice(-3), umask);
      const [runtime] = namesIn(bench.runtimes);
      for (const path of [bench.runtimes, `${bench.runtimes}/${runtime}`]) {
        assertEquals((await Deno.stat(path)).mode! & 0o777, 0o700, path);
      }
      const deno = await Deno.stat(`${bench.runtimes}/${runtime}/mqtt443`);
      assertEquals(deno.mode! & 0o777, 0o700);
    });
  }
});

Deno.test("packed files that start at once all work, and leave one runtime", async () => {
  await onBench(async (bench) => {
    const starts = Array.from(
      { length: 6 },
      (_, at) => run([bench.file], { args: [`n${at}`], env: envOf(bench) }),
    );
    const told = (await Promise.all(starts)).map(startOf);
    assertEquals(told.map(({ args }) => args[0]), ["n0", "n1", "n2", "n3", "n4", "n5"]);
    const names = namesIn(bench.runtimes);
    assertEquals(names.length, 1);
    assertEquals(namesIn(`${bench.runtimes}/${names[0]}`), [
      "checked",
      "from",
      "mqtt443",
      "mqtt443.js",
    ]);
  });
});

Deno.test("packed file killed while it unpacks leaves nothing that the next start does not remove", async () => {
  await withGates(async (bench, open) => {
    const gate = await open();
    const killed = spawn([bench.file], { env: gate.env });
    const held = await gate.reached();
    const [half] = namesIn(bench.runtimes);
    assertStringIncludes(half!, `.new-${killed.pid}-`);
    killed.kill("SIGKILL");
    await killed.status;
    held.close();
    await ended(killed);
    assertEquals(namesIn(bench.runtimes), [half!]);
    startOf(await run([bench.file], { env: envOf(bench) }));
    assertEquals(namesIn(bench.runtimes).length, 1);
    assert(!namesIn(bench.runtimes).includes(half!));
    // Where the runtime was there already, the start after it looks too.
    await Deno.mkdir(`${bench.runtimes}/${half}`);
    startOf(await run([bench.file], { env: envOf(bench) }));
    assert(!namesIn(bench.runtimes).includes(half!));
  });
});

Deno.test("packed file removes nothing that a live start unpacks", async () => {
  await withGates(async (bench, open) => {
    const gate = await open();
    const slow = run([bench.file], { env: gate.env });
    const held = await gate.reached();
    const half = namesIn(bench.runtimes);
    startOf(await run([bench.file], { env: envOf(bench) }));
    assertEquals(namesIn(bench.runtimes).length, 2);
    assert(namesIn(bench.runtimes).includes(half[0]!));
    held.close();
    startOf(await slow);
    assertEquals(namesIn(bench.runtimes).length, 1);
  });
});

Deno.test("packed file stopped by a signal while it unpacks leaves nothing", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    await withGates(async (bench, open) => {
      const gate = await open();
      const child = spawn([bench.file], { env: gate.env });
      const held = await gate.reached();
      child.kill(signal);
      held.close();
      assertEquals((await ended(child)).signal, signal);
      assertEquals(namesIn(bench.runtimes), []);
    });
  }
});

Deno.test("packed file mends a damaged runtime, and says so in one line", async () => {
  await onBench(async (bench) => {
    startOf(await run([bench.file], { env: envOf(bench) }));
    const runtime = `${bench.runtimes}/${namesIn(bench.runtimes)[0]}`;
    const flip = async (path: string) => {
      const bytes = await Deno.readFile(path);
      bytes[9]! ^= 1;
      await Deno.writeFile(path, bytes);
    };
    const damages: Record<string, () => Promise<void>> = {
      "a cut file": () => Deno.truncate(`${runtime}/mqtt443`, 10),
      "a missing file": () => Deno.remove(`${runtime}/mqtt443.js`),
      "a file that may not be started": () => Deno.chmod(`${runtime}/mqtt443`, 0o600),
      "a changed byte of the program": () => flip(`${runtime}/mqtt443.js`),
      "a changed byte of Deno, seen at the first start after a boot": async () => {
        await flip(`${runtime}/mqtt443`);
        await Deno.writeTextFile(`${runtime}/checked`, "another-boot/\n");
      },
      "a changed byte of Deno where nothing was checked yet": async () => {
        await flip(`${runtime}/mqtt443`);
        await Deno.remove(`${runtime}/checked`);
      },
    };
    for (const [damage, doIt] of Object.entries(damages)) {
      await doIt();
      const mended = await run([bench.file], { env: envOf(bench) });
      startOf(mended);
      assertEquals(mended.stderr, `mqtt443: ${runtime} is damaged: it is unpacked again\n`, damage);
      const again = await run([bench.file], { env: envOf(bench) });
      startOf(again);
      assertEquals(again.stderr, "", damage);
      assertEquals(namesIn(bench.runtimes).length, 1, damage);
    }
  });
});

Deno.test("packed file checks Deno's digest once per boot, and at each start by systemd", async () => {
  await onBench(async (bench) => {
    const start = async (INVOCATION_ID?: string) => {
      const env = { ...envOf(bench), ...(INVOCATION_ID !== undefined && { INVOCATION_ID }) };
      const outcome = await run([bench.file], { env });
      startOf(outcome);
      return outcome.stderr;
    };
    assertEquals(await start(), "");
    const runtime = `${bench.runtimes}/${namesIn(bench.runtimes)[0]}`;
    const checked = () => Deno.readTextFile(`${runtime}/checked`);
    const boot = (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim();
    assertEquals(await checked(), `${boot}/\n`);
    await Deno.writeTextFile(`${runtime}/checked`, "another-boot/\n");
    assertEquals(await start(), "");
    assertEquals(await checked(), `${boot}/\n`);
    assertEquals(await start("0aaa"), "");
    assertEquals(await checked(), `${boot}/0aaa\n`);
    // By hand nothing new is wanted.
    assertEquals(await start(), "");
    assertEquals(await checked(), `${boot}/0aaa\n`);
    const bytes = await Deno.readFile(`${runtime}/mqtt443`);
    // Its last line's end: the stand-in starts all the same.
    await Deno.writeFile(`${runtime}/mqtt443`, bytes.with(-1, 0x20));
    assertEquals(await start("0aaa"), "");
    assertEquals(await start("0bbb"), `mqtt443: ${runtime} is damaged: it is unpacked again\n`);
    assertEquals(await start("0bbb"), "");
  });
});

Deno.test("packed file never lets the program write to its runtime, wherever that is", async () => {
  await onBench(async ({ file, folder }) => {
    for (const given of ["a", "a b"]) {
      const env = { MQTT443_RUNTIME_DIR: `${folder}/${given}` };
      const { flags } = startOf(await run([file], { env }));
      assertEquals(
        flags.filter((flag) => flag.startsWith("--deny-write")),
        [`--deny-write=${folder}/${given}/${namesIn(`${folder}/${given}`)[0]}`],
      );
    }
  });
});

Deno.test("packed file removes what its former version unpacked, and nothing else", async () => {
  await onBench(async (bench) => {
    startOf(await run([bench.file], { env: envOf(bench) }));
    const other = `${bench.folder}/other`;
    await writePacked(other, { code: "of another file" });
    startOf(await run([other], { env: envOf(bench) }));
    const before = namesIn(bench.runtimes);
    assertEquals(before.length, 2);
    await writePacked(bench.file, { code: "the next version" });
    const upgraded = startOf(await run([bench.file], { env: envOf(bench) }));
    const after = namesIn(bench.runtimes);
    assertEquals(after.length, 2);
    assertEquals(after.filter((name) => before.includes(name)).length, 1);
    assert(after.some((name) => upgraded.env.DENO_DIR!.includes(name)));
    const { env } = startOf(await run([other], { env: envOf(bench) }));
    assert(before.some((name) => env.DENO_DIR!.includes(name)));
  });
});

/** Where the trial of Deno waits until the test lets it go on. */
interface Gate {
  /** Variables with which a start meets it. */
  readonly env: Readonly<Record<string, string>>;
  /** Settles when the start is there: its files unpacked, and not yet in their place. Closing lets it go on. */
  reached(): Promise<Deno.FsFile>;
}

/** An executable, and gates for as many of its starts as are wanted; others pass. */
async function withGates(
  action: (bench: Bench, open: () => Promise<Gate>) => Promise<void>,
): Promise<void> {
  const deno = standIn('[ -z "$MQTT443_GATE" ] || read -r line <"$MQTT443_GATE"; exit 0');
  await onBench((bench) => {
    let gates = 0;
    const open = async () => {
      const MQTT443_GATE = `${bench.folder}/gate${gates++}`;
      const { success } = await new Deno.Command("mkfifo", { args: [MQTT443_GATE] }).output();
      assert(success);
      return {
        env: { ...envOf(bench), MQTT443_GATE },
        reached: () => Deno.open(MQTT443_GATE, { write: true }),
      };
    };
    return action(bench, open);
  }, { deno });
}

/** How a process ended. */
async function ended(child: Deno.ChildProcess): Promise<Deno.CommandOutput> {
  const output = await child.output();
  await child.stdin.close().catch(() => {});
  return output;
}
