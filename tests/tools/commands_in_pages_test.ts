/**
 * Every command that a README.md page of the project shows. What needs no network and no gateway is run here; of the rest
 * it is seen that the program or the task takes it, and that a test or .ci/run runs it.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import { parseKit } from "../../tools/kit/mod.ts";
import { DENO_VERSION } from "../../tools/build/targets.ts";
import { pages, pageText } from "../../tools/docs/mod.ts";
import { startEndpoint, writeCerts } from "../../tools/endpoint/mod.ts";
import { inFolder, makeEnv, run } from "../support/command_line.ts";
import { pki } from "../support/publishing.ts";

const ROOT = new URL("../../", import.meta.url);
const { tasks } = JSON.parse(read("deno.json"));

/** What a block of commands begins with; any other block is output. */
const COMMAND =
  /^(mqtt443(?! is )|npx|cat|alias|mkdir|cp|chmod|curl|aws|ARN=|scp|ssh|openssl|apt-get)\b/;

/** They need an account, another machine or the internet. */
const ELSEWHERE = /^(curl|aws|ARN=|scp|ssh)/;

/** Tasks that .ci/run does not name, and the test that runs what they run. */
const RUN_BY: Readonly<Record<string, readonly [file: string, text: string]>> = {
  test: ["deno.json", "deno task test &&"],
  publish: ["tests/system/executables/airgap_process.ts", '"publish"'],
  endpoint: ["tests/tools/endpoint_test.ts", "tools/endpoint/mod.ts"],
  "compile --settings": ["tests/system/executables/compile_test.ts", "settings"],
  "compile --help": ["tests/tools/compile_test.ts", "--help"],
  release: ["tests/system/executables/release_test.ts", "`deno task release`"],
  "kit --source": ["tests/system/executables/airgap_test.ts", "--source"],
};

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

/** The commands of a page, each in one line, in the order in which they stand there. */
function commandsOf(page: string): string[] {
  return pageText(page).split(/\n\s*\n|```/).flatMap((block) => {
    const lines = block.replaceAll("\\\n", " ").split("\n").filter((line) => line.trim() !== "");
    const typed = lines.map((line) => line.trim().replace(/ +/g, " "));
    const prompted = typed.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
    if (prompted.length > 0 || lines.some((line) => !line.startsWith("    "))) return prompted;
    return COMMAND.test(typed[0] ?? "") ? typed : [];
  });
}

const ALL = pages().flatMap((page) => commandsOf(page).map((command) => ({ page, command })));

/** Whether the page shows the command for the error that it brings. */
function showsError(page: string, command: string): boolean {
  return pageText(page).replace(/\n *error: /g, "\n error: ").replace(/ +/g, " ").includes(
    `${command}\n error: `,
  );
}

/** The words of a command as a shell takes them, without what stands behind a redirection. */
function wordsOf(command: string): string[] {
  const words = command.replace(/ [<>|].*/, "").match(/"[^"]*"|'[^']*'|\S+/g)!;
  return words.map((word) => word.replace(/^(["'])(.*)\1$/, "$2"));
}

Deno.test("the pages show the commands that this file knows how to try", () => {
  assert(ALL.length >= 30, `${ALL.length} commands`);
  const known = /^(cat \w+ \| )?mqtt443 |^npx -y deno@\S+ (task|test|install) /;
  const tried = /^(alias|mkdir|cp|chmod|openssl|apt-get|systemctl) ?/;
  assertEquals(
    ALL.filter(({ command }) => ![known, tried, ELSEWHERE].some((kind) => kind.test(command))),
    [],
  );
});

for (const { page, command } of ALL) {
  const own = /^(?:cat \w+ \| )?mqtt443 (.*)/s.exec(command)?.[1];
  if (own !== undefined) {
    Deno.test(`the program takes \`${command}\` of ${page}`, () => {
      const parsed = parseCommand(wordsOf(own));
      const world = { env: makeEnv(), hostName: () => "gw-7" };
      if (!showsError(page, command)) loadSettings(parsed, world, { needEndpoint: false });
    });
  }
  const task = /^npx -y deno@(\S+) task (\S+) ?(.*)/.exec(command);
  if (task !== null) {
    Deno.test(`there is a task, and a test of it, for \`${command}\` of ${page}`, () => {
      const [, version, name, rest] = task;
      assertEquals(version, DENO_VERSION);
      assert(name! in tasks, name);
      if (name === "kit") parseKit(wordsOf(rest || "--"));
      const by = RUN_BY[`${name} ${rest}`.split(" ").slice(0, 2).join(" ")] ?? RUN_BY[name!];
      assertStringIncludes(read(by?.[0] ?? ".ci/run"), by?.[1] ?? `deno task ${name}`);
    });
  }
}

