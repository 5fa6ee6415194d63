/**
 * `doctor` against peers that misbehave, one fault a case: which check fails, what it says was seen and the likely
 * cause, and the exit code.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { run } from "./command_line.ts";
import { FAULTS } from "./doctor_cases.ts";
import { assertNamed, examine, withSite } from "./doctor_site.ts";

for (const fault of FAULTS) {
  Deno.test(`doctor names ${fault.what}`, () => assertNamed(fault, run));
}

Deno.test("doctor finds nothing wrong with a good site, and publishes one test message", async () => {
  await withSite({}, async ({ args, received }) => {
    const report = await examine(args);
    const wrong = report.checks.filter(({ status }) => status !== "ok");
    assertEquals([report.ok, report.exitCode, wrong], [true, 0, []]);
    assertEquals(report.checks.length, 13);
    assertEquals(received().map(({ topic }) => topic), ["dt/mqtt443/gw-7/telemetry"]);
  });
});

Deno.test("doctor --offline connects nowhere and ends with the queue", async () => {
  await withSite({}, async ({ args, connections }) => {
    const report = await examine(args, ["--offline"]);
    assertEquals(report.checks.at(-1)?.name, "queue");
    assertEquals([report.exitCode, connections()], [0, 0]);
  });
});

Deno.test("doctor skips what needs a check that failed, and says which", async () => {
  await withSite({}, async ({ args }) => {
    const report = await examine(args, ["--port", "1"]);
    const skipped = report.checks.filter(({ status }) => status === "skipped");
    assertEquals(skipped.map(({ name, saw }) => `${name}: ${saw}`), [
      "tls: needs tcp",
      "alpn: needs tls",
      "mqtt-connect: needs alpn",
      "publish: needs mqtt-connect",
    ]);
  });
});

Deno.test("doctor's text fits 80 columns", async () => {
  await withSite({}, async ({ args }) => {
    const { stdout } = await run(["doctor", ...args]);
    const wide = stdout.split("\n").filter((line) => line.length > 80);
    assertEquals(wide, []);
    assertMatch(stdout, /\n13 ok, 0 warn, 0 fail, 0 skipped: this device can publish\n$/);
  });
});

Deno.test("doctor --policy prints the least policy for the client id and the topic", async () => {
  const endpoint = "abc-ats.iot.eu-central-1.amazonaws.com";
  const { code, stdout } = await run(["doctor", "--policy", "--endpoint", endpoint]);
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout), {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: "iot:Connect",
        Resource: "arn:aws:iot:eu-central-1:ACCOUNT:client/gw-7",
      },
      {
        Effect: "Allow",
        Action: "iot:Publish",
        Resource: "arn:aws:iot:eu-central-1:ACCOUNT:topic/dt/mqtt443/gw-7/telemetry",
      },
    ],
  });
});
