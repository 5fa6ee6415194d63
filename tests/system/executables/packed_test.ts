/** The self-extracting executable with the real Deno inside: what it may do, where, and on which file systems. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Built, compile } from "../../../tools/build/compile.ts";
import { DENO_VERSION, TARGETS } from "../../../tools/build/targets.ts";
import { type Endpoint, startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { canMount, mountAt, mountMemory, succeeds } from "../../support/mounting.ts";
import type { Outcome } from "../../support/command_line.ts";
import { namesIn, run, type RunOptions, SHELLS, spawn } from "../../support/packing.ts";
import { signalled } from "../../support/listening.ts";
import { pki } from "../../support/publishing.ts";
import { startProxy } from "../../support/scripted_proxy.ts";

const OWN = TARGETS.find(({ name }) => name === Deno.build.target)!;
/** An executable for one site, its endpoint, and a runtime that is unpacked already. */
interface Site {
  readonly folder: string;
  readonly built: Built;
  readonly endpoint: Endpoint;
  /** Variables with which the runtime is found. */
  readonly env: { readonly MQTT443_RUNTIME_DIR: string };
  /** Makes a directory, with certificates or without. */
  makeDirectory(name: string, hasCerts?: boolean): Promise<string>;
  /** Runs the executable. */
  start(args: readonly string[], options?: RunOptions): Promise<Outcome>;
}