Deno.test("each task that a page names in passing is there", () => {
  const names = pages().flatMap((page) =>
    [...pageText(page).matchAll(/`(?:[^`\n]*deno )?task ([a-z:]+)/g)].map(([, name]) => name!)
  );
  assert(names.length >= 10);
  assertEquals(names.filter((name) => name !== "NAME" && !(name in tasks)), []);
});

Deno.test("README's demo is what the demo prints", () => {
  const demo = read("tools/demo.ts");
  const steps = [...read("README.md").matchAll(/^ {4}(\d\. .*)$/gm)].map(([, step]) => step!);
  assertEquals(steps.length, 6);
  for (const step of steps) {
    // The count of messages and the port differ from run to run.
    assertStringIncludes(demo, step.replace(/^\d\. (\d+ )?/, "").replace(/\d+$/, ""));
  }
});

Deno.test("doctor prints a policy and looks at a gateway without a network, as the pages type it", async () => {
  const commands = ALL.map(({ command }) => command).filter((command) =>
    /^mqtt443 doctor .*--(policy|offline)/.test(command)
  );
  assertEquals(commands.length, 3);
  for (const command of commands) {
    const typed = command.replace("REGION", "eu-central-1").replace("ACCOUNT", "123456789012");
    const { stdout, code } = await run(wordsOf(typed).slice(1));
    assertEquals(code, command.includes("--policy") ? 0 : 78);
    assertEquals(typeof JSON.parse(stdout), "object");
  }
});

Deno.test("the commands for a folder of certificates make one that the program takes", async () => {
  await inFolder(async (folder) => {
    const commands = ALL.filter(({ page, command }) =>
      page === "README.md" && /^(mkdir|chmod) /.test(command)
    ).map(({ command }) => command);
    assertEquals(commands.length, 2);
    const files = { cert: "gw-7-certificate.pem.crt", key: "gw-7-private.pem.key" };
    await sh(folder, commands[0]!);
    await Deno.writeTextFile(`${folder}/certs/${files.cert}`, pki.device.cert);
    await Deno.writeTextFile(`${folder}/certs/${files.key}`, pki.device.key);
    await Deno.writeTextFile(`${folder}/certs/AmazonRootCA1.pem`, pki.ca);
    await sh(folder, commands[1]!);
    const args = [
      "doctor",
      "--offline",
      "--json",
      "--durability",
      "crash",
      "--endpoint",
      "gw.example",
    ];
    const { stdout } = await run(args, { cwd: folder });
    const { checks } = JSON.parse(stdout);
    const bad = checks.filter(({ status }: { status: string }) => status === "fail");
    assertEquals(bad, []);
  });
});

Deno.test("openssl sees the protocol at the local endpoint, as lib/doctor/README.md types it", async () => {
  await inFolder(async (folder) => {
    await writeCerts(folder, pki);
    await using endpoint = await startEndpoint({ certificates: pki });
    const [command] = commandsOf("lib/doctor/README.md").filter((line) =>
      line.startsWith("openssl")
    );
    const here = command!.replaceAll("8443", String(endpoint.port)).replaceAll("/tmp/ep", folder);
    assertEquals(
      await sh(folder, here),
      "ALPN protocol: x-amzn-mqtt-ca\nVerify return code: 0 (ok)\n",
    );
  });
});

Deno.test("the packages that tests/README.md names are those that .ci/run installs", () => {
  const ci = read(".ci/run");
  const { command } = ALL.find(({ command }) => command.startsWith("apt-get"))!;
  for (const name of command.split(" ").slice(2)) assertStringIncludes(ci, `:${name}`);
});

Deno.test("README.md fits two screens of 100 columns and 10 KB", () => {
  const text = read("README.md");
  assertEquals(text.split("\n").filter((line) => line.length > 100), []);
  assert(new TextEncoder().encode(text).length < 10_000);
});

async function sh(cwd: string, command: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-euc", command], cwd })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(code, 0, text(stderr));
  return text(stdout);
}
