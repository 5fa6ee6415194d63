/**
 * The shipped unit under a real systemd: what it may do, and that the program does its job with that.
 *
 * The program runs as the bundle with the grants of an executable for any endpoint, and this machine's endpoint added.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { Grants } from "../../lib/build.ts";
import { generalGrants, grantFlags } from "../../lib/grants.ts";
import { makeBundle } from "../../tools/bundle.ts";
import { compile } from "../../tools/compile.ts";
import { type Endpoint, makePki, startEndpoint } from "../../tools/endpoint.ts";
import { V8_FLAGS } from "../../tools/v8_flags.ts";
import { firsts, pki, range, seqsOf, writeIdentity } from "../publishing.ts";
import { hasProgram } from "../queueing.ts";
import { boot, canBoot, type Machine, UNITS } from "./machine.ts";

const KIT = new URL("../../tools/kit/files/", import.meta.url).pathname;
const UNIT = `${KIT}mqtt443.service`;

/** The user that install.sh makes. */
const USER_ID = 64_443;
const SETTINGS = "/etc/mqtt443/mqtt443.json";

const needsSystemd = canBoot ? "" : " (needs root and systemd)";

Deno.test({
  name: "unit is exposed by 1.5 or less, as systemd-analyze counts it (S4)",
  ignore: !hasProgram("systemd-analyze"),
  async fn() {
    const { success, stdout } = await new Deno.Command("systemd-analyze", {
      args: ["security", "--offline=yes", "--no-pager", "--threshold=15", UNIT],
      stderr: "null",
    }).output();
    const report = new TextDecoder().decode(stdout);
    assert(success, report);
    assertMatch(report, /Overall exposure level for mqtt443\.service: (0|1)\.\d/);
  },
});

const bundle = canBoot ? (await makeBundle()).code : "";

interface Gateway extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly machine: Machine;
  /** Runs systemctl in the machine. */
  systemctl(...args: readonly string[]): Promise<string>;
  /** Properties of the service. */
  show(...properties: readonly string[]): Promise<Record<string, string>>;
  /** The service's log so far. */
  log(): string;
  /** Settles when so many lines of the log have had that text in them. @default once */
  said(text: string, times?: number): Promise<void>;
  /** The `seq` of each message received, in order of arrival. */
  seqs(): number[];
}

interface GatewayOptions {
  /** More lines for the unit's section [Service]. */
  readonly service?: readonly string[];
  /** More units, and parts of them, by name. */
  readonly units?: Readonly<Record<string, string>>;
  /** Whether it is an executable for this endpoint that runs, and not the bundle. @default false */
  readonly isExecutable?: boolean;
  /** Changes the files before the start; they lie below that folder. */
  readonly prepare?: (files: string) => Promise<void>;
}

/** A machine as the installer leaves it, and its endpoint. */
async function makeGateway(options: GatewayOptions = {}): Promise<Gateway> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const endpoint = cleanup.use(await startEndpoint({ certificates: pki }));
  const files = `${folder}/files`;
  await writeFiles(files, {
    [`${UNITS}/mqtt443.service`]: await Deno.readTextFile(UNIT),
    [`${UNITS}/mqtt443-wait.target`]: await Deno.readTextFile(`${KIT}mqtt443-wait.target`),
    [`${UNITS}/mqtt443.service.d/test.conf`]: [
      "[Service]",
      // There is no journal here.
      "StandardOutput=append:/run/mqtt443.log",
      "StandardError=inherit",
      ...options.service ?? [],
    ].join("\n"),
    ...Object.fromEntries(
      Object.entries(options.units ?? {}).map(([name, text]) => [`${UNITS}/${name}`, text]),
    ),
    "/etc/passwd": `${await Deno.readTextFile(
      "/etc/passwd",
    )}mqtt443:x:${USER_ID}:${USER_ID}::/:/bin/false\n`,
    "/etc/group": `${await Deno.readTextFile("/etc/group")}mqtt443:x:${USER_ID}:\n`,
    [SETTINGS]: JSON.stringify({
      ...{ endpoint: "localhost", port: endpoint.port, clientId: "gw-7" },
      ...{ interval: "100ms", backoffMax: "1s", logFormat: "json", logLevel: "debug" },
    }),
    "/usr/local/lib/mqtt443/mqtt443.js": bundle,
    "/usr/local/bin/mqtt443": program(endpoint.port),
  });
  await Deno.chmod(`${files}/usr/local/bin/mqtt443`, 0o755);
  await writeIdentity(`${files}/etc/mqtt443/certs`, pki);
  await own(`${files}/etc/mqtt443/certs`);
  await options.prepare?.(files);
  const mounts = options.isExecutable
    ? { "/usr/local/bin/mqtt443": await executable(folder, `${files}${SETTINGS}`) }
    : { "/usr/local/lib/mqtt443/deno": Deno.execPath() };
  const machine = cleanup.use(await boot({ folder, files, mounts }));
  // Of this machine, should it run the service too.
  await machine.run("rm", "-rf", "/var/lib/mqtt443");
  const systemctl = (...args: readonly string[]) => machine.run("systemctl", "--no-pager", ...args);
  const disposal = cleanup.move();
  return {
    endpoint,
    machine,
    systemctl,
    async show(...properties) {
      const text = await systemctl("show", "mqtt443", ...properties.map((name) => `-p${name}`));
      return Object.fromEntries(
        text.trim().split("\n").map((line) => line.split(/=(.*)/s) as [string, string]),
      );
    },
    log: () => Deno.readTextFileSync(`${machine.root}/run/mqtt443.log`),
    async said(text, times = 1) {
      // The log of a service that runs grows on, so that tail sees that nobody listens any more.
      const follow = 'tail -n +1 -F /run/mqtt443.log | grep -F -m "$2" -- "$1"';
      await machine.run("sh", "-c", follow, "sh", text, String(times));
    },
    seqs: () => seqsOf(endpoint.received),
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** What stands for an executable for any endpoint. */
function program(port: number): string {
  const general = generalGrants();
  const grants: Grants = { ...general, net: [...general.net, `localhost:${port}`] };
  const flags = [
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    "--no-code-cache",
    V8_FLAGS,
  ];
  const words = [...flags, ...grantFlags(grants)].map((word) => `'${word}'`).join(" ");
  const folder = "/usr/local/lib/mqtt443";
  return `#!/bin/sh\nexport DENO_NO_UPDATE_CHECK=1\nexec ${folder}/deno run ${words} ${folder}/mqtt443.js "$@"\n`;
}

/** Builds an executable for these settings and this machine. */
async function executable(folder: string, settings: string): Promise<string> {
  const targets = [Deno.build.target];
  const [built] = await compile({ settings, targets, out: `${folder}/dist` });
  return built!.path;
}

async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const path = `${folder}${name}`;
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
}

