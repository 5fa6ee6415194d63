/** `status`: once, live, as JSON and for Prometheus, of a publisher that does well, badly, and is not there. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { prometheusText } from "../../lib/commands/status_metrics.ts";
import { statusOf } from "../../lib/commands/status_document.ts";
import { statusText } from "../../lib/commands/status_view.ts";
import { inFolder, run, runHere } from "../support/command_line.ts";
import { parseMetrics } from "../support/metrics.ts";
import { makeRig } from "../support/publishing.ts";
import {
  DOWN,
  GOOD,
  publishWithStatus,
  statusCommand,
  statusPath,
  statusSays,
} from "../support/status_files.ts";

Deno.test("status of a gateway that does well, as text (O4)", () => {
  assertEquals(statusText({ status: GOOD, ageMs: 2000 }).split("\n"), [
    "mqtt443 0.1.0, process 4711, running for 3 d 2 h; this is 2 s old",
    "",
    "link        connected for 24 min 45 s",
    "            abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com:443",
    "publishes   as gw-7 to dt/mqtt443/gw-7/telemetry",
    "last minute |▁▂▁▂▃█▅▂▁▂▁▂| 19 messages",
    "sent        26640 published, 26640 acknowledged, 2 reconnects",
    "PUBACK      half of them within 23.1 ms, 99 % within 180.4 ms",
    "queue       |░░░░░░░░░░░░░░░░░░░░| 0 messages of 100000",
    "            |░░░░░░░░░░░░░░░░░░░░| 0B of 64MiB",
    "lost        0 dropped, 0 quarantined, 0 refused",
    "certificate 361 days left: gw-7, to 2027-11-23",
    "sources     system: read 5 s ago",
  ]);
});

Deno.test("status of a gateway that does badly says what hinders and what to do, in 80 columns (O4)", () => {
  const text = statusText({ status: DOWN, ageMs: 0 });
  const lines = text.split("\n");
  for (const line of lines) assert(line.length <= 80, line);
  // What hinders comes before all that a screen may have no room for.
  assert(lines.findIndex((line) => line.startsWith("publishes")) < 16);
  const plain = text.replace(/\s+/g, " ");
  for (
    const part of [
      "waiting for 5 s, attempt 12, next attempt in 1 min 36 s",
      "through proxy.plant-7.example:3128",
      "|████████████████████| 100000 messages of 100000",
      "|██████████░░░░░░░░░░| 29.79MiB of 64MiB",
      "the oldest was sampled 3 d 2 h ago",
      "1 day left",
      "in_temp_input: read never, failed 9 times",
      `hinders ${DOWN.link.lastFailure!.cause} to do ${DOWN.link.lastFailure!.hint}`,
      "hinders the disk takes no messages",
      "hinders the queue is full",
      "hinders the certificate expires soon",
    ]
  ) assertStringIncludes(plain, part);
});

Deno.test("status shows no control character that somebody wrote into the file (O4)", () => {
  const status = {
    ...GOOD,
    topic: "a\x1b[2Jb\nc",
    sources: [{ ...GOOD.sources[0]!, name: "\x07" }],
  };
  const text = statusText({ status, ageMs: 0 });
  // deno-lint-ignore no-control-regex -- controls are what it looks for
  assert(!/[\x00-\x09\x0b-\x1f]/.test(text), text);
});

for (
  const [what, text] of Object.entries({
    nothing: "",
    half: '{"version":"0.1.0"',
    other: "{}",
    list: "[]",
  })
) {
  Deno.test(`status is none where the file holds ${what}`, () =>
    assertEquals(statusOf(text), undefined));
}

Deno.test("status of an older or newer version is one with what is known of it", () => {
  assertEquals(statusOf(JSON.stringify({ ...GOOD, later: 1 }))!.published, GOOD.published);
});

Deno.test("status for Prometheus parses as its text format asks, and follows its rules for names (O4)", () => {
  for (const status of [GOOD, DOWN, { ...GOOD, clientId: 'a"b\\c\nd', certificate: null }]) {
    const metrics = parseMetrics(prometheusText({ status, ageMs: 0 }));
    assertEquals(metrics.get("mqtt443_up")!.samples, [{ labels: {}, value: 1 }]);
    assertEquals(metrics.get("mqtt443_published_total")!.samples[0]!.value, 26640);
    assertEquals(metrics.get("mqtt443_info")!.samples[0]!.labels.client_id, status.clientId);
    const failures = metrics.get("mqtt443_source_failures_total")!.samples;
    assertEquals(failures.length, status.sources.length);
  }
});

Deno.test("status of a run is told once, as JSON and for Prometheus, by exit codes 0, 69 and 73 (O4)", async () => {
  await using rig = await makeRig();
  const none = await statusCommand(rig);
  assertEquals([none.code, none.out], [73, ""]);
  assertStringIncludes(none.errors, "No publisher runs");
  const publisher = publishWithStatus(rig);
  await statusSays(statusPath(rig), (status) => status?.link.state === "connected");
  const well = await statusCommand(rig);
  assertEquals(well.code, 0);
  assertMatch(well.out, /^mqtt443 .*, process \d+, running for \d s; this is \d s old\n/);
  const json = await statusCommand(rig, ["--json"]);
  assertEquals(json.code, 0);
  const { ageSeconds, ...document } = JSON.parse(json.out);
  assert(ageSeconds >= 0 && ageSeconds < 30);
  assertEquals(document.pid, publisher.pid);
  rig.endpoint.pause();
  rig.endpoint.cut();
  await statusSays(statusPath(rig), (status) => status?.link.lastFailure?.code === "tcp-refused");
  const badly = await statusCommand(rig);
  assertEquals(badly.code, 69);
  assertStringIncludes(badly.out, "hinders");
  const metrics = await statusCommand(rig, ["--prometheus"]);
  assertEquals(metrics.code, 69);
  assertEquals(parseMetrics(metrics.out).get("mqtt443_connected")!.samples[0]!.value, 0);
  publisher.signal();
  await publisher.code;
  const gone = await statusCommand(rig, ["--prometheus"]);
  assertEquals(gone.code, 73);
  assertEquals([...parseMetrics(gone.out).keys()], ["mqtt443_up"]);
  assertEquals(parseMetrics(gone.out).get("mqtt443_up")!.samples[0]!.value, 0);
});

Deno.test("status of a publisher that was killed is none after half a minute, whichever way the clock goes (O4)", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/status.json`;
    await Deno.writeTextFile(path, JSON.stringify(GOOD));
    const args = ["status", "--status-file", path];
    const at = (seconds: number) =>
      runHere(args, { now: new Date(Date.parse(GOOD.updatedAt) + seconds * 1000) });
    for (const [seconds, code] of [[0, 0], [29, 0], [31, 73], [-3, 0], [-31, 73]] as const) {
      assertEquals((await at(seconds)).code, code, `${seconds} s`);
    }
    assertStringIncludes((await at(31)).stderr, "was written at 2026-11-26T05:24:45.000Z");
  });
});

Deno.test("status of what is no file says so, and waits for nobody (O4)", async () => {
  await inFolder(async (folder) => {
    await new Deno.Command("mkfifo", { args: [`${folder}/fifo`] }).output();
    await Deno.writeTextFile(`${folder}/text`, "hello");
    for (const name of ["fifo", "text", "none"]) {
      const { code, stdout, stderr } = await run(["status", "--status-file", `${folder}/${name}`]);
      assertEquals([code, stdout], [73, ""], name);
      assertStringIncludes(stderr, "No publisher runs");
    }
  });
});

Deno.test("status in two forms at once is a wrong command line", async () => {
  const { code, stderr } = await run(["status", "--json", "--watch"]);
  assertEquals(code, 64);
  assertStringIncludes(stderr, "--watch and --json");
});

Deno.test("status --watch without a terminal prints each status once, as plain text (O4)", async () => {
  await using rig = await makeRig();
  const watch = rig.run(["status", "--watch", "--status-file", statusPath(rig)]);
  await watch.until(() => watch.out.join("").includes("No publisher runs"));
  const publisher = publishWithStatus(rig);
  await watch.until(() => watch.out.some((line) => line.includes("connected for")));
  publisher.signal();
  await publisher.code;
  await watch.until(() => watch.out.join("").match(/No publisher runs/g)!.length === 2);
  watch.signal();
  assertEquals(await watch.code, 73);
  assert(!watch.out.join("").includes("\x1b"));
});
