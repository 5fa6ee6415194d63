/** The recipes of lib/intake/README.md, each run as it is printed there, but for the path of the socket. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { makeRig, type Rig } from "../support/publishing.ts";
import { handIn, listening } from "../support/handing_in.ts";
import { programCommand } from "../support/program.ts";
import { hasProgram } from "../support/queueing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const README = Deno.readTextFileSync(new URL("../../lib/intake/README.md", import.meta.url));
const SOCKET = "/run/mqtt443/in.sock";

/** The code block of a language, or the indented lines that hold a word. */
function recipe(mark: string, path: string): string {
  const block = new RegExp(`\`\`\`${mark}\n([^]*?)\`\`\``).exec(README)?.[1] ??
    README.split("\n").filter((line) => line.startsWith("    ") && line.includes(mark))
      .map((line) => line.trim()).join("\n");
  assert(block !== "", `README has no recipe ${mark}`);
  return block.replaceAll(SOCKET, path);
}

/** Runs a recipe; returns what it printed. */
async function run(rig: Rig, program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: rig.folder,
  })
    .output();
  const text = new TextDecoder();
  assertEquals([code, text.decode(stderr)], [0, ""]);
  return text.decode(stdout);
}

/** A device whose publisher takes lines, and what it receives. */
async function withPublisher(
  action: (rig: Rig, path: string) => Promise<void>,
  wanted: readonly [topic: string, end: string][],
): Promise<void> {
  await using rig = await makeRig();
  const { path, flags } = listening(rig);
  await rig.publish([...flags, "--topic-prefix", "dt/gw-7"]).said("start");
  await action(rig, path);
  await rig.endpoint.waitFor(wanted.length);
  const found = rig.endpoint.received.map(({ topic, payload }) => [
    topic,
    payload.replace(/^.*"metrics":/, ""),
  ]);
  assertEquals(found, wanted.map((each) => [...each]));
}

const TOPIC = "dt/mqtt443/gw-7/telemetry";

Deno.test({
  name: "recipe for socat hands in a line, and prints its receipt",
  ignore: !hasProgram("socat"),
  fn: () =>
    withPublisher(async (rig, path) => {
      assertEquals(await run(rig, "sh", "-c", recipe("socat -t60", path)), '{"ok":true,"seq":1}\n');
    }, [[TOPIC, '{"pump":"on","flow":20.0}}']]),
});

Deno.test({
  name: "recipe for Python hands in lines with nothing but its standard library",
  ignore: !hasProgram("python3"),
  fn: () =>
    withPublisher(async (rig, path) => {
      const said = await run(rig, "python3", "-c", recipe("python", path));
      assertEquals(said, "{'ok': True, 'seq': 1}\n{'ok': True, 'seq': 2}\n");
    }, [[TOPIC, '{"temperature_celsius": 21.5}}'], [TOPIC, '{"temperature_celsius": 21.6}}']]),
});

Deno.test({
  name: "recipe for Node hands in an envelope, and prints its receipt",
  ignore: !hasProgram("node"),
  fn: () =>
    withPublisher(async (rig, path) => {
      assertEquals(
        await run(rig, "node", "-e", recipe("js ignore", path)),
        "{ ok: true, seq: 1 }\n",
      );
    }, [["dt/gw-7/node-red/boiler", '{"on":true}}']]),
});

Deno.test("recipes with send, and the line of cron, hand in messages", () =>
  withPublisher(async (rig, path) => {
    // A user's own mqtt443: the program that is tested, with the grants of its settings.
    const { words, env } = programCommand(["send", "--listen", path], { cwd: rig.folder });
    const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const variables = Object.entries(env).map(([name, value]) => `${name}='${value}'`).join(" ");
    const shim = `#!/bin/sh\nshift\nexec env ${variables} ${quoted} "$@"\n`;
    await Deno.writeTextFile(`${rig.folder}/mqtt443`, shim, { mode: 0o755 });
    const lines = README.split("\n").filter((line) =>
      /^ {4}mqtt443 send|^ {4}\* \* .*mqtt443 send/.test(line)
    );
    assertEquals(lines.length, 3);
    for (const line of lines) {
      const command = line.trim().replace(/^(\* ){5}/, "");
      assertEquals(await run(rig, "sh", "-c", `PATH=$PWD:$PATH; ${command}`), "");
    }
    await rig.endpoint.waitFor(3);
    assertMatch(rig.endpoint.received.pop()!.payload, /"metrics":\{"disk_free_bytes":\d+\}\}$/);
  }, [[TOPIC, '{"pump":"on","flow":20.0}}'], ["dt/gw-7/boiler/state", '{"text":"on"}}']]));

Deno.test("what telegraf's socket_writer writes in JSON is taken, though it reads no receipt", () =>
  withPublisher(
    async (_rig, path) => {
      assertMatch(recipe("toml", path), /unix:\/\/\/.*in\.sock"\n {2}data_format = "json"/);
      using telegraf = await handIn(path);
      // Its serializer writes a metric a line (plugins/serializers/json), each in a write of its own.
      for (const host of ["a", "b"]) {
        const tags = `"tags":{"cpu":"cpu-total","host":"${host}"},"timestamp":1798768800`;
        await telegraf.write(`{"fields":{"usage_idle":97.2},"name":"cpu",${tags}}\n`);
      }
    },
    ["a", "b"].map((host) => [
      TOPIC,
      `{"fields":{"usage_idle":97.2},"name":"cpu","tags":{"cpu":"cpu-total","host":"${host}"},"timestamp":1798768800}}`,
    ]),
  ));
