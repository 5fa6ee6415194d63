/**
 * The shipped unit under a real systemd: what it may do, and that the program does its job with that.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { makePki } from "../../../tools/endpoint/mod.ts";
import { firsts, pki, range } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";
import { atMachine, makeGateway, own, troublesOf, UNIT, USER_ID } from "./gateway.ts";

// The bundle's esbuild ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

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

atMachine(
  "service says how it fares to any user, and leaves nothing of that when it is stopped (O3, O4)",
  async () => {
    await using gateway = await makeGateway();
    const { endpoint, machine, systemctl } = gateway;
    await systemctl("start", "mqtt443");
    await endpoint.waitFor(3);
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const status = async () =>
      JSON.parse(
        await machine.run(...nobody, "env", "HOME=/tmp", "mqtt443", "status", "--json"),
      );
    const { link, endpoint: place, diskState } = await status();
    assertEquals([link.state, place, diskState], ["connected", `localhost:${endpoint.port}`, "ok"]);
    const run = `${machine.root}/run/mqtt443`;
    const { mode, uid } = Deno.lstatSync(run);
    assertEquals([mode! & 0o7777, uid], [0o755, USER_ID]);
    await systemctl("restart", "mqtt443");
    await endpoint.until(() => endpoint.connects.length === 2);
    await systemctl("kill", "--signal=KILL", "mqtt443");
    await systemctl("stop", "mqtt443");
    await assertRejects(() => Deno.lstat(run), Deno.errors.NotFound);
    assertEquals(troublesOf(gateway.log()), []);
  },
);

const STATE = "/var/lib/mqtt443/state";
/** Where an executable unpacks itself that install.sh did not install. */
const RUNTIME = "/var/lib/mqtt443/.cache/mqtt443";

atMachine(
  "service publishes with the rights of its unit, reloads, and drains when stopped (S4)",
  async () => {
    await using gateway = await makeGateway();
    const { endpoint, machine, systemctl, show } = gateway;
    await systemctl("start", "mqtt443");
    await endpoint.waitFor(3);
    // The disk of / is asked about where it is seen without what is mounted on it, in a folder that holds nothing.
    const { MainPID } = await show("MainPID");
    const root = `/proc/${MainPID}/root/run/mqtt443/host/root/sys`;
    const blocks = (path: string) => machine.run("stat", "--file-system", "--format=%b", path);
    assertEquals([await blocks(root), await machine.run("ls", "-A", root)], [
      await blocks("/"),
      "",
    ]);
    assertStringIncludes(endpoint.received[1]!.payload, "disk_used_bytes");
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
      await machine.run(
        ...["setpriv", "--reuid=mqtt443", "--regid=mqtt443", "--clear-groups"],
        ...["/usr/local/bin/mqtt443", "queue", "--json", "--state", STATE],
      ),
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
