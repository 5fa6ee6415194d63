/**
 * `doctor` against peers that misbehave, one fault a case: which check fails, what it says was seen and the likely
 * cause, and the exit code.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { StateDirectory } from "../../lib/queue/state_directory.ts";
import { run, runHere } from "../support/command_line.ts";
import { FAULTS, fileIn } from "../support/doctor_cases.ts";
import { assertNamed, examine, withSite } from "../support/doctor_site.ts";
import { canMount, mountMemory } from "../support/mounting.ts";
import { DIRECT } from "../support/program.ts";

for (const fault of FAULTS) {
  // Through a proxy these end at another check.
  const isDirect = ["dns", "tcp"].includes(fault.check) || fault.what.includes("TLS 1.2");
  Deno.test(`doctor names ${fault.what}`, isDirect ? DIRECT : {}, () => assertNamed(fault, run));
}

Deno.test({
  name: "doctor names a state directory in memory with durability power (needs root)",
  ignore: !canMount,
  fn: () =>
    withSite({}, async ({ args }) => {
      using _memory = mountMemory(args[args.indexOf("--state") + 1]!, "16m");
      const { checks } = await examine(args, ["--offline", "--durability", "power"]);
      const found = checks.find(({ name }) => name === "queue");
      assert(found?.status === "warn");
      assertMatch(String(found.cause), /shall survive a power cut .* is in memory \(tmpfs\)/);
    }),
});

Deno.test(
  "doctor finds nothing wrong with a good site, and publishes one test message",
  DIRECT,
  async () => {
    await withSite({}, async ({ args, received }) => {
      const report = await examine(args);
      const other = report.checks.filter(({ status }) => status !== "ok");
      const none = { status: "skipped", saw: "none is set" };
      const skipped = [{ name: "listen", ...none }, { name: "proxy", ...none }];
      assertEquals([report.ok, report.exitCode, other], [true, 0, skipped]);
      assertEquals(report.checks.length, 15);
      assertEquals(received().map(({ topic }) => topic), ["dt/mqtt443/gw-7/telemetry"]);
    });
  },
);

for (
  const [form, wanted] of [
    ["samples", { device: "gw-7", samples: [{ device: "gw-7", doctor: "test message" }] }],
    ["columns", { device: "gw-7", names: ["time", "doctor"], rows: [["test message"]] }],
  ] as const
) {
  Deno.test(`doctor's test message has the form of a pack of ${form} (K7)`, DIRECT, async () => {
    await withSite({}, async ({ args, received }) => {
      await examine(args, ["--pack", "5KiB", "--pack-as", form]);
      const payload = received()[0]!.payload.replace(/("time":)?"\d{4}-[^"]*Z",/, "");
      assertEquals(JSON.parse(payload), wanted);
    });
  });
}

Deno.test(
  "doctor advises packs where AWS gets more than 50 messages a second (K7)",
  DIRECT,
  async () => {
    const limits = { receiveMaximum: 100, maximumPacketSize: 149_504 };
    const busy = [100, 101, 103, 107, 109, 113].map((ms) => `file:a${ms}=/etc/hostname@${ms}ms`);
    const source = (specs: readonly string[]) => ["--source", specs.join(",")];
    await withSite({ limits }, async ({ args }) => {
      const publishOf = async (more: readonly string[]) =>
        (await examine(args, more)).checks.find(({ name }) => name === "publish")!;
      const { status, code, cause, hint } = await publishOf(source(busy));
      assertEquals([status, code], ["warn", "pack-advised"]);
      assertMatch(String(cause), /the sources give 5\d messages a second/);
      assertMatch(String(hint), /--pack 5KiB/);
      assertEquals((await publishOf([...source(busy), "--pack", "5KiB"])).status, "ok");
      assertEquals((await publishOf(source(busy.slice(0, 5)))).status, "ok");
    });
    await withSite({}, async ({ args }) => {
      const { checks } = await examine(args, source(busy));
      assertEquals(checks.find(({ name }) => name === "publish")!.status, "ok");
    });
  },
);

Deno.test("doctor --offline connects nowhere and ends with the socket", async () => {
  await withSite({}, async ({ args, connections }) => {
    const report = await examine(args, ["--offline"]);
    assertEquals(report.checks.at(-1)?.name, "listen");
    const { stdout } = await run(["doctor", "--offline", ...args]);
    assertMatch(stdout, /\n7 ok, .*\nNothing wrong found; publishing was not tried\n$/);
    assertEquals([report.exitCode, connections()], [0, 0]);
  });
});

Deno.test("doctor skips what needs a check that failed, and says which", DIRECT, async () => {
  await withSite({}, async ({ args }) => {
    const report = await examine(args, ["--port", "1"]);
    const skipped = report.checks.filter(({ status }) => status === "skipped");
    assertEquals(skipped.map(({ name, saw }) => `${name}: ${saw}`), [
      "listen: none is set",
      "proxy: none is set",
      "tls: needs tcp",
      "alpn: needs tls",
      "mqtt-connect: needs alpn",
      "publish: needs mqtt-connect",
    ]);
  });
});

Deno.test("doctor's text fits 80 columns", DIRECT, async () => {
  await withSite({}, async ({ args }) => {
    const { stdout } = await run(["doctor", ...args]);
    const wide = stdout.split("\n").filter((line) => line.length > 80);
    assertEquals(wide, []);
    assertMatch(stdout, /\n13 ok, 0 warn, 0 fail, 2 skipped\nThis device can publish\n$/);
  });
});

Deno.test("doctor on a terminal says what it looks at, and takes that back", async () => {
  await withSite({}, async ({ args }) => {
    const { stdout } = await runHere(["doctor", "--offline", ...args], { isTerminal: true });
    const parts = stdout.split("\n").map((line) => line.split("\r\x1b[K"));
    for (const [looking, result] of parts.filter((both) => both.length > 1)) {
      assertEquals(looking, `looking at ${result!.split(/\s+/)[1]} …`);
    }
    assertEquals(parts.filter((both) => both.length > 1).length, 8);
  });
});

Deno.test("doctor says that the clock is behind the program's build", async () => {
  await withSite({}, async ({ args }) => {
    const { code, stdout } = await runHere(["doctor", "--offline", ...args], { now: new Date(0) });
    assertMatch(stdout, /\nwarn {4}clock {8}.*1970-01-01/);
    assertMatch(stdout, /\nok {6}dates {8}not judged: the clock is wrong/);
    assertEquals(code, 0);
  });
});

Deno.test("doctor beside a running publisher does not throw it out", async () => {
  await withSite({}, async ({ args, connections }) => {
    const state = args[args.indexOf("--state") + 1]!;
    const held = new StateDirectory(state);
    try {
      const report = await examine(args);
      const found = Object.fromEntries(report.checks.map(({ name, status }) => [name, status]));
      assertEquals([found.queue, found.publish, report.exitCode], ["warn", "skipped", 0]);
      assertEquals(connections(), 0);
    } finally {
      held.release();
    }
  });
});

Deno.test("doctor --policy takes region and account, and refuses what is none", async () => {
  const args = ["doctor", "--policy", "--endpoint", "broker.example", "--client-id", "gw-7"];
  const given = await run([...args, "--region", "cn-north-1", "--account", "123456789012"]);
  assertMatch(given.stdout, /"arn:aws-cn:iot:cn-north-1:123456789012:client\/gw-7"/);
  for (const wrong of [["--region", "Frankfurt"], ["--account", "1234"]]) {
    const { code, stderr } = await run([...args, ...wrong]);
    assertEquals(code, 64);
    assertMatch(stderr, /^error: Cannot use --(region|account) ".*": it must be .*\nhint: type --/);
  }
});

Deno.test("doctor --policy allows what is handed in to be published below topicPrefix", async () => {
  const args = ["--client-id", "gw-7", "--topic", "a", "--topic-prefix", "dt/{clientId}"];
  const { code, stdout } = await run(["doctor", "--policy", ...args]);
  const resources = JSON.parse(stdout).Statement.map(({ Resource }: { Resource: string }) =>
    Resource.split(":").at(-1)
  );
  assertEquals([code, resources], [0, ["client/gw-7", "topic/a", "topic/dt/gw-7/*"]]);
});

Deno.test("doctor --policy prints the least policy for the client id and the topic", async () => {
  const endpoint = "abc-ats.iot.eu-central-1.amazonaws.com";
  const { code, stdout } = await run([
    "doctor",
    "--policy",
    "--endpoint",
    endpoint,
    "--client-id=gw-7",
  ]);
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

Deno.test("doctor --json gives each finding that is not ok its code", DIRECT, async () => {
  await withSite({}, async ({ args, certs }) => {
    const closed = await examine(args, ["--port", "1"]);
    const code = (report: typeof closed, name: string) =>
      report.checks.find((check) => check.name === name)?.code;
    assertEquals(code(closed, "tcp"), "tcp-refused");
    Deno.removeSync(fileIn(certs, "private.pem.key"));
    assertEquals(code(await examine(args), "files"), "file-not-found");
  });
});

Deno.test("doctor looks at the socket on which lines are handed in", async () => {
  await withSite({}, async ({ args, certs }) => {
    const path = `${certs.replace(/[^/]+$/, "")}in.sock`;
    const look = async (more: readonly string[] = []) => {
      const { checks } = await examine([...args, "--listen", path, ...more], ["--offline"]);
      return checks.find(({ name }) => name === "listen")!;
    };
    const free = await look();
    assertEquals(free.status, "ok");
    assertMatch(free.saw, /nobody listens at .* now, and a publisher can/);
    using listener = Deno.listen({ transport: "unix", path });
    const other = await look();
    assertEquals([other.status, other.code], ["warn", "listen-in-use"]);
    void listener;
  });
});

Deno.test("doctor tries MQTT 3.1.1 where the server hangs up on MQTT 5, and names it (D11)", async () => {
  const closeAtConnect = ({ protocolVersion }: { protocolVersion: number }) =>
    protocolVersion === 5;
  await withSite({ faults: { closeAtConnect } }, async ({ args }) => {
    const report = await examine(args);
    const found = report.checks.find(({ name }) => name === "mqtt-connect");
    assertEquals([found?.code, found?.hint], ["mqtt-version", "pass --mqtt-version 3.1.1"]);
    assertEquals(report.exitCode, 77);
  });
});

Deno.test("doctor tests with the QoS that is set (D6)", async () => {
  await withSite({}, async ({ args, received }) => {
    const report = await examine(args, ["--qos", "0"]);
    assertMatch(report.checks.at(-1)!.saw, /with QoS 0, which no server acknowledges/);
    assertEquals(received().map((message) => (message as { qos?: number }).qos), [0]);
  });
});

Deno.test("doctor's test on a shadow's topic is a shadow document, and one of Basic Ingest waits for --yes (D16)", async () => {
  await withSite({}, async ({ args, received }) => {
    const shadow = await examine(args, ["--topic", "$aws/things/gw-7/shadow/update"]);
    assertEquals(shadow.checks.find(({ name }) => name === "settings")?.code, "shadow-format");
    const [message] = received() as { topic: string; payload?: string }[];
    assertEquals(message?.payload, '{"state":{"reported":{}}}');
    const rule = ["--topic", "$aws/rules/r/dt/a"];
    const waits = await examine(args, rule);
    assertEquals(waits.checks.at(-1)?.code, "runs-a-rule");
    assertEquals(received().length, 1);
    await examine(
      [...args, "--client-id", "gw-7"].slice(0, args.length),
      rule,
      (all) => run([...all, "--yes"]),
    );
    assertEquals(received().length, 2);
  });
});
