/** One table for every form of the program: what is typed, and what must come of it whichever form it is typed at. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { helpText } from "../../../lib/commands/help.ts";
import { VERSION } from "../../../lib/core/build.ts";
import type { Outcome } from "../../support/command_line.ts";
import { hasArm64 } from "./emulation.ts";
import { type Form, makeSite, type Site, start } from "./forms.ts";

/** What was typed, and what must come of it. */
interface Case {
  readonly name: string;
  readonly args: readonly string[];
  readonly input?: string;
  readonly code: number;
  /** Payloads that reach the endpoint. */
  readonly arrives?: readonly string[];
  readonly stdout?: string | RegExp;
  /** Patterns on stderr, in this order. */
  readonly stderr?: readonly RegExp[];
  /** Said instead by a form that carries its permissions. */
  readonly scoped?: Pick<Case, "code" | "stderr">;
  /** Run where each start takes a quarter of a minute. */
  readonly isEmulatedToo?: true;
  /** Checks what else must be. */
  readonly also?: (
    outcome: Outcome,
    context: { form: Form; site: Site; directory: string },
  ) => void;
}

const PUBLISHED = [/INFO +start /, /INFO +connected /, /INFO +stopped published=1 queued=0/];

const CASES: readonly Case[] = [
  { name: "no command", args: [], code: 64, stderr: [/^mqtt443 /] },
  { name: "--help", args: ["publish", "--help"], code: 0, stdout: `${helpText("publish")}\n` },
  {
    name: "a command misspelt",
    args: ["pubish"],
    code: 64,
    stderr: [/^error: .*pubish/, /did you mean/],
  },
  {
    name: "an unknown flag",
    args: ["publish", "--endpiont", "x"],
    code: 64,
    stderr: [/^error: Cannot run publish: unknown flag/, /"--endpiont".*did you mean/],
  },
  {
    name: "version --json",
    args: ["version", "--json"],
    code: 0,
    isEmulatedToo: true,
    also({ stdout }, { form, site }) {
      const { version, runtime, commit, scope, baked, permissions } = JSON.parse(stdout);
      assertEquals([version, runtime], [VERSION, form.runtime]);
      if (form.name === "source") return assertEquals(permissions.net, "all");
      assertEquals([commit, scope, baked], [site.build.commit, "site", site.build.grants]);
      assertEquals(permissions.net, [
        `localhost:${site.endpoint.port}`,
        "unix:/run/systemd/notify",
      ]);
      assertEquals([permissions.run, permissions.ffi, permissions.import], [[], [], []]);
    },
  },
  {
    name: "settings --json",
    args: ["settings", "--json", "--qos", "0"],
    code: 0,
    also({ stdout }) {
      const { qos, clientId, state } = JSON.parse(stdout);
      assertEquals(qos, { value: 0, origin: "flag", from: "--qos" });
      assertEquals(clientId, { value: "gw-7", origin: "file", from: "./mqtt443.json" });
      assertEquals(state, { value: "./state", origin: "default" });
    },
  },
  {
    name: "one message",
    args: ["publish", "--message", "hello ümläut", "--topic", "a/b"],
    code: 0,
    arrives: ["hello ümläut"],
    stderr: PUBLISHED,
    isEmulatedToo: true,
    also(_outcome, { directory }) {
      assert(Deno.statSync(`${directory}/state/queue.db`).isFile);
    },
  },
  {
    name: "lines of standard input",
    args: ["publish", "--source", "stdin", "--format", "text", "--topic", "a/b"],
    input: "one\n two  three\n$(four)\n",
    code: 0,
    arrives: ["one", " two  three", "$(four)"],
  },
  {
    name: "an argument that a shell would tear",
    args: ["publish", "--topic", "a/b", "--message", "--help 'x' \"y\" $HOME\n*"],
    code: 64,
    stderr: [/^error: /],
  },
  {
    name: "the same argument, tied to its flag",
    args: ["publish", "--topic", "a/b", "--message=--help 'x' \"y\" $HOME\n*"],
    code: 0,
    arrives: ["--help 'x' \"y\" $HOME\n*"],
  },
  {
    name: "ticks of a clock",
    args: ["publish", "--source=clock", "--count=3", "--interval=100ms", "--log-format=json"],
    code: 0,
    stderr: [/"event":"start"/, /"event":"stopped","published":3,"queued":0,"dropped":0/],
  },
  {
    name: "an endpoint that is not there",
    args: ["publish", "--port", "1", "--message", "x", "--give-up-after", "1s"],
    code: 75,
    stderr: [/connection refused/],
    scoped: { code: 78, stderr: [/^error: Cannot connect to localhost:1: .* not granted/m] },
  },
  {
    name: "settings that are wrong",
    args: ["publish", "--qos", "3", "--interval", "0s"],
    code: 78,
    stderr: [/^error: Cannot use these settings: 2 problems/, /qos: must be/, /^hint: /m],
    isEmulatedToo: true,
  },
  {
    name: "certificates that are not there",
    args: ["publish", "--certs", "./elsewhere", "--message", "x"],
    code: 78,
    stderr: [/^error: Cannot find the device certificate in ".\/elsewhere"/m],
    scoped: { code: 78, stderr: [/^error: Cannot read certificate directory .* not granted/m] },
  },
  {
    name: "queue --json",
    args: ["queue", "--json"],
    code: 73,
    stderr: [/^error: No queue here: /],
  },
  {
    name: "doctor --offline --json",
    args: ["doctor", "--offline", "--json"],
    code: 0,
    isEmulatedToo: true,
    also({ stdout }) {
      const { ok, checks } = JSON.parse(stdout);
      assertEquals(ok, true, stdout);
      assertEquals(checks.map(({ name }: { name: string }) => name).at(-1), "listen");
    },
  },
];

