/** What others do with the project: publish it, install it from a checkout, run its workflows, file an issue. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { pageText } from "../../tools/docs/mod.ts";
import { inFolder } from "../support/command_line.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

async function type(
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; text: string }> {
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(program!, {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
  }).output();
  const text = new TextDecoder();
  return { code, text: text.decode(stdout) + text.decode(stderr) };
}

Deno.test("project: deno publish --dry-run passes, and takes the program alone", async () => {
  const args = ["publish", "--dry-run", "--allow-dirty", "--no-check"];
  const { code, text } = await type([Deno.execPath(), ...args]);
  assertEquals(code, 0, text);
  const files = [...text.matchAll(/^ +file:\/\/(\S+) \(/gm)].map(([, path]) =>
    path!.slice(ROOT.length)
  );
  assert(files.includes("lib/app.ts"), text);
  const others = files.filter((path) => !path.startsWith("lib/"));
  assertEquals(others.toSorted(), ["LICENSE", "README.md", "deno.json", "main.ts"]);
});

Deno.test("project: deno install -g from a checkout, as tools/build/README.md says it, gives the command", () =>
  inFolder(async (folder) => {
    const line = /^ {4}npx -y deno@\S+ (install -g .*)$/m.exec(
      pageText("tools/build/README.md"),
    )![1]!;
    const words = line.split(" ").toSpliced(2, 0, "--root", folder);
    const { code, text } = await type([Deno.execPath(), ...words]);
    assertEquals(code, 0, text);
    // It calls `deno`, which is not in everybody's PATH.
    await Deno.symlink(Deno.execPath(), join(folder, "bin/deno"));
    const PATH = `${folder}/bin:${Deno.env.get("PATH")}`;
    const version = await type(["sh", "-c", "cd / && mqtt443 version"], { PATH });
    assertEquals(version.code, 0, version.text);
    assertMatch(version.text, new RegExp(`^mqtt443 +${config.version}\n`));
    const help = await type(["sh", "-c", "cd / && mqtt443 help"], { PATH });
    assertStringIncludes(help.text, "mqtt443 publish");
  }));

Deno.test("project: workflows pin each action by its commit, and run the project's own scripts", () => {
  for (const name of ["ci.yml", "release.yml"]) {
    const text = Deno.readTextFileSync(join(ROOT, ".github/workflows", name));
    for (const [, action] of text.matchAll(/uses: +(.+)$/gm)) {
      assertMatch(action!, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
    assertMatch(text, /^permissions:( \{\}|\n {2}contents: read)$/m);
    const [script] = /\.ci\/\w+/.exec(text)!;
    assertEquals(Deno.statSync(join(ROOT, script)).mode! & 0o111, 0o111);
  }
});

Deno.test("project: the form for faults asks for what doctor says", () => {
  const form = Deno.readTextFileSync(join(ROOT, ".github/ISSUE_TEMPLATE/fault.yml"));
  assertStringIncludes(form, "mqtt443 doctor --json");
  assertStringIncludes(form, "mqtt443 version");
});

for (
  const [what, tag, words] of [
    ["another version's tag", "v0.0.0", "the tag is v0.0.0"],
    ["a version without a date", `v${config.version}`, `has no date for ${config.version}`],
  ] as const
) {
  Deno.test(`project: .ci/release refuses ${what}`, () =>
    inFolder(async (folder) => {
      // A project of its own: here, the version may have a date.
      for (const path of [".ci", ".github"]) await Deno.mkdir(join(folder, path));
      for (const path of [".ci/release", "deno.json"]) {
        await Deno.copyFile(join(ROOT, path), join(folder, path));
      }
      const changes = `# Changelog\n\n## ${config.version}, not released yet\n`;
      await Deno.writeTextFile(join(folder, ".github/CHANGELOG.md"), changes);
      const { code, text } = await type([join(folder, ".ci/release"), tag, join(folder, "out")], {
        RELEASE_KEY: "x",
      });
      assertEquals(code, 1, text);
      assertStringIncludes(text, words);
    }));
}