/** One executable for all tests of this file: making it takes seconds. */
async function inSite(action: (site: Site) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    await using endpoint = await startEndpoint({ certificates: pki });
    const settings = `${folder}/settings.json`;
    const values = { endpoint: "localhost", port: endpoint.port, clientId: "gw-7" };
    await Deno.writeTextFile(settings, JSON.stringify({ ...values, certs: "./certs" }));
    const options = { targets: [OWN.name], runtime: "npm", out: `${folder}/dist` } as const;
    const [built] = await compile({ ...options, settings });
    const env = { MQTT443_RUNTIME_DIR: `${folder}/runtimes` };
    await action({
      folder,
      built: built!,
      endpoint,
      env,
      start: (args, around = {}) =>
        run([built!.path], { ...around, args, env: { ...env, ...around.env } }),
      async makeDirectory(name, hasCerts = true) {
        const directory = `${folder}/${name}`;
        await Deno.mkdir(directory);
        await Deno.copyFile(settings, `${directory}/mqtt443.json`);
        if (hasCerts) await writeCerts(`${directory}/certs`, pki);
        return directory;
      },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const sentences = (outcome: Outcome) => outcome.stderr.split("\n").slice(0, 2).join("\n");

Deno.test("packed executable for a site", async (t) => {
  await inSite(async (site) => {
    const { endpoint, start, env, folder } = site;
    const home = await site.makeDirectory("home");

    await t.step("has a name of its own (F18)", () => {
      assertEquals(site.built.path, `${folder}/dist/mqtt443-site-linux-${OWN.arch}`);
    });

    await t.step("is the same, byte for byte, when it is built again", async () => {
      const options = { targets: [OWN.name], runtime: "npm", out: `${folder}/again` } as const;
      const treeOf = async ({ build }: Built, out: string) =>
        JSON.stringify([build, await Deno.readTextFile(`${out}/mqtt443.js`)]);
      let former = site.built;
      let tree = await treeOf(former, `${folder}/dist`);
      // Somebody may be at work on the tree while this runs.
      for (let tries = 0; tries < 5; tries++) {
        const [again] = await compile({ ...options, settings: `${folder}/settings.json` });
        const treeNow = await treeOf(again!, options.out);
        if (treeNow === tree) return assertEquals(again!.sha256, former.sha256);
        [former, tree] = [again!, treeNow];
      }
      throw new Error("The tree was changed at each try");
    });

    await t.step("says its version, runtime and grants", async () => {
      const { code, stdout } = await start(["version", "--json"], { cwd: home });
      assertEquals(code, 0);
      const { runtime, baked, scope, deno, permissions } = JSON.parse(stdout);
      assertEquals([runtime, scope, deno], ["npm", "site", DENO_VERSION]);
      assertEquals(baked, site.built.build.grants);
      // Besides, the socket of the service manager.
      const hosts = permissions.net.filter((host: string) => !host.startsWith("unix:"));
      assertEquals(hosts, [`localhost:${endpoint.port}`]);
      assertEquals([permissions.run, permissions.ffi, permissions.import], [[], [], []]);
    });

    await t.step("takes relative paths from the directory it is started in", async () => {
      const elsewhere = await site.makeDirectory("elsewhere");
      const bare = await site.makeDirectory("bare", false);
      for (const [at, cwd] of [home, elsewhere].entries()) {
        const { code, stderr } = await start(["publish", "--message", `from ${at}`], { cwd });
        assertEquals(code, 0, stderr);
        assert(namesIn(`${cwd}/state`).includes("queue.db"));
      }
      assertEquals(endpoint.received.map(({ payload }) => payload), ["from 0", "from 1"]);
      const without = await start(["publish", "--message", "x"], { cwd: bare });
      assertEquals(without.code, 78);
      assertStringIncludes(without.stderr, 'Cannot find the device certificate in "./certs"');
      const other = await start(["publish", "--message", "x", "--certs", `${home}/certs`], {
        cwd: bare,
      });
      assertEquals(other.code, 78);
      assertMatch(
        sentences(other),
        /not granted to read there\nhint: use \.\/certs: this executable was built for/,
      );
      assertEquals(endpoint.received.length, 2);
    });

    await t.step("says what it was built for when asked for anything else", async () => {
      const cases: [args: string[], why: RegExp, code?: number][] = [
        [["--endpoint", "gw.example"], /Cannot connect to gw\.example:\d+: .*not granted/],
        [["--port", "1"], /Cannot connect to localhost:1: .*not granted/],
        [["--certs", "/etc"], /Cannot read certificate directory "\/etc": .*not granted/],
        [["--config", "/etc/x.json"], /Cannot read settings file "\/etc\/x\.json": .*not granted/],
        [["--state", "/etc/state"], /not granted/, 73],
      ];
      for (const [args, why, code = 78] of cases) {
        const outcome = await start(["publish", "--message", "x", ...args], { cwd: home });
        assertMatch(sentences(outcome), why);
        assertStringIncludes(
          outcome.stderr,
          `this executable was built for localhost:${endpoint.port}, to read `,
        );
        assertStringIncludes(outcome.stderr, "`deno task compile --settings mqtt443.json`");
        assertEquals([outcome.code, outcome.stdout], [code, ""], args.join(" "));
      }
    });

    await t.step("publishes in spite of what is set and lies around it", async () => {
      await Deno.writeTextFile(`${folder}/package.json`, "{ not JSON");
      await Deno.writeTextFile(`${home}/package.json`, '{"type": "commonjs", "dependencies": 1}');
      await Deno.writeTextFile(`${home}/deno.json`, "{ not JSON");
      await Deno.writeTextFile(`${home}/.env`, "MQTT443_PORT=1");
      const hostile = {
        DENO_PERMISSION_BROKER_PATH: "/nonexistent",
        DENO_AUDIT_PERMISSIONS: `${folder}/audit`,
        DENO_TRACE_PERMISSIONS: "1",
        DENO_V8_FLAGS: "--no-such-flag",
        DENO_COMPAT: "1",
        DENO_CERT: "/nonexistent",
        DENO_TLS_CA_STORE: "no-such-store",
        DENO_DIR: "/nonexistent",
        NODE_OPTIONS: "--require=/nonexistent.js",
        NODE_EXTRA_CA_CERTS: "/nonexistent",
        DENO_COVERAGE_DIR: `${folder}/coverage`,
        DENO_SNAPSHOT_IMPORT_GRAPH: `${folder}/audit-graph`,
        OTEL_DENO: "true",
        HOME: home,
      };
      const before = endpoint.received.length;
      const { code, stderr } = await start(["publish", "--message", "still"], {
        cwd: home,
        env: hostile,
      });
      assertEquals(code, 0, stderr);
      assertEquals(endpoint.received.length, before + 1);
      assertEquals(stderr.split("\n").filter((line) => !/^(\d{4}-|$)/.test(line)), []);
      assertEquals(namesIn(folder).filter((name) => /audit|coverage/.test(name)), []);
    });

    await t.step("ends at SIGUSR1, and no debugger is ever opened (F4)", async () => {
      const args = ["publish", "--interval", "100ms", "--source", "clock"];
      const early = spawn([site.built.path], { args, cwd: home, env });
      assertEquals((await signalled(early)).seen, []);
      const before = endpoint.received.length;
      const child = spawn([site.built.path], { args, cwd: home, env });
      // Deno is ready for it half a second after its start.
      await endpoint.waitFor(before + 10);
      const { status, seen } = await signalled(child);
      assertEquals([status.code, status.signal, seen], [138, null, []]);
      for (const { stdin, stdout, stderr } of [early, child]) {
        await Promise.allSettled([stdin.close(), stdout.cancel(), stderr.cancel()]);
      }
    });

    await t.step({
      name:
        "runs from a root that is read-only, with its runtime there before (needs root and mount)",
      ignore: !canMount,
      async fn() {
        const root = `${folder}/root`;
        using _mounted = mountMemory(root, "300m");
        await Deno.copyFile(site.built.path, `${root}/mqtt443`);
        const first = await run([`${root}/mqtt443`], {
          args: ["version"],
          env: { MQTT443_RUNTIME_DIR: `${root}/runtimes` },
        });
        assertEquals(first.code, 0, first.stderr);
        assert(succeeds("mount", "-o", "remount,ro", root));
        const { code, stderr } = await run([`${root}/mqtt443`], {
          args: ["publish", "--message", "x"],
          cwd: home,
          env: { MQTT443_RUNTIME_DIR: `${root}/runtimes` },
        });
        assertEquals(code, 0, stderr);
        assertEquals(stderr.split("\n").filter((line) => !/^(\d{4}-|$)/.test(line)), []);
        // And where the check of this boot was not written down.
        assert(succeeds("mount", "-o", "remount,rw", root));
        const runtime = `${root}/runtimes/${namesIn(`${root}/runtimes`)[0]}`;
        await Deno.remove(`${runtime}/checked`);
        assert(succeeds("mount", "-o", "remount,ro", root));
        const unchecked = await run([`${root}/mqtt443`], {
          args: ["version"],
          env: { MQTT443_RUNTIME_DIR: `${root}/runtimes` },
        });
        assertEquals([unchecked.code, unchecked.stderr], [0, ""]);
      },
    });

    await t.step({
      name: "names a place where no program may be started (needs root and mount)",
      ignore: !canMount,
      async fn() {
        using _mounted = mountAt(
          `${folder}/noexec`,
          ...["-t", "tmpfs", "-o", "size=300m,mode=0700,noexec", "tmpfs"],
        );
        for (const shell of SHELLS) {
          const { code, stdout, stderr } = await run([...shell, site.built.path], {
            args: ["version"],
            env: { MQTT443_RUNTIME_DIR: `${folder}/noexec` },
          });
          assertEquals([code, stdout], [73, ""], shell[0]);
          assertStringIncludes(
            stderr,
            `${folder}/noexec: programs in it may not be started: is it mounted noexec?`,
          );
          assertEquals(namesIn(`${folder}/noexec`), []);
        }
      },
    });

    await t.step({
      name: "says that a disk is full, and leaves nothing there (needs root and mount)",
      ignore: !canMount,
      async fn() {
        using _mounted = mountMemory(`${folder}/full`, "50m");
        for (const shell of SHELLS) {
          const { code, stdout, stderr } = await run([...shell, site.built.path], {
            args: ["version"],
            env: { MQTT443_RUNTIME_DIR: `${folder}/full` },
          });
          assertEquals([code, stdout], [73, ""], shell[0]);
          assertMatch(
            stderr,
            /full: it cannot take \d+ MB: is it full\? `df -h .*full` shows\nhint/,
          );
          assertEquals(namesIn(`${folder}/full`), []);
        }
      },
    });
  });
});

Deno.test("packed executable for any endpoint of AWS reaches no other, and writes not where it was unpacked", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    const [built] = await compile({ targets: [OWN.name], runtime: "npm", out: folder });
    await writeCerts(`${folder}/certs`, pki);
    const start = (...args: string[]) =>
      run([built!.path], {
        args: ["publish", "--message", "x", ...args],
        cwd: folder,
        env: { MQTT443_RUNTIME_DIR: `${folder}/runtimes` },
      });
    const local = await start("--endpoint", "localhost");
    assertEquals(local.code, 78);
    assertMatch(
      sentences(local),
      /not granted to reach it\nhint: this executable was built for \*\.amazonaws\.com:443 /,
    );
    const aws = ["--endpoint", "x-ats.iot.eu-west-1.amazonaws.com"];
    const [runtime] = namesIn(`${folder}/runtimes`);
    const inRuntime = await start(...aws, "--state", `${folder}/runtimes/${runtime}/state`);
    assertEquals(inRuntime.code === 0, false);
    assertMatch(sentences(inRuntime), /state.*not granted/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("packed executable for any endpoint, made with --proxy-ports, reaches every endpoint through a proxy at a private address, and nothing else", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    await using endpoint = await startEndpoint({ certificates: pki });
    await using proxy = await startProxy();
    await using other = await startProxy();
    const options = { targets: [OWN.name], runtime: "npm", out: folder } as const;
    const [built] = await compile({ ...options, proxyPorts: [proxy.port] });
    await writeCerts(`${folder}/certs`, pki);
    const start = (...args: string[]) =>
      run([built!.path], {
        args,
        cwd: folder,
        env: { MQTT443_RUNTIME_DIR: `${folder}/runtimes` },
      });
    const to = ["--endpoint", "localhost", "--port", `${endpoint.port}`, "--client-id", "gw-7"];
    const publish = (...more: string[]) => start("publish", "--message", "hello", ...to, ...more);

    const through = await publish("--proxy", proxy.url);
    assertEquals(through.code, 0, through.stderr);
    assertEquals(endpoint.received.map(({ payload }) => payload), ["hello"]);
    assertEquals(proxy.asked, [`localhost:${endpoint.port}`]);
    const doctor = await start("doctor", "--json", ...to, "--proxy", proxy.url);
    assertEquals(doctor.code, 0, doctor.stdout + doctor.stderr);

    for (
      const [flags, hint] of [
        [[], /^this executable was built for /],
        [["--proxy", other.url], /^this executable was built for /],
        [["--proxy", `http://localhost:${proxy.port}`], /^give the proxy by its address; /],
      ] as const
    ) {
      const refused = await publish(...flags);
      assertEquals(refused.code, 78, refused.stderr);
      const [error, said] = sentences(refused).split("\n");
      assertMatch(
        error!,
        /^error: Cannot connect to .*: this process was not granted to reach it$/,
      );
      assertMatch(said!.replace(/^hint: /, ""), hint);
    }
    assertEquals([endpoint.connects.length, other.asked.length], [2, 0]);
    const version = await start("version");
    assertMatch(version.stdout, /^built for .*; a proxy by its address alone$/m);
    assertStringIncludes(version.stdout, `10.0.0.0/8:${proxy.port}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
