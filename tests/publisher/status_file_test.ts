/** The status file of a running publisher: what it says, and what its place may be like. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { VERSION } from "../../lib/core/build.ts";
import { makeRig, type Run } from "../support/publishing.ts";
import { canMount, canUnshare, mountMemory, succeeds } from "../support/mounting.ts";
import { STATUS_PATH } from "../../lib/settings/places.ts";
import { testGrants } from "../support/program.ts";
import { publishWithStatus, readStatus, statusPath, statusSays } from "../support/status_files.ts";

/** Root without its rights over the files of others. */
const BARE = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"];

function told(run: Run) {
  return run.log.filter(({ code }) => code === "status-file-failed");
}

Deno.test("status file says how the run fares at each change of the link, and goes at a clean end (O3)", async () => {
  await using rig = await makeRig();
  const path = statusPath(rig);
  const run = publishWithStatus(rig, ["--source", "self,clock"]);
  await rig.endpoint.waitFor(3);
  const status = (await statusSays(path, (status) => status?.link.state === "connected"))!;
  assertEquals(
    [status.version, status.pid, status.endpoint, status.proxy, status.clientId, status.topic],
    [VERSION, run.pid, `localhost:${rig.endpoint.port}`, null, "gw-7", "dt/mqtt443/gw-7/telemetry"],
  );
  assertEquals([status.link.attempt, status.link.nextAttemptAt, status.reconnects], [0, null, 0]);
  assertEquals(status.limits, { messages: 100_000, bytes: 64 * 1024 ** 2 });
  assertEquals([status.diskState, status.dropped, status.lastMinute.length], ["ok", 0, 12]);
  assert(status.certificate!.daysLeft > 0);
  assertEquals(Deno.lstatSync(path).mode! & 0o777, 0o644);
  rig.endpoint.pause();
  rig.endpoint.cut();
  const down = (await statusSays(path, (status) => (status?.link.attempt ?? 0) >= 2))!;
  assert(down.link.state !== "connected");
  const { lastFailure } = down.link;
  assertEquals([lastFailure!.step, lastFailure!.code], ["tcp", "tcp-refused"]);
  assertMatch(lastFailure!.hint!, /\w/);
  assert(down.published >= 3 && down.acknowledged === down.published, `${down.published}`);
  assert(down.pubackMs!.p50 > 0 && down.pubackMs!.p99 >= down.pubackMs!.p50);
  assertEquals(down.sources.map(({ name, failed }) => [name, failed]), [["self", 0], ["clock", 0]]);
  assert(down.sources.every(({ lastOk }) => lastOk !== null));
  await rig.endpoint.resume();
  await statusSays(path, (status) => status?.link.state === "connected" && status.reconnects === 1);
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals(readStatus(path), undefined);
  assertEquals(told(run), []);
});

Deno.test("status file is whole at any time, however often it is read (O3)", async () => {
  await using rig = await makeRig({ faults: { closeAfterConnack: true } });
  const run = publishWithStatus(rig);
  await statusSays(statusPath(rig), (status) => status !== undefined);
  // statusSays reads at each change of the folder, and throws at half a status.
  await statusSays(statusPath(rig), (status) => (status?.reconnects ?? 0) >= 3);
  assertEquals(told(run), []);
});

Deno.test("status file that a killed publisher left is taken over by the next one (O3)", async () => {
  await using rig = await makeRig();
  const path = statusPath(rig);
  const first = publishWithStatus(rig);
  await statusSays(path, (status) => status?.link.state === "connected");
  first.signal("SIGKILL");
  await first.code;
  // Also what it had not finished.
  await Deno.writeTextFile(`${path}.new`, '{"version":');
  const next = publishWithStatus(rig);
  await statusSays(path, (status) => status?.pid === next.pid);
  next.signal();
  assertEquals(await next.code, 0);
  assertEquals([...Deno.readDirSync(rig.folder)].filter(({ name }) => /^status/.test(name)), []);
});

Deno.test("status file follows no link that was put in its place (O3)", async () => {
  await using rig = await makeRig();
  const path = statusPath(rig);
  await Deno.writeTextFile(`${rig.folder}/precious`, "as it was");
  for (const link of [path, `${path}.new`]) await Deno.symlink(`${rig.folder}/precious`, link);
  const run = publishWithStatus(rig);
  await run.said("connected");
  assertEquals(await Deno.readTextFile(`${rig.folder}/precious`), "as it was");
  assert(Deno.lstatSync(path).isFile);
  assertEquals(readStatus(path)!.pid, run.pid);
});

