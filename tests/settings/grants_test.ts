import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { type Build, grantHint, placeHint } from "../../lib/core/build.ts";
import { UserError } from "../../lib/core/errors.ts";
import { generalGrants, grantFlags, grantsOf, siteGrants } from "../../lib/settings/grants.ts";
import { mergeSettings } from "../../lib/settings/merge.ts";
import { denoArguments } from "../../tools/publish.ts";
import { makePki, startEndpoint, writeCerts } from "../../tools/endpoint/mod.ts";
import { NO_SETTINGS } from "../support/program.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const PUBLISH = new URL("../../tools/publish.ts", import.meta.url).pathname;
/** What this machine has in the usual places is not for tests. */
const CONFIG = ["--config", NO_SETTINGS];
const PROBE = new URL("../support/grants_probe.ts", import.meta.url).pathname;

interface Site {
  readonly directory: string;
  readonly certs: string;
  readonly state: string;
  readonly port: number;
  readonly received: () => readonly { topic: string; payload: string }[];
}

/** A directory with certificates, and an endpoint that knows them. */
async function withSite(action: (site: Site) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  const certs = `${directory}/certs`;
  const pki = await makePki({ device: "gw-7" });
  await writeCerts(certs, pki);
  const endpoint = await startEndpoint({ certificates: pki });
  try {
    await action({
      directory,
      certs,
      state: `${directory}/state`,
      port: endpoint.port,
      received: () => endpoint.received,
    });
  } finally {
    await endpoint.close();
    await Deno.remove(directory, { recursive: true });
  }
}

function publishArgs({ certs, state, port }: Site): string[] {
  return [
    ...["--endpoint", "localhost", "--port", String(port), "--certs", certs],
    ...["--state", state, "--client-id", "gw-7", ...CONFIG],
  ];
}