/** Gives a directory and what is in it to a user. @default the service's */
async function own(directory: string, user = USER_ID): Promise<void> {
  await Deno.chown(directory, user, user);
  for (const { name } of Deno.readDirSync(directory)) {
    await Deno.chown(`${directory}/${name}`, user, user);
  }
}

function atMachine(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name}${needsSystemd}`, ignore: !canBoot, fn });
}

const STATE = "/var/lib/mqtt443/state";
const RUNTIME = "/var/lib/mqtt443/runtime";

atMachine(
  "service publishes with the rights of its unit, reloads, and drains when stopped (S4)",
  async () => {
    await using gateway = await makeGateway();
    const { endpoint, machine, systemctl, show } = gateway;
    await systemctl("start", "mqtt443");
    await endpoint.waitFor(3);
    await systemctl("reload", "mqtt443");
    await gateway.said("the certificate files were read again");
    const { ActiveState, StatusText, NRestarts } = await show(
      "ActiveState",
      "StatusText",
      "NRestarts",
    );
    assertEquals({ ActiveState, NRestarts }, { ActiveState: "active", NRestarts: "0" });
    assertMatch(
      StatusText!,
      /^Connected to localhost:\d+ since \S+Z; \d+ waiting, \d+ published, 0 /,
    );
    await systemctl("stop", "mqtt443");
    assertEquals(await show("Result", "ExecMainStatus"), {
      Result: "success",
      ExecMainStatus: "0",
    });
    assertEquals(gateway.seqs(), range(1, endpoint.received.length));
    const queue = JSON.parse(
      await machine.run("/usr/local/bin/mqtt443", "queue", "--json", "--state", STATE),
    );
    assertEquals(queue.waiting, 0);
    // /proc/net came along, and nothing was missed.
    assertStringIncludes(endpoint.received[1]!.payload, "network_");
    assertEquals(troublesOf(gateway.log()), []);
  },
);

atMachine(
  "executable does its work with the rights of the unit, and unpacks itself where it may (S4)",
  async () => {
    await using gateway = await makeGateway({ isExecutable: true });
    const { endpoint, machine, systemctl, show } = gateway;
    await systemctl("start", "mqtt443");
    await endpoint.waitFor(3);
    assertMatch((await show("StatusText")).StatusText!, /^Connected to localhost/);
    const unpacked = () =>
      [...Deno.readDirSync(`${machine.root}${RUNTIME}`)].map(({ name }) => name);
    const first = unpacked();
    assert(first.length > 0);
    await systemctl("restart", "mqtt443");
    await endpoint.until(() => endpoint.connects.length === 2);
    await systemctl("stop", "mqtt443");
    assertEquals(await show("Result"), { Result: "success" });
    const seqs = firsts(gateway.seqs());
    assertEquals(seqs, range(1, seqs.length));
    assertEquals(unpacked(), first);
    assertEquals(troublesOf(gateway.log()), []);
  },
);

atMachine("service is ready without network and time, after a bound", async () => {
  const never = "[Unit]\nDefaultDependencies=no\nBefore=network-online.target time-sync.target\n" +
    "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n";
  const wanted = "[Unit]\nWants=never.service\nAfter=never.service\n";
  await using gateway = await makeGateway({
    units: {
      "never.service": never,
      "network-online.target.d/never.conf": wanted,
      "time-sync.target.d/never.conf": wanted,
      "mqtt443-wait.target.d/test.conf": "[Unit]\nJobTimeoutSec=1s\n",
    },
  });
  gateway.endpoint.pause();
  await gateway.systemctl("start", "mqtt443");
  await gateway.said('"retrying"');
  const { ActiveState, StatusText } = await gateway.show("ActiveState", "StatusText");
  assertEquals(ActiveState, "active");
  assertMatch(StatusText!, /^Offline since .* connection refused\); \d+ waiting, 0 published/);
  const jobs = await gateway.systemctl("list-jobs", "--no-legend");
  assertMatch(jobs, /network-online\.target\s+start\s+waiting/);
});

atMachine("service is left alone by the watchdog through an outage (X9)", async () => {
  await using gateway = await makeGateway({ service: ["WatchdogSec=1s"] });
  await gateway.systemctl("start", "mqtt443");
  await gateway.endpoint.waitFor(1);
  gateway.endpoint.pause();
  gateway.endpoint.cut();
  // A second lies between two of them.
  await gateway.said('"retrying"', 4);
  assertEquals(await gateway.show("NRestarts"), { NRestarts: "0" });
  await gateway.endpoint.resume();
  const { length } = gateway.endpoint.received;
  await gateway.endpoint.waitFor(length + 10);
  const seqs = firsts(gateway.seqs());
  assertEquals(seqs, range(1, seqs.length));
});

atMachine("service is left alone by the watchdog while its disk is full (Q4, X9)", async () => {
  await using gateway = await makeGateway({ service: ["WatchdogSec=1s"] });
  const { endpoint, machine, systemctl, show } = gateway;
  const state = "/var/lib/mqtt443";
  const options = `size=512k,mode=700,uid=${USER_ID},gid=${USER_ID}`;
  await machine.run("mkdir", state);
  await machine.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", state);
  await systemctl("start", "mqtt443");
  await endpoint.waitFor(1);
  await machine.run("sh", "-c", `cat /dev/zero > ${state}/fill 2>/dev/null || true`);
  await gateway.said("messages wait in memory until it is mended");
  // At ten a second, and so for three times as long as the watchdog waits.
  await endpoint.waitFor(endpoint.received.length + 30);
  assertEquals(await show("NRestarts"), { NRestarts: "0" });
});

atMachine(
  "service that stands still is started anew by the watchdog, and loses nothing (X9)",
  async () => {
    await using gateway = await makeGateway({
      service: ["WatchdogSec=2s", "RestartSec=100ms", "RestartSteps=0"],
    });
    const { endpoint, machine, systemctl, show } = gateway;
    await systemctl("start", "mqtt443");
    await endpoint.waitFor(5);
    const { MainPID } = await show("MainPID");
    await machine.run("kill", "-STOP", MainPID!);
    await endpoint.until(() => endpoint.connects.length === 2);
    const { length } = endpoint.received;
    await endpoint.waitFor(length + 5);
    assertEquals(await show("NRestarts"), { NRestarts: "1" });
    await systemctl("stop", "mqtt443");
    const seqs = firsts(gateway.seqs());
    assertEquals(seqs, range(1, seqs.length));
  },
);

atMachine("service never gives up on wrong files, and goes on when they are mended", async () => {
  const stranger = await makePki({ device: "stranger" });
  await using gateway = await makeGateway({
    service: ["RestartSec=50ms", "RestartSteps=0"],
    prepare: (files) =>
      Deno.writeTextFile(`${files}/etc/mqtt443/certs/key.pem`, stranger.device.key),
  });
  const { endpoint, machine, systemctl, show } = gateway;
  await assertRejects(() => systemctl("start", "mqtt443"));
  // By default systemd gives up after 5 within 10 s.
  await gateway.said("error: ", 7);
  await Deno.writeTextFile(`${machine.root}/etc/mqtt443/certs/key.pem`, pki.device.key);
  await endpoint.waitFor(2);
  const { ActiveState, NRestarts } = await show("ActiveState", "NRestarts");
  assertEquals(ActiveState, "active");
  assert(Number(NRestarts) >= 6);
});

atMachine("service takes its certificates as credentials of systemd", async () => {
  await using gateway = await makeGateway({
    service: [
      ...["ca", "cert", "key"].map((name) => `LoadCredential=${name}.pem:/etc/vault/${name}.pem`),
      "Environment=MQTT443_CERTS=%d",
    ],
    async prepare(files) {
      await Deno.rename(`${files}/etc/mqtt443/certs`, `${files}/etc/vault`);
      await own(`${files}/etc/vault`, 0);
    },
  });
  await gateway.systemctl("start", "mqtt443");
  await gateway.endpoint.waitFor(2);
  assertEquals(troublesOf(gateway.log()), []);
});

/** Lines of a log that tell of something wrong. */
function troublesOf(log: string): string[] {
  return log.split("\n").filter((line) => !/^$|"level":"(debug|info)"/.test(line));
}