const HERE = Deno.build.arch === "aarch64" ? "arm64" : "x86_64";

Deno.test("every form of the program does the same", (test) => checkForms(test, HERE));

Deno.test({
  name: "the executable for arm64 does the same where this machine only emulates it",
  // Where the proofs are made, one that is missing must not pass in silence.
  ignore: HERE === "arm64" || (!hasArm64() && !Deno.env.has("CI")),
  fn: (test) => checkForms(test, "arm64"),
});

async function checkForms(test: Deno.TestContext, arch: "x86_64" | "arm64"): Promise<void> {
  await using site = await makeSite(arch);
  for (const form of site.forms.filter(({ name }) => arch === HERE || name.endsWith(arch))) {
    for (const wanted of CASES.filter((wanted) => runsAt(form, wanted))) {
      await test.step(`${form.name}: ${wanted.name}`, () => check(site, form, wanted));
    }
    await test.step(`${form.name}: SIGTERM while it publishes`, () => stopIt(site, form));
  }
}

function runsAt(form: Form, wanted: Case): boolean {
  if (form.isPublishOnly && wanted.args[0] !== "publish") return false;
  return wanted.isEmulatedToo === true || !isEmulated(form);
}

function isEmulated({ name }: Form): boolean {
  return name.endsWith("arm64") && HERE !== "arm64";
}

async function check(site: Site, form: Form, wanted: Case): Promise<void> {
  const directory = await site.makeDirectory();
  const before = site.endpoint.received.length;
  const outcome = await start(form, directory, wanted.args, wanted.input).outcome;
  const { code, stderr } = (form.isScoped ? wanted.scoped : undefined) ?? wanted;
  assertEquals(outcome.code, code, outcome.stderr);
  let from = 0;
  for (const pattern of stderr ?? []) {
    const rest = outcome.stderr.slice(from);
    assertMatch(rest, pattern);
    from += rest.search(pattern) + 1;
  }
  if (typeof wanted.stdout === "string") assertEquals(outcome.stdout, wanted.stdout);
  if (code !== 0) assertEquals(outcome.stdout, "");
  if (wanted.arrives) {
    const arrived = site.endpoint.received.slice(before).map(({ payload }) => payload);
    assertEquals(arrived, wanted.arrives);
  }
  wanted.also?.(outcome, { form, site, directory });
}

/** The signal reaches the program itself: it drains, says goodbye, and exits 0. */
async function stopIt(site: Site, form: Form): Promise<void> {
  const directory = await site.makeDirectory();
  const before = site.endpoint.received.length;
  const args = ["publish", "--source", "clock", "--interval", "100ms", "--topic", "a/b"];
  const { process, outcome } = start(form, directory, args);
  await site.endpoint.until(() => site.endpoint.received.length >= before + 3, {
    deadlineMs: 120_000,
  });
  process.kill("SIGTERM");
  const { code, stderr } = await outcome;
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /INFO +stopped published=\d+ queued=0 dropped=0/);
}