async function deno(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

Deno.test("publish task delivers with the grants of its settings alone", async () => {
  await withSite(async (site) => {
    const args = [...publishArgs(site), "--message", "scoped", "--topic", "a/b"];
    const { code, err } = await deno(["run", "-A", "--frozen", PUBLISH, ...args]);
    assertEquals(code, 0, err);
    assertEquals(site.received().map(({ topic, payload }) => [topic, payload]), [[
      "a/b",
      "scoped",
    ]]);
  });
});

Deno.test("publish task looks at the folder of a key, which it does not grant (F8)", async () => {
  await withSite(async (site) => {
    const key = (await Array.fromAsync(Deno.readDir(site.certs)))
      .find(({ name }) => name.endsWith(".key"))!.name;
    const apart = `${site.directory}/apart`;
    await Deno.mkdir(apart);
    await Deno.chmod(apart, 0o1777);
    await Deno.rename(`${site.certs}/${key}`, `${apart}/gw.key`);
    const args = [...publishArgs(site), "--message", "x", "--key", `${apart}/gw.key`];
    const { code, err } = await deno(["run", "-A", "--frozen", PUBLISH, ...args]);
    assertEquals(code, 78, err);
    assertMatch(err, /^error: Cannot use device key .*others may replace it.*mode 1777/m);
    assertEquals(site.received().length, 0);
    // In the program itself: the file, its owner and its mode, and nothing around it.
    const flags = denoArguments(args).slice(0, -1 - args.length);
    const probe = [...flags.slice(1, -1), PROBE, apart, site.state, "none"];
    assertEquals(JSON.parse((await deno(["run", ...probe])).out).readCerts, "NotCapable");
    await Deno.chmod(`${apart}/gw.key`, 0o604);
    const open = await deno([...flags, "publish", ...args]);
    assertMatch(open.err, /others than its owner may read or change it \(mode 0604\)/);
    await Deno.chmod(`${apart}/gw.key`, 0o600);
    await Deno.chmod(apart, 0o755);
    const good = await deno(["run", "-A", "--frozen", PUBLISH, ...args]);
    assertEquals(good.code, 0, good.err);
  });
});

Deno.test("grants of the settings refuse other hosts, other files, subprocesses and native code (S3)", async () => {
  await withSite(async (site) => {
    const flags = denoArguments(publishArgs(site)).slice(1, -1 - publishArgs(site).length);
    assertEquals(flags.at(-1), new URL(`file://${MAIN}`).href);
    await Deno.mkdir(site.state);
    const probeArgs = [site.certs, site.state, `${site.directory}/outside`];
    const { out, err } = await deno(["run", ...flags.slice(0, -1), PROBE, ...probeArgs]);
    assertEquals(err, "");
    assertEquals(JSON.parse(out), {
      readCerts: "done",
      writeState: "done",
      otherHost: "NotCapable",
      otherPort: "NotCapable",
      listen: "NotCapable",
      readOther: "NotCapable",
      writeOther: "NotCapable",
      writeCerts: "NotCapable",
      run: "NotCapable",
      ffi: "NotCapable",
      environment: "empty",
    });
  });
});

Deno.test("program outside its grants says which grant is missing instead of NotCapable", async () => {
  await withSite(async (site) => {
    const flags = denoArguments(publishArgs(site)).slice(0, -1 - publishArgs(site).length);
    const other = publishArgs({ ...site, port: 1 });
    const { code, err } = await deno([...flags, "publish", ...other, "--message", "x"]);
    assertEquals(code, 78);
    assertMatch(
      err,
      /^error: Cannot connect to localhost:1: this process was not granted to reach it$/m,
    );
    assertStringIncludes(err, "deno task publish");
  });
});

Deno.test("program refused its certificate directory says so with exit code 78", async () => {
  await withSite(async (site) => {
    const flags = denoArguments(publishArgs(site)).slice(0, -1 - publishArgs(site).length);
    const elsewhere = publishArgs({ ...site, certs: `${site.directory}/elsewhere` });
    const { code, err } = await deno([...flags, "publish", ...elsewhere, "--message", "x"]);
    assertEquals(code, 78);
    assertMatch(
      err,
      /^error: Cannot read certificate directory ".*": this process was not granted/m,
    );
  });
});

Deno.test("version prints what the process is permitted to do", async () => {
  await withSite(async (site) => {
    const flags = denoArguments(publishArgs(site)).slice(0, -1 - publishArgs(site).length);
    const args = ["version", "--json", ...publishArgs(site)];
    const { code, out } = await deno([...flags, ...args]);
    assertEquals(code, 0);
    const { net, read, write, env, sys, ...others } = JSON.parse(out).permissions;
    assertEquals(net, [`localhost:${site.port}`]);
    assertEquals(read.includes(site.certs), true);
    assertEquals(write, [site.state]);
    assertEquals(env.includes("MQTT443_*") && sys.includes("hostname"), true);
    assertEquals(others, { run: [], ffi: [], import: [] });
  });
});

Deno.test("publish task passes wrong settings on as exit code 78, and wrong flags as 64", async () => {
  const wrong = await deno([
    "run",
    "-A",
    "--frozen",
    PUBLISH,
    "--endpoint",
    "mqtts://x",
    ...CONFIG,
  ]);
  assertEquals(wrong.code, 78);
  assertStringIncludes(wrong.err, "endpoint: must be a host name or IP address alone");
  const unknown = await deno(["run", "-A", "--frozen", PUBLISH, "--endpiont", "x"]);
  assertEquals(unknown.code, 64);
});

Deno.test("grants name one endpoint, with brackets around an IPv6 address", () => {
  const command = denoArguments(["--endpoint", "::1", "--port", "8883", ...CONFIG]);
  assertEquals(command.filter((flag) => flag.startsWith("--allow-net")), [
    "--allow-net=[::1]:8883",
  ]);
});

Deno.test("grants write nothing when nothing is kept on disk", () => {
  const flags = denoArguments(["--endpoint", "localhost", "--durability", "none", ...CONFIG]);
  assertEquals(flags.filter((flag) => flag.startsWith("--allow-write")), []);
});

Deno.test("grants never open the network, the disk or subprocesses as a whole", () => {
  const flags = denoArguments(["--endpoint", "localhost", ...CONFIG]);
  const bare = flags.filter((flag) => /^--allow-\w+$|^-A$|--allow-(run|ffi|all|import)/.test(flag));
  assertEquals(bare, []);
  assertEquals(flags.includes("--no-prompt") && flags.includes("--ignore-env"), true);
});

Deno.test("grants of an executable let it tell the service manager at one socket, and be told at another", () => {
  const flags = grantFlags({
    ...generalGrants(),
    net: [],
    write: [],
    env: [],
    listen: "/run/in.sock",
    status: "/run/status.json",
  });
  for (
    const flag of [
      "--unstable-net",
      "--allow-net=unix:/run/systemd/notify,unix:/run/in.sock",
      "--allow-write=/run/systemd/notify,/run/in.sock,/run/status.json,/run/status.json.new",
      "--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC,WATCHDOG_PID",
    ]
  ) assert(flags.includes(flag), flag);
});

Deno.test("grants refuse a comma in a path, at which Deno would split it", () => {
  const grants = { net: [], read: ["/a,b"], write: [], env: [], sys: [] };
  const { exitCode } = assertThrows(
    () => grantFlags(grants),
    UserError,
    'Cannot grant "/a,b": a path that is granted must hold no comma',
  );
  assertEquals(exitCode, 78);
});

Deno.test("grants of an executable for any endpoint name AWS on two ports, and the usual places", () => {
  const { net, read, write } = generalGrants();
  assertEquals(net, [
    "*.amazonaws.com:443",
    "*.amazonaws.com:8883",
    "*.amazonaws.com.cn:443",
    "*.amazonaws.com.cn:8883",
  ]);
  assertEquals(write, ["./state", "/var/lib/mqtt443"]);
  for (const path of ["/etc/mqtt443", "./certs", "./mqtt443.json", ...write]) {
    assert(read.includes(path), path);
  }
});

Deno.test("grants of an executable for any endpoint name single files of /proc, as all of it is every file (F9)", () => {
  const { read } = generalGrants();
  assertEquals(read.filter((path) => path.includes("/proc")).map((path) => path.slice(17)), [
    ...["/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/uptime"],
    ...["/proc/net/dev", "/proc/net/pppoe"],
  ]);
  assertEquals(read.filter((path) => "/run/mqtt443/host/proc/self/root".startsWith(path)), []);
  // Of the file system of / an empty folder alone.
  assertEquals(read.filter((path) => path.startsWith("/run/mqtt443/host/root")), [
    "/run/mqtt443/host/root/sys",
  ]);
});

Deno.test("grants of an executable for one site are one endpoint, one certificate directory and one state directory", () => {
  const values = { endpoint: "gw.example", port: 8443, certs: "/data/certs", state: "/data/state" };
  const { settings } = mergeSettings(
    [{ origin: "file", name: "site.json", values: { ...values, source: "file:t=/data/t" } }],
    { hostName: "build-machine", certs: "./certs", sourcesProblem: () => undefined },
    { needEndpoint: true },
  );
  const { net, read, write, status } = siteGrants(settings, true);
  assertEquals(status, "/run/mqtt443/status.json");
  // Where the settings say that there is none, or another one.
  assertEquals(siteGrants(settings, true, true).status, undefined);
  const own = { ...settings, statusFile: "/data/status.json" };
  assertEquals(siteGrants(own, true, true).status, "/data/status.json");
  assertEquals(net, ["gw.example:8443"]);
  assertEquals(write, ["/data/state"]);
  assertEquals(read, [
    "./mqtt443.json",
    "/etc/mqtt443/mqtt443.json",
    "/data/certs",
    "/etc/passwd",
    "/data/state",
    "/run/mqtt443/status.json",
    "/run/systemd/timesync",
    "/data/t",
  ]);
});

const GENERAL: Build = { commit: "abc", date: "", scope: "general", grants: generalGrants() };

Deno.test("hints of an executable name the places that it may use, and no flag that it refuses (F15)", () => {
  assertEquals(placeHint("certs", GENERAL), "use ./certs or /etc/mqtt443/certs");
  assertEquals(placeHint("settings", GENERAL), "use ./mqtt443.json or /etc/mqtt443/mqtt443.json");
  assertEquals(placeHint("state", GENERAL), "use ./state or /var/lib/mqtt443");
  assertMatch(grantHint("certs", GENERAL), /^use \.\/certs or \/etc\/mqtt443\/certs: this exec/);
  const kept = { ...GENERAL, grants: { ...generalGrants(), write: [] } };
  assertMatch(placeHint("state", kept), /^build another executable/);
  for (const [kind, flag] of [["certs", "--certs DIR"], ["state", "--state DIR"]] as const) {
    assertEquals(placeHint(kind), `pass ${flag}`);
  }
});

Deno.test("grants name the files that settings name, and never the folder around them (F8)", () => {
  const values = {
    endpoint: "gw.example",
    certs: "/data/certs",
    ca: "/ca.pem",
    cert: "/etc/gw.crt",
    key: "/etc/gw.key",
    keyPassphraseFile: "/root/pass",
  };
  const { settings } = mergeSettings(
    [{ origin: "file", name: "site.json", values }],
    { hostName: "gw", certs: "./certs", sourcesProblem: () => undefined },
    { needEndpoint: true },
  );
  const { read } = grantsOf({ ...settings, source: ["clock"] }, "/etc/mqtt443/a.json");
  assertEquals(read, [
    "/etc/mqtt443/a.json",
    "/data/certs",
    ...["/ca.pem", "/etc/gw.crt", "/etc/gw.key", "/root/pass"],
    "/etc/passwd",
    "./state",
    "/run/mqtt443/status.json",
    "/run/systemd/timesync",
    "/etc/localtime",
  ]);
});

Deno.test("grants that are missing are explained by what the executable was built for", () => {
  const hint = grantHint(undefined, GENERAL);
  assertEquals(
    hint,
    "this executable was built for *.amazonaws.com:443 *.amazonaws.com:8883 " +
      "*.amazonaws.com.cn:443 *.amazonaws.com.cn:8883, to read ./mqtt443.json ./certs /etc/mqtt443 " +
      "and to write ./state /var/lib/mqtt443; build another one with " +
      "`deno task compile --settings mqtt443.json` where its source is",
  );
  assertStringIncludes(grantHint(), "deno task publish");
});
