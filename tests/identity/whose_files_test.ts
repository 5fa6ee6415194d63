/**
 * Files of other users, as root and as another user, with the grants that users have: refused and not used, and nothing
 * of theirs changed.
 */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { generalGrants, grantFlags, grantsOf } from "../../lib/settings/grants.ts";
import { SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import { StateDirectory } from "../../lib/queue/state_directory.ts";
import { mergeSettings } from "../../lib/settings/merge.ts";
import { makeBundle } from "../../tools/build/bundle.ts";
import { makePki, startEndpoint, writeCerts } from "../../tools/endpoint/mod.ts";
import { inFolder, type Outcome } from "../support/command_line.ts";
import { lchown } from "../support/owners.ts";
import { isRoot, messages, OPTIONS } from "../support/queueing.ts";

// esbuild's process ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

/** What an executable for any endpoint holds. */
const { code: bundle } = await makeBundle({
  commit: "abc",
  date: "2026-11-27T00:00:00Z",
  scope: "general",
  grants: generalGrants(),
});
/** Stands for the user of the service. */
const NOBODY = 65534;
/** Another user, who may read all files besides: Deno may lie in a folder of root's. */
const AS_NOBODY = [
  ...["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"],
  ...["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"],
];
const AWS = ["--endpoint", "x.iot.eu-west-1.amazonaws.com", "--client-id", "gw-7"];
const pki = await makePki();

/** Settings that are installed on this machine are none of a test's. */
const WITHOUT_INSTALLED = isRoot && existsSync("/etc/mqtt443")
  ? ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc/mqtt443 && exec "$@"', "sh"]
  : [];

/** Runs the program with these grants, as root or within another command. */
async function start(
  cwd: string,
  args: readonly string[],
  { flags = grantFlags(generalGrants()), within = [], env = {} }: {
    flags?: readonly string[];
    env?: Readonly<Record<string, string>>;
    within?: readonly string[];
  } = {},
): Promise<Outcome> {
  const program = await Deno.makeTempFile({ suffix: ".js" });
  await Deno.writeTextFile(program, bundle);
  const run = [Deno.execPath(), "run", "--no-config", ...flags, program];
  const [command, ...rest] = [...WITHOUT_INSTALLED, ...within, ...run, ...args];
  const { code, stdout, stderr } = await new Deno.Command(command!, {
    args: rest,
    cwd,
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", DENO_DIR: `${cwd}/none`, DENO_NO_UPDATE_CHECK: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  await Deno.remove(program);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

function rootTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({ name: `${name}; needs root)`, ignore: !isRoot, fn: () => inFolder(fn) });
}

/** Gives a folder and all in it to a user. */
async function give(path: string, uid = NOBODY): Promise<void> {
  const { success } = await new Deno.Command("chown", { args: ["-R", `${uid}:${uid}`, path] })
    .output();
  assert(success);
}

rootTest(
  "root in a folder for all uses no settings file of another user, nor its link (G9",
  async (folder) => {
    await Deno.chmod(folder, 0o1777);
    const path = `${folder}/mqtt443.json`;
    await Deno.writeTextFile(path, '{"endpoint": "evil.amazonaws.com"}');
    await Deno.chown(path, NOBODY, NOBODY);
    for (const args of [["settings"], ["publish", "--message", "x"], ["queue"], ["doctor"]]) {
      const { code, stdout, stderr } = await start(folder, args);
      assertEquals(code, 78, stderr);
      assertMatch(
        stdout + stderr,
        /Cannot use settings file[^]*it\s+belongs\s+to\s+user\s+nobody,\s+and\s+this\s+is\s+user\s+root/,
      );
      assertNotMatch(stdout, /evil/);
    }
    await Deno.rename(path, `${folder}/real`);
    await Deno.chown(`${folder}/real`, 0, 0);
    await Deno.symlink("real", path);
    lchown(path, NOBODY);
    assertMatch((await start(folder, ["settings"])).stderr, /it belongs to user nobody/);
  },
);

rootTest(
  "root takes no settings of its own from a folder for all, where the folder may be looked at (G9",
  async (folder) => {
    await Deno.chmod(folder, 0o1777);
    await Deno.writeTextFile(`${folder}/mqtt443.json`, "{}");
    const { code, stderr } = await start(folder, ["settings"], { flags: ["-A"] });
    assertEquals(code, 78);
    assertMatch(stderr, /Cannot use settings file "\.\/mqtt443\.json": others may replace it/);
    assertMatch(stderr, /^hint: move it to a folder where nobody else may write/m);
  },
);

rootTest(
  "settings file that the group may write to is refused with a line that mends it (G9",
  async (folder) => {
    const path = `${folder}/mqtt443.json`;
    await Deno.writeTextFile(path, '{"port": 8443}');
    await Deno.chmod(path, 0o664);
    const { code, stderr } = await start(folder, ["settings"]);
    assertEquals(code, 78);
    const [, line] = /^hint: (chmod .*)$/m.exec(stderr)!;
    const { success } = await new Deno.Command("sh", { args: ["-c", line!], cwd: folder }).output();
    assert(success);
    assertEquals((await start(folder, ["settings"])).code, 0);
  },
);

rootTest("root in another user's folder uses no ./certs of it (G9", async (folder) => {
  await writeCerts(`${folder}/certs`, pki);
  await give(`${folder}/certs`);
  for (const args of [["publish", "--message", "x"], ["watch", "a"], ["doctor", "--offline"]]) {
    const { code, stdout, stderr } = await start(folder, [...args, ...AWS]);
    assertEquals(code, 78, stderr);
    assertMatch(stdout + stderr, /Cannot\s+use\s+certificate\s+directory\s+"\.\/certs"/);
  }
});

rootTest("planted AmazonRootCA9.pem vouches for nobody (G10", async (folder) => {
  await writeCerts(`${folder}/certs`, pki);
  const planted = `${folder}/certs/AmazonRootCA9.pem`;
  await Deno.writeTextFile(planted, pki.ca);
  await Deno.chown(planted, NOBODY, NOBODY);
  for (const args of [["publish", "--message", "x"], ["watch", "a"]]) {
    const { code, stderr } = await start(folder, [...args, ...AWS]);
    assertEquals(code, 78);
    assertMatch(
      stderr,
      /^error: Cannot use CA certificate "\.\/certs\/AmazonRootCA9\.pem": it belongs/m,
    );
  }
  const { code, stdout } = await start(folder, ["doctor", "--json", "--offline", ...AWS]);
  assertEquals(code, 78);
  const modes = JSON.parse(stdout).checks.find(({ name }: { name: string }) =>
    name === "file-modes"
  );
  assertMatch(modes.saw, /AmazonRootCA9\.pem": it belongs to user nobody/);
});

rootTest(
  "root in another user's ./state is refused, and changes nothing there (G11, G13",
  async (folder) => {
    await writeCerts(`${folder}/certs`, pki);
    await Deno.writeTextFile(`${folder}/victim`, "precious");
    await Deno.mkdir(`${folder}/state`, { mode: 0o700 });
    await Deno.link(`${folder}/victim`, `${folder}/state/queue.db-wal`);
    await Deno.symlink("../victim", `${folder}/state/queue.lock`);
    await Deno.writeTextFile(`${folder}/state/queue.db`, "not empty");
    await Deno.chown(`${folder}/state`, NOBODY, NOBODY);
    for (
      const args of [["publish", "--message", "x", ...AWS], ["queue"], ["queue", "clear", "--yes"]]
    ) {
      const { code, stderr } = await start(folder, args);
      assertEquals(code, 73, stderr);
      assertMatch(stderr, /"\.\/state": it belongs to user nobody, and this is user root/);
      assertMatch(stderr, /sudo -u nobody mqtt443 doctor/);
    }
    assertEquals(await Deno.readTextFile(`${folder}/victim`), "precious");
    assertEquals((await Deno.stat(`${folder}/victim`)).uid, 0);
  },
);

Deno.test("executable for any endpoint sends nobody to a flag that it refuses (F15)", () =>
  inFolder(async (folder) => {
    const none = await start(folder, ["publish", "--message", "x", ...AWS]);
    assertEquals(none.code, 78);
    assertMatch(
      none.stderr,
      /^hint: copy the files of the AWS IoT console there, or use \.\/certs or \/etc\/mqtt443\/certs$/m,
    );
    const elsewhere = await start(folder, ["publish", ...AWS, "--certs", `${folder}/other`]);
    assertEquals(elsewhere.code, 78);
    assertMatch(
      elsewhere.stderr,
      /^hint: use \.\/certs or \/etc\/mqtt443\/certs: this executable/m,
    );
    const config = await start(folder, ["publish", "--config", `${folder}/other.json`]);
    assertMatch(
      config.stderr,
      /^hint: use \.\/mqtt443\.json or \/etc\/mqtt443\/mqtt443\.json: this/m,
    );
    await writeCerts(`${folder}/certs`, pki);
    const state = await start(folder, [
      "doctor",
      "--offline",
      ...AWS,
      "--state",
      `${folder}/other`,
    ]);
    assertEquals(state.code, 73, state.stdout);
    assertMatch(state.stdout, /use \.\/state or\s+\/var\/lib\/mqtt443/);
  }));

Deno.test("publish warns of mounts under the unit alone, and doctor says it once elsewhere (F14)", () =>
  inFolder(async (folder) => {
    await using endpoint = await startEndpoint({ certificates: pki });
    await writeCerts(`${folder}/certs`, pki);
    const doctor = await start(folder, ["doctor", "--offline", ...AWS]);
    assertEquals([doctor.code, doctor.stdout.match(/BindReadOnlyPaths/g)?.length], [0, 1]);
    assertMatch(doctor.stdout, /^ok {6}settings/m);
    const notify = `${folder}/notify`;
    const manager = Deno.listenDatagram({ transport: "unixpacket", path: notify });
    const net = [`localhost:${endpoint.port}`];
    const flags = grantFlags({ ...generalGrants(), net, notify });
    const args = ["--endpoint", "localhost", "--port", String(endpoint.port), "--count", "1"];
    for (const [env, times] of [[{}, undefined], [{ NOTIFY_SOCKET: notify }, 1]] as const) {
      const publish = await start(folder, ["publish", ...args, "--interval", "1s"], { flags, env });
      assertEquals([publish.code, publish.stderr.match(/BindReadOnlyPaths/g)?.length], [0, times]);
    }
    manager.close();
  }));

Deno.test("queue with a FIFO in place of its lock is refused at once (G13)", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/state`, { mode: 0o700 });
    await Deno.writeTextFile(`${folder}/state/queue.db`, "not empty", { mode: 0o600 });
    await new Deno.Command("mkfifo", { args: [`${folder}/state/queue.lock`] }).output();
    const { code, stderr } = await start(folder, ["queue"]);
    assertEquals(code, 73);
    assertMatch(stderr, /queue\.lock": it is not a regular file/);
  }));

rootTest(
  "doctor as root on a healthy gateway harms nothing, and says who shall run it (F17, G13",
  async (folder) => {
    await using endpoint = await startEndpoint({ certificates: pki });
    const [certs, state] = [`${folder}/etc/certs`, `${folder}/state`];
    await writeCerts(certs, pki);
    const held = new StateDirectory(state);
    const queue = new SqliteQueue(held.queuePath, OPTIONS);
    queue.put(messages(1));
    queue.close();
    held.release();
    for (const path of [certs, state]) await give(path);
    const listed = async () => {
      const args = ["-lnR", "--time-style=+%s", certs, state];
      return new TextDecoder().decode((await new Deno.Command("ls", { args }).output()).stdout);
    };
    const before = await listed();
    const args = [
      ...["--endpoint", "localhost", "--port", String(endpoint.port), "--client-id", "gw-7"],
      // The disk of a test may be in memory, which doctor warns of at durability power.
      ...["--certs", certs, "--state", state, "--durability", "crash"],
    ];
    const values = { endpoint: "localhost", port: endpoint.port, certs, state };
    const { settings } = mergeSettings(
      [{ origin: "file", name: "x", values }],
      { hostName: "gw-7", certs, sourcesProblem: () => undefined },
      { needEndpoint: true },
    );
    const flags = grantFlags(grantsOf(settings, undefined));
    const asRoot = await start(folder, ["doctor", "--json", ...args], { flags });
    assertEquals(asRoot.code, 0, asRoot.stderr);
    const { checks } = JSON.parse(asRoot.stdout) as {
      checks: { name: string; status: string; hint?: string }[];
    };
    const notOk = checks.filter(({ status }) => status !== "ok");
    assertEquals(notOk.map(({ name, status }) => [name, status]), [
      ["file-modes", "warn"],
      ["queue", "warn"],
      ["listen", "skipped"],
      ["proxy", "skipped"],
      ["mqtt-connect", "skipped"],
      ["publish", "skipped"],
    ]);
    for (const { hint } of notOk.slice(0, 2)) {
      assertEquals(hint, "run it as the user that publishes: `sudo -u nobody mqtt443 doctor`");
    }
    assertNotMatch(asRoot.stdout, /chown|chmod|remove/);
    assertEquals(await listed(), before);
    // What the hint says to type.
    const asOwner = await start(folder, ["doctor", ...args], { flags, within: AS_NOBODY });
    assertEquals(asOwner.code, 0, asOwner.stdout + asOwner.stderr);
    assertMatch(asOwner.stdout, /^13 ok, 0 warn, 0 fail, 2 skipped$/m);
    const publish = await start(folder, ["publish", "--message", "x", ...args], { flags });
    assertEquals(publish.code, 78);
    assertMatch(publish.stderr, /sudo -u nobody mqtt443 doctor/);
  },
);

rootTest(
  "queue that root has left in another user's directory is told with the line that gives it back (F17",
  async (folder) => {
    await Deno.mkdir(`${folder}/state`, { mode: 0o700 });
    await Deno.writeTextFile(`${folder}/state/queue.db`, "not empty", { mode: 0o600 });
    await Deno.chown(`${folder}/state`, NOBODY, NOBODY);
    await Deno.chmod(folder, 0o755);
    const { code, stderr } = await start(folder, ["queue"], { within: AS_NOBODY });
    assertEquals(code, 73, stderr);
    assertMatch(
      stderr,
      /it belongs to user root, and this is user nobody\nhint: sudo chown nobody \S+queue\.db$/m,
    );
  },
);
