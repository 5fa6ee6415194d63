/** `deno task release`: its folder, verified by its own page by somebody who has nothing else. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { VERSION } from "../../../lib/core/build.ts";
import { assertTold, inFolder } from "../../support/command_line.ts";
import { hasProgram } from "../../support/queueing.ts";
import { runCommand } from "./kitting.ts";

const canSign = hasProgram("ssh-keygen");
const needs = canSign ? "" : " (ssh-keygen is missing)";

const ROOT = new URL("../../..", import.meta.url).pathname;

function tool(name: "release" | "kit", args: readonly string[]) {
  const path = join(ROOT, "tools", name, "mod.ts");
  return runCommand([Deno.execPath(), "run", "-A", "--frozen", path, ...args], {
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  });
}

/** A key for this test alone. */
async function makeKey(folder: string): Promise<string> {
  const key = join(folder, "key");
  await runCommand(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key]);
  return key;
}

/** The commands of a part of the page. */
function commands(page: string, from: string, to: string): string[] {
  return page.split(from)[1]!.split(to)[0]!.split("\n")
    .filter((line) => /^ {4}(?!mqtt443-release)/.test(line)).map((line) => line.trim());
}

Deno.test({
  name:
    `release: the commands of RELEASE.md verify it, make it again, and refuse what was changed${needs}`,
  ignore: !canSign,
  fn: () =>
    inFolder(async (folder) => {
      const out = join(folder, "release");
      const key = await makeKey(folder);
      const made = await tool(
        "release",
        ["--key", key, "--arch", "x86_64", "--runtime", "npm", "--out", out],
      );
      assertEquals(made.code, 0, made.stderr);
      assertEquals([...Deno.readDirSync(out)].map(({ name }) => name).sort(), [
        ...["CHANGELOG.md", "RELEASE.md", "SHA256SUMS", "SHA256SUMS.sig", "allowed_signers"],
        ...[`mqtt443-${VERSION}-linux-x86_64.sbom.cdx.json`],
        ...[`mqtt443-${VERSION}-linux-x86_64.tar.gz`, "mqtt443-linux-x86_64"],
        `mqtt443_${VERSION}_amd64.deb`,
      ]);
      const page = Deno.readTextFileSync(join(out, "RELEASE.md"));
      for (const name of ["mqtt443-linux-x86_64", `mqtt443_${VERSION}_amd64.deb`]) {
        assertStringIncludes(page, `| \`${name}\` | the `);
      }
      assertStringIncludes(page, Deno.readTextFileSync(join(out, "allowed_signers")).trim());
      const [signature, sums, ...others] = commands(page, "## Verify it", "## Make it again");
      assertEquals(others, []);
      const type = (line: string) => runCommand(["sh", "-c", line], { cwd: out });
      const signed = await type(signature!);
      assertEquals(signed.code, 0, signed.stderr);
      assertStringIncludes(signed.stdout, 'Good "file" signature for mqtt443-release');
      const summed = await type(sums!);
      assertEquals([summed.code, summed.stdout.match(/: OK$/gm)?.length], [0, 5]);

      // A checkout of its own, npx and both architectures would take minutes more; the rest is as it is typed.
      const again = commands(page, "## Make it again", "(Where ");
      assertEquals(again[0], `git checkout ${/commit `(\w+)/.exec(page)?.[1]}`);
      assertStringIncludes(again[1]!, " task kit --out again");
      const task = ["--arch", "x86_64", "--runtime", "npm", "--out", join(out, "again")];
      const remade = await tool("kit", task);
      assertEquals(remade.code, 0, remade.stderr);
      const compared = await type(again[2]!);
      assertEquals([compared.code, compared.stdout.match(/: OK$/gm)?.length], [0, 2]);
      Deno.removeSync(join(out, "again"), { recursive: true });

      // Who has one file alone can verify that.
      const sbom = join(out, `mqtt443-${VERSION}-linux-x86_64.sbom.cdx.json`);
      const text = Deno.readTextFileSync(sbom);
      const { components } = JSON.parse(text);
      assert(components[0].components.some(({ name }: { name: string }) => name === "rustls"));
      Deno.removeSync(join(out, "mqtt443-linux-x86_64"));
      assertEquals((await type(sums!)).code, 0);
      Deno.writeTextFileSync(sbom, text.replace("rustls", "rustlz"));
      assert((await type(sums!)).code !== 0);
      const list = join(out, "SHA256SUMS");
      Deno.writeTextFileSync(list, Deno.readTextFileSync(list).replace(/^./, "x"));
      assert((await type(signature!)).code !== 0);
    }),
});

Deno.test("release without a key, with or into a folder that is there says so, and leaves nothing", () =>
  inFolder(async (folder) => {
    const none = await tool("release", ["--out", join(folder, "a")]);
    assertTold(none);
    assertEquals(none.code, 64);
    assertStringIncludes(none.stderr, "--key FILE is required");
    const there = await tool("release", ["--key", "x", "--out", folder]);
    assertTold(there);
    assertEquals(there.code, 73);
    assertEquals([...Deno.readDirSync(folder)], []);
  }));
