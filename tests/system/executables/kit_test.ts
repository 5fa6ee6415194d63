/** `deno task kit` as it is typed: what it makes, that it makes the same twice, and what it leaves when it cannot. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { VERSION } from "../../../lib/core/build.ts";
import { settingsSchema } from "../../../lib/settings/mod.ts";
import { assertTold, inFolder } from "../../support/command_line.ts";
import { kit, makeKit, runCommand } from "./kitting.ts";

const NAME = `mqtt443-${VERSION}-linux-x86_64`;

Deno.test("kit makes the same archive twice, whole, with the sums of what is in it", () =>
  inFolder(async (folder) => {
    const made = ["a", "b"].map((name) => join(folder, name, `${NAME}.tar.gz`));
    // Both at once: somebody may be at work on the tree.
    await Promise.all(["a", "b"].map(async (name) => {
      const out = join(folder, name);
      const { code, stderr } = await kit(["--arch", "x86_64", "--runtime", "npm", "--out", out]);
      assertEquals([code, stderr], [0, ""]);
      assertEquals([...Deno.readDirSync(out)].length, 2);
    }));
    assertEquals((await runCommand(["cmp", ...made])).code, 0);
    const debs = ["a", "b"].map((name) => join(folder, name, `mqtt443_${VERSION}_amd64.deb`));
    assertEquals((await runCommand(["cmp", ...debs])).code, 0);

    const { stdout } = await runCommand(["tar", "tvzf", made[0]!, "--utc"]);
    const lines = stdout.trim().split("\n").map((line) => line.split(/\s+/));
    assertEquals(
      new Set(lines.map(([, owner, , day]) => `${owner} ${day}`)),
      new Set(["root/root 2023-11-14"]),
    );
    assertEquals(lines.map(([mode, , , , , path]) => `${mode} ${path!.slice(NAME.length)}`), [
      "drwxr-xr-x /",
      "-rw-r--r-- /FILES",
      "-rw-r--r-- /LICENSE",
      "-rw-r--r-- /README.txt",
      "-rw-r--r-- /SECURITY.md",
      "-rw-r--r-- /SHA256SUMS",
      "-rw-r--r-- /THIRD_PARTY_LICENSES.txt",
      "-rw-r--r-- /VERSION",
      "drwxr-xr-x /certs.example/",
      "-rw-r--r-- /certs.example/README.md",
      "-rw-r--r-- /certs.sh",
      "-rwxr-xr-x /install.sh",
      "-rw-r--r-- /listen.conf",
      "-rwxr-xr-x /mqtt443",
      "-rw-r--r-- /mqtt443-wait.target",
      "-rw-r--r-- /mqtt443.1",
      "-rw-r--r-- /mqtt443.bash",
      "-rw-r--r-- /mqtt443.fish",
      "-rw-r--r-- /mqtt443.json.sample",
      "-rw-r--r-- /mqtt443.schema.json",
      "-rw-r--r-- /mqtt443.service",
      "-rw-r--r-- /mqtt443.socket",
      "-rw-r--r-- /mqtt443.sysusers",
      "-rw-r--r-- /mqtt443.tmpfiles",
      "-rw-r--r-- /mqtt443.zsh",
      "-rw-r--r-- /sbom.cdx.json",
    ]);

    await runCommand(["tar", "xzf", made[0]!, "-C", folder]);
    const cwd = join(folder, NAME);
    const sums = await runCommand(["sha256sum", "-c", "SHA256SUMS"], { cwd });
    assertEquals([sums.code, sums.stdout.split("\n").length], [0, 24]);
    const schema = JSON.parse(Deno.readTextFileSync(join(cwd, "mqtt443.schema.json")));
    assertEquals(schema, JSON.parse(JSON.stringify(settingsSchema())));
    const { metadata } = JSON.parse(Deno.readTextFileSync(join(cwd, "sbom.cdx.json")));
    const [sum] = (await runCommand(["sha256sum", "mqtt443"], { cwd })).stdout.split(" ");
    assertEquals(metadata.component.hashes, [{ alg: "SHA-256", content: sum }]);
    const version = await runCommand([join(cwd, "mqtt443"), "version"], {
      env: { MQTT443_RUNTIME_DIR: join(folder, "runtime") },
    });
    assertEquals(version.code, 0);
    assertStringIncludes(version.stdout, VERSION);
  }));

Deno.test("kit --settings makes a kit for one site, under a name of its own, with the settings in it (F18)", () =>
  inFolder(async (folder) => {
    const settings = join(folder, "site.json");
    Deno.writeTextFileSync(settings, '{ "endpoint": "broker.example", "port": 8883 }\n');
    const out = join(folder, "out");
    const made = await kit(
      ["--arch", "x86_64", "--runtime", "npm", "--settings", settings, "--out", out],
    );
    assertEquals([made.code, made.stderr], [0, ""]);
    const site = `mqtt443-${VERSION}-site-linux-x86_64`;
    assertEquals([...Deno.readDirSync(out)].map(({ name }) => name).sort(), [
      `${site}.tar.gz`,
      `mqtt443-site_${VERSION}_amd64.deb`,
    ]);
    const read = (name: string) =>
      runCommand(["tar", "xzOf", join(out, `${site}.tar.gz`), `${site}/${name}`]);
    assertEquals((await read("mqtt443.json")).stdout, Deno.readTextFileSync(settings));
    assertStringIncludes((await read("README.txt")).stdout, "broker.example:8883.");
  }));

Deno.test("kit --source makes the same archive twice, with Deno, the source and the packages", () =>
  inFolder(async (folder) => {
    const name = `mqtt443-${VERSION}-source-linux-x86_64`;
    await Promise.all(["a", "b"].map(async (name) => {
      const { code, stderr } = await kit([
        "--source",
        "--arch",
        "x86_64",
        "--out",
        join(folder, name),
      ]);
      assertEquals([code, stderr], [0, ""]);
    }));
    const made = ["a", "b"].map((out) => join(folder, out, `${name}.tar.gz`));
    assertEquals((await runCommand(["cmp", ...made])).code, 0);
    const { stdout } = await runCommand(["tar", "tzf", made[0]!]);
    const paths = new Set(stdout.split("\n").map((path) => path.slice(name.length + 1)));
    const cache = "vendor/deno/cache/npm/registry.npmjs.org";
    for (
      const path of [
        ...[
          "deno",
          "main.ts",
          "deno.lock",
          "LICENSE",
          ".github/SECURITY.md",
          "tests/tools/kit_test.ts",
          "vendor/std",
          "vendor/deno/deno",
        ],
        ...[`${cache}/mqtt/registry.json`, `${cache}/mqtt/5.16.0/package.json`],
        `${cache}/@esbuild/linux-x64/0.28.2/bin/esbuild`,
      ]
    ) {
      assertEquals([path, paths.has(path)], [path, true]);
    }
    assertEquals(
      [...paths].filter((path) => /@esbuild\/(linux-arm64|win32)|\.git\//.test(path)),
      [],
    );
  }));

Deno.test("a kit's archive stays what it was when another one cannot be made", () =>
  inFolder(async (folder) => {
    await makeKit(folder);
    const path = join(folder, `mqtt443-0.1.0-linux-x86_64.tar.gz`);
    const before = Deno.readFileSync(path);
    const outcome = await kit([
      ...["--arch", "x86_64", "--out", folder, "--runtime", "denort"],
      ...["--denort", join(folder, "nowhere")],
    ]);
    assertTold(outcome);
    assertEquals(Deno.readFileSync(path), before);
    assertEquals([...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith(".")), []);
  }));

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`kit ended by ${signal} leaves nothing`, () =>
    inFolder(async (folder) => {
      const watcher = Deno.watchFs(folder);
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--frozen", "tools/kit/mod.ts", "--arch", "x86_64", "--out", folder],
        cwd: new URL("../../..", import.meta.url).pathname,
        stdout: "null",
        stderr: "null",
      }).spawn();
      const ended = child.status.finally(() => watcher.close());
      for await (const { paths } of watcher) {
        if (paths.some((path) => path.includes(`/.kit-${child.pid}-`))) break;
      }
      child.kill(signal);
      assertEquals((await ended).code, code);
      assertEquals([...Deno.readDirSync(folder)], []);
    }));
}