Deno.test("status file whose folder is missing is told once, and publishing goes on (O3)", async () => {
  await using rig = await makeRig();
  const run = rig.publish(["--interval", "100ms", "--status-file", `${rig.folder}/no/status.json`]);
  await rig.endpoint.waitFor(3);
  await run.until(() => told(run).length > 0, "a warning");
  const [line, ...others] = told(run);
  assertEquals(others, []);
  assertStringIncludes(String(line!.hint), "--status-file");
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test({
  name:
    "status file on a full disk is told once, publishing goes on, and it is written again when there is room (O3)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig();
    const disk = `${rig.folder}/run`;
    using _disk = mountMemory(disk, "64k");
    const path = `${disk}/status.json`;
    const fill = new Uint8Array(64 * 1024);
    try {
      await Deno.writeFile(`${disk}/filler`, fill);
    } catch { /* it is full */ }
    const run = rig.publish(["--interval", "100ms", "--status-file", path]);
    await rig.endpoint.waitFor(3);
    await run.until(() => told(run).length > 0, "a warning");
    const [line] = told(run);
    assertStringIncludes(`${line!.cause} ${line!.hint}`, "df -h");
    assertEquals(readStatus(path), undefined);
    await Deno.remove(`${disk}/filler`);
    await statusSays(path, (status) => status?.link.state === "connected");
    assertEquals(told(run).length, 1);
    run.signal();
    assertEquals(await run.code, 0);
  },
});

Deno.test({
  name:
    "status file on a file system that is read-only, or becomes so in a run, stops nothing (O3)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig();
    const disk = `${rig.folder}/run`;
    using _disk = mountMemory(disk, "64k");
    const path = `${disk}/status.json`;
    const run = rig.publish(["--interval", "100ms", "--status-file", path]);
    await statusSays(path, (status) => status?.link.state === "connected");
    assert(succeeds("mount", "-o", "remount,ro", disk));
    rig.endpoint.cut();
    await run.until(() => told(run).length === 1, "a warning");
    await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
    run.signal();
    assertEquals(await run.code, 0);
    const again = rig.publish(["--interval", "100ms", "--status-file", path]);
    await rig.endpoint.until(() => rig.endpoint.connects.length === 3);
    await again.until(() => told(again).length === 1, "a warning");
  },
});

Deno.test({
  name:
    "status file in a directory of another user is not written, told once where it was named (O3)",
  ignore: !canUnshare,
  async fn() {
    await using rig = await makeRig();
    const place = `${rig.folder}/theirs`;
    await Deno.mkdir(place, { mode: 0o755 });
    await Deno.chown(place, 4711, 4711);
    const run = rig.publish(["--interval", "100ms", "--status-file", `${place}/status.json`], {
      within: BARE,
    });
    await rig.endpoint.waitFor(2);
    await run.until(() => told(run).length > 0, "a warning");
    assertMatch(String(told(run)[0]!.cause), /Permission denied/);
    assertEquals([...Deno.readDirSync(place)], []);
    run.signal();
    assertEquals(await run.code, 0);
  },
});

const FOLDERS = {
  "this user's": { make: "mkdir /run/mqtt443", isWritten: true },
  "another user's": { make: "mkdir /run/mqtt443 && chown 4711 /run/mqtt443", isWritten: false },
  "missing": { make: "true", isWritten: false },
};

for (const [what, { make, isWritten }] of Object.entries(FOLDERS)) {
  Deno.test({
    name: `status file by default, where /run/mqtt443 is ${what}, is ${
      isWritten ? "" : "neither written nor "
    }told (O3)`,
    ignore: !canUnshare,
    async fn() {
      await using rig = await makeRig();
      const flags = ["--interval", "100ms", "--durability", "crash"];
      const grants = testGrants(["publish", ...rig.flags, ...flags], { cwd: rig.folder });
      const run = rig.publish(flags, {
        // A /run of its own, in which this process looks through that one's root.
        within: [
          ...["unshare", "--mount", "sh", "-c"],
          `mount -t tmpfs tmpfs /run && ${make} && exec "$@"`,
          ...["sh", ...BARE],
        ],
        grants: { ...grants, status: STATUS_PATH },
      });
      await rig.endpoint.waitFor(2);
      const status = readStatus(`/proc/${run.pid}/root${STATUS_PATH}`);
      assertEquals(status?.link.state, isWritten ? "connected" : undefined);
      run.signal();
      assertEquals(await run.code, 0);
      assertEquals(run.log.filter(({ level }) => level === "warn"), []);
    },
  });
}
