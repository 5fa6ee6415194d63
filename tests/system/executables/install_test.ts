/**
 * install.sh of the device kit, run for real: below a folder, and as root on this machine in a world of files of its own.
 * The executable is a stand-in: install.sh never runs it.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { assertTold, inFolder } from "../../support/command_line.ts";
import { canMount, canUnshare, mountMemory } from "../../support/mounting.ts";
import { hasProgram, isRoot } from "../../support/queueing.ts";
import { install, makeKit, runCommand, SHELLS, tree } from "./kitting.ts";

const BIN = "usr/local/bin/mqtt443";
const CONFIG = "etc/mqtt443";
const UNIT = "etc/systemd/system/mqtt443.service";

/** An image with the three files that name its users. */
function makeImage(folder: string): string {
  const root = join(folder, "an image");
  Deno.mkdirSync(join(root, "etc"), { recursive: true });
  Deno.writeTextFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nd:x:999:998::/:/\n",
  );
  Deno.writeTextFileSync(join(root, "etc/group"), "root:x:0:\nd:x:998:\n");
  Deno.writeTextFileSync(join(root, "etc/shadow"), "root:*:1::::::\n");
  Deno.chmodSync(join(root, "etc/shadow"), 0o640);
  return root;
}

for (const shell of SHELLS) {
  Deno.test(`install.sh puts everything where it belongs, and nothing a second time (${shell.join(" ")})`, () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      const first = await install(kit, ["--root", root], { shell });
      assertEquals([first.code, first.stderr], [0, ""]);
      const files = tree(root);
      assertEquals(files[BIN], `755 ${Deno.readTextFileSync(join(kit, "mqtt443"))}`);
      assertEquals(files[UNIT], `644 ${Deno.readTextFileSync(join(kit, "mqtt443.service"))}`);
      assertEquals(files["etc/systemd/system/mqtt443-wait.target"]!.slice(0, 4), "644 ");
      assertEquals(files[`${CONFIG}/certs`], "750");
      assertEquals(files["var/lib/mqtt443"], "700");
      assertStringIncludes(files[`${CONFIG}/mqtt443.json.sample`]!, '"endpoint"');
      assertEquals(`${CONFIG}/mqtt443.json` in files, false);
      assertStringIncludes(files["etc/passwd"]!, "\nmqtt443:x:997:997:mqtt443:/var/lib/mqtt443:");
      assertStringIncludes(files["etc/group"]!, "\nmqtt443:x:997:\n");
      assertStringIncludes(files["etc/shadow"]!, "640 ");
      assertStringIncludes(files["etc/shadow"]!, "\nmqtt443:!");
      assertStringIncludes(first.stdout, `installed ${root}/${BIN}\n`);

      const second = await install(kit, [`--root=../${root.split("/").at(-1)}`], {
        shell,
        cwd: kit,
      });
      assertEquals([second.code, second.stderr], [0, ""]);
      assertStringIncludes(second.stdout, "nothing had to be changed");
      assertEquals(tree(root), files);
    }));

  Deno.test(`install.sh --dry-run changes nothing and says the rest (${shell.join(" ")})`, () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      const before = tree(root);
      const { code, stdout } = await install(kit, ["--dry-run", "--root", root], { shell });
      assertEquals(code, 0);
      assertEquals(tree(root), before);
      assertStringIncludes(stdout, `would install ${root}/${BIN}`);
      assertStringIncludes(stdout, "would make user mqtt443");
      assertEquals(stdout.trim().split("\n").at(-1), "nothing was changed");
    }));

  Deno.test(`install.sh --uninstall leaves settings, certificates and queue, --purge nothing (${shell.join(" ")})`, () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      const before = tree(root);
      await install(kit, ["--root", root], { shell });
      const queue = join(root, "var/lib/mqtt443/queue.db");
      Deno.writeTextFileSync(queue, "what waits");
      Deno.writeTextFileSync(join(root, CONFIG, "mqtt443.json"), "{}");
      const removed = await install(kit, ["--uninstall", "--root", root], { shell });
      assertEquals([removed.code, removed.stderr], [0, ""]);
      const left = Object.keys(tree(root)).filter((path) => path.includes("mqtt443")).sort();
      assertEquals(left, [
        ...["etc/mqtt443", "etc/mqtt443/certs", "etc/mqtt443/mqtt443.json"],
        ...["var/lib/mqtt443", "var/lib/mqtt443/queue.db"],
      ]);
      const purged = await install(kit, ["--uninstall", "--purge", "--root", root], { shell });
      assertEquals([purged.code, purged.stderr], [0, ""]);
      const files = tree(root);
      assertEquals(Object.keys(files).filter((path) => path.includes("mqtt443")), []);
      for (const path of Object.keys(before)) assertEquals(files[path], before[path]);
    }));
}

Deno.test("install.sh upgrades, and keeps settings, certificates, queue, and a unit changed by hand", () =>
  inFolder(async (folder) => {
    const root = makeImage(folder);
    await install(await makeKit(folder), ["--root", root]);
    const own: Record<string, string> = {
      [`${CONFIG}/mqtt443.json`]: '{"endpoint":"gw.example"}',
      [`${CONFIG}/certs/gw-private.pem.key`]: "a key",
      "var/lib/mqtt443/queue.db": "what waits",
      [UNIT]: "changed by hand",
    };
    for (const [path, text] of Object.entries(own)) Deno.writeTextFileSync(join(root, path), text);
    const newer = await makeKit(folder, { version: "0.2.0", words: "newer" });
    const { code, stdout } = await install(newer, ["--root", root]);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "upgraded mqtt443 from 0.1.0 (");
    const text = (path: string) => Deno.readTextFileSync(join(root, path));
    assertEquals(text(BIN), Deno.readTextFileSync(join(newer, "mqtt443")));
    assertEquals(text(UNIT), Deno.readTextFileSync(join(newer, "mqtt443.service")));
    assertEquals(text(`${UNIT}.old`), "changed by hand");
    for (const path of Object.keys(own).filter((path) => path !== UNIT)) {
      assertEquals(text(path), own[path]);
    }
  }));

Deno.test("install.sh brings the settings of a kit for one site, and never over others", () =>
  inFolder(async (folder) => {
    const root = makeImage(folder);
    const path = join(root, CONFIG, "mqtt443.json");
    await install(await makeKit(folder, { settings: '{"endpoint":"a"}' }), ["--root", root]);
    assertEquals(Deno.readTextFileSync(path), '{"endpoint":"a"}');
    const newer = await makeKit(folder, { version: "0.2.0", settings: '{"endpoint":"b"}' });
    const { stdout } = await install(newer, ["--root", root]);
    assertEquals(Deno.readTextFileSync(path), '{"endpoint":"a"}');
    assertStringIncludes(stdout, `left ${path}, though this executable was built for ${newer}/`);
  }));

Deno.test({
  name: "install.sh gives a key to the service's user alone (needs root)",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      await install(kit, ["--root", root]);
      const key = join(root, CONFIG, "certs/gw-private.pem.key");
      Deno.writeTextFileSync(key, "a key", { mode: 0o644 });
      const { stdout } = await install(kit, ["--root", root]);
      assertStringIncludes(stdout, `set owner and mode of ${key} (mqtt443, 600)`);
      const { mode, uid } = Deno.statSync(key);
      assertEquals([(mode ?? 0) & 0o777, uid], [0o600, 997]);
      const certs = Deno.statSync(join(root, CONFIG, "certs"));
      assertEquals([certs.uid, certs.gid], [0, 997]);
      assertEquals(Deno.statSync(join(root, "var/lib/mqtt443")).uid, 997);
    }),
});

Deno.test("install.sh unpacks one runtime for all users, and removes those of before (F13)", () =>
  inFolder(async (folder) => {
    const root = makeImage(folder);
    await install(await makeKit(folder), ["--root", root]);
    const lib = join(root, "usr/local/lib/mqtt443");
    const names = () => [...Deno.readDirSync(lib)].map(({ name }) => name);
    assertEquals(names(), ["mqtt443-0.1.0-stand-in"]);
    // Where the service unpacked it once.
    Deno.mkdirSync(join(root, "var/lib/mqtt443/runtime/mqtt443-0.0.9"), { recursive: true });
    const newer = await makeKit(folder, { version: "0.2.0", words: "newer" });
    assertEquals((await install(newer, ["--root", root])).code, 0);
    assertEquals(names(), ["mqtt443-0.2.0-newer"]);
    assertEquals([...Deno.readDirSync(join(root, "var/lib/mqtt443"))], []);
    const program = join(lib, "mqtt443-0.2.0-newer/mqtt443");
    const before = tree(root);
    Deno.writeTextFileSync(program, "damaged");
    assertStringIncludes((await install(newer, ["--root", root])).stdout, `installed ${lib}/`);
    assertEquals(tree(root), before);
    await install(newer, ["--uninstall", "--purge", "--root", root]);
    assertEquals(Object.keys(tree(root)).filter((path) => path.includes("mqtt443")), []);
  }));

/** A folder with the files of a device, as AWS names them, and what is not to be taken. */
function makeCerts(folder: string, name = "0a1b"): string {
  const certs = join(folder, `certs of ${name}`);
  Deno.mkdirSync(certs);
  const files = [`${name}-certificate.pem.crt`, `${name}-private.pem.key`, "AmazonRootCA1.pem"];
  for (const file of [...files, `${name}-public.pem.key`, "notes.txt"]) {
    Deno.writeTextFileSync(join(certs, file), file);
  }
  return certs;
}

for (const shell of SHELLS) {
  Deno.test(`install.sh --certs takes certificate, key and CA, with the owner and mode that they need (F16; ${shell.join(" ")})`, () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      const certs = makeCerts(folder);
      const args = ["--certs", certs, "--root", root];
      const { code, stderr } = await install(kit, args, { shell });
      assertEquals([code, stderr], [0, ""]);
      const [uid, gid] = isRoot ? [997, 997] : [Deno.uid(), Deno.gid()];
      const found = [...Deno.readDirSync(join(root, CONFIG, "certs"))].map(({ name }) => {
        const { mode, ...file } = Deno.statSync(join(root, CONFIG, "certs", name));
        assertEquals(file.gid, gid);
        return [name, (mode ?? 0) & 0o777, file.uid];
      });
      const owner = isRoot ? 0 : uid;
      assertEquals(found.toSorted(), [
        ["0a1b-certificate.pem.crt", isRoot ? 0o640 : 0o600, owner],
        ["0a1b-private.pem.key", 0o600, uid],
        ["AmazonRootCA1.pem", isRoot ? 0o640 : 0o600, owner],
      ]);
      const again = await install(kit, args, { shell });
      assertStringIncludes(again.stdout, "nothing had to be changed");
    }));
}

Deno.test("install.sh --certs refuses what is no device's identity, before anything is changed (F16)", () =>
  inFolder(async (folder) => {
    const kit = await makeKit(folder);
    const root = makeImage(folder);
    const before = tree(root);
    const refused = async (certs: string, code: number, words: string) => {
      const outcome = await install(kit, [`--certs=${certs}`, "--root", root]);
      assertTold(outcome);
      assertEquals(outcome.code, code);
      assertStringIncludes(outcome.stderr, words);
    };
    await refused("", 64, "there is no such folder");
    await refused(join(folder, "nowhere"), 64, "there is no such folder");
    const certs = makeCerts(folder);
    Deno.renameSync(join(certs, "0a1b-private.pem.key"), join(certs, "x"));
    await refused(certs, 78, "Cannot find the key in");
    Deno.renameSync(join(certs, "x"), join(certs, "0a1b-private.pem.key"));
    Deno.writeTextFileSync(join(certs, "cert.pem"), "");
    await refused(certs, 78, "Cannot tell which certificate in");
    Deno.removeSync(join(certs, "cert.pem"));
    assertEquals(tree(root), before);
    await install(kit, ["--certs", certs, "--root", root]);
    const other = makeCerts(folder, "ffff");
    await refused(other, 78, "holds another one");
  }));

Deno.test("install.sh --root follows no planted link out of the image (G12)", () =>
  inFolder(async (folder) => {
    const kit = await makeKit(folder);
    const outside = join(folder, "outside");
    Deno.writeTextFileSync(outside, "the machine's\n", { mode: 0o640 });
    const plant = async (path: string, isRefused: boolean, args: readonly string[] = []) => {
      const root = makeImage(folder);
      const at = join(root, path);
      Deno.mkdirSync(join(at, ".."), { recursive: true });
      if (path === "etc/shadow") Deno.removeSync(at);
      Deno.symlinkSync(outside, at);
      const { code, stdout, stderr } = await install(kit, [...args, "--root", root]);
      assertEquals(code, isRefused ? 73 : 0, `${path}: ${stderr}`);
      assertEquals(stdout.includes("the machine's"), false, stdout);
      assertEquals(Deno.readTextFileSync(outside), "the machine's\n", path);
      assertEquals((Deno.statSync(outside).mode ?? 0) & 0o777, 0o640, path);
      const files = Object.values(tree(root));
      assertEquals(files.filter((text) => text.includes("the machine's")), [], path);
      Deno.removeSync(root, { recursive: true });
    };
    for (const file of ["passwd", "group", "shadow"]) await plant(`etc/${file}.mqtt443`, false);
    await plant("etc/shadow", true);
    await plant("etc/shadow", true, ["--uninstall", "--purge"]);
    await plant("usr/local/share/doc/mqtt443/VERSION", false);
    await plant(UNIT, false);
    await plant(BIN, false);
    await plant(`${CONFIG}/certs/a-private.pem.key`, false);
  }));

Deno.test({
  name: "install.sh changes no owner and mode through a hard link (G12; needs root)",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      await install(kit, ["--root", root]);
      const outside = join(folder, "outside");
      Deno.writeTextFileSync(outside, "the machine's", { mode: 0o644 });
      Deno.linkSync(outside, join(root, CONFIG, "certs/a-private.pem.key"));
      await install(kit, ["--root", root]);
      const { mode, uid } = Deno.statSync(outside);
      assertEquals([(mode ?? 0) & 0o777, uid], [0o644, Deno.uid()]);
    }),
});

Deno.test("install.sh --purge through a link says what it leaves (G12)", () =>
  inFolder(async (folder) => {
    const kit = await makeKit(folder);
    const root = makeImage(folder);
    Deno.mkdirSync(join(root, "data"));
    Deno.mkdirSync(join(root, "var/lib"), { recursive: true });
    Deno.symlinkSync("../../data", join(root, "var/lib/mqtt443"));
    await install(kit, ["--root", root]);
    Deno.writeTextFileSync(join(root, "data/queue.db"), "what waits");
    const { code, stdout } = await install(kit, ["--uninstall", "--purge", "--root", root]);
    assertEquals(code, 0);
    assertStringIncludes(
      stdout,
      `removed the link ${root}/var/lib/mqtt443; left queue ${root}/data, where it led\n`,
    );
    assertEquals(Deno.readTextFileSync(join(root, "data/queue.db")), "what waits");
  }));

Deno.test({
  name: "install.sh changes no owner and mode in a folder of the service's (needs root)",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      await install(kit, ["--root", root]);
      const runtime = join(root, "var/lib/mqtt443/runtime");
      Deno.mkdirSync(runtime);
      // A folder of its own, with another mode; and a link to what is root's.
      Deno.chownSync(runtime, 997, 997);
      const key = join(root, CONFIG, "certs/gw-private.pem.key");
      Deno.writeTextFileSync(key, "a key", { mode: 0o644 });
      Deno.symlinkSync("/etc/passwd", join(root, CONFIG, "certs/private.pem.key"));
      for (const path of [CONFIG, `${CONFIG}/certs`]) Deno.chownSync(join(root, path), 997, 997);
      const words = 'echo "$@" >>"$TOLD"; exec /bin/';
      makeStub(folder, "chown", `${words}chown "$@"`);
      const PATH = makeStub(folder, "chmod", `${words}chmod "$@"`);
      const TOLD = join(folder, "told");
      const { stdout } = await install(kit, ["--root", root], { env: { PATH, TOLD } });
      assertStringIncludes(stdout, `made root the owner of ${root}/${CONFIG}\n`);
      // Without those of the files that it copies.
      const told = Deno.readTextFileSync(TOLD).trim().split("\n")
        .filter((line) => line.includes("997") || !line.includes("-- "));
      assertEquals(told, [
        `-h 0 ${root}/${CONFIG}`,
        `0:997 ${root}/${CONFIG}/certs`,
        `750 ${root}/${CONFIG}/certs`,
        `997:997 ${key}`,
        `600 ${key}`,
      ]);
    }),
});

for (const place of ["usr/local", "var/lib", CONFIG, "etc/systemd"]) {
  Deno.test(`install.sh refuses an image of which ${place} leads out of it, to remove too`, () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      const root = makeImage(folder);
      const outside = join(folder, "outside");
      for (const path of ["bin/mqtt443", "mqtt443/queue.db", "certs/gw-private.pem.key"]) {
        Deno.mkdirSync(join(outside, path, ".."), { recursive: true });
        Deno.writeTextFileSync(join(outside, path), "the machine's");
      }
      Deno.mkdirSync(join(root, place, ".."), { recursive: true });
      Deno.symlinkSync(outside, join(root, place));
      const before = [tree(root), tree(outside)];
      for (const args of [[], ["--uninstall", "--purge"]]) {
        const outcome = await install(kit, [...args, "--root", root]);
        assertTold(outcome);
        assertEquals(outcome.code, 73);
        assertStringIncludes(outcome.stderr, `it leads to ${outside}`);
        assertEquals([tree(root), tree(outside)], before);
      }
    }));
}

for (
  const [what, harm, words] of [
    ["changed", (kit: string) => Deno.writeTextFileSync(join(kit, "mqtt443"), "?"), "mqtt443"],
    ["missing", (kit: string) => Deno.removeSync(join(kit, "README.txt")), "README.txt"],
    ["without sums", (kit: string) => Deno.removeSync(join(kit, "SHA256SUMS")), "SHA256SUMS"],
  ] as const
) {
  for (const shell of SHELLS) {
    Deno.test(`install.sh refuses a kit in which something is ${what} (${shell.join(" ")})`, () =>
      inFolder(async (folder) => {
        const kit = await makeKit(folder);
        const root = makeImage(folder);
        const before = tree(root);
        harm(kit);
        const outcome = await install(kit, ["--root", root], { shell });
        assertTold(outcome);
        assertEquals(outcome.code, 65);
        assertStringIncludes(outcome.stderr.split("\n")[0]!, words);
        assertEquals(tree(root), before);
      }));
  }
}

for (
  const [args, words] of [
    [["--frobnicate"], '"--frobnicate"'],
    [["here"], '"here"'],
    [["--root"], "--root"],
    [["--root", ""], "--root"],
    [["--root", "/nowhere/at all"], '"/nowhere/at all"'],
    [["--purge"], "--purge"],
  ] as const
) {
  Deno.test(`install.sh ${args.join(" ")} is a wrong command line`, () =>
    inFolder(async (folder) => {
      const outcome = await install(await makeKit(folder), args);
      assertTold(outcome);
      assertEquals(outcome.code, 64);
      assertStringIncludes(outcome.stderr, words);
    }));
}

Deno.test("install.sh refuses a machine of another architecture, but not an image for it", () =>
  inFolder(async (folder) => {
    const kit = await makeKit(folder, { arch: Deno.build.arch === "x86_64" ? "arm64" : "x86_64" });
    const outcome = await install(kit, ["--dry-run"]);
    assertTold(outcome);
    assertEquals(outcome.code, 65);
    assertStringIncludes(outcome.stderr, "this machine is ");
    assertEquals((await install(kit, ["--root", makeImage(folder)])).code, 0);
  }));

/** A folder with a `name` that does what the script says before, or instead of, what it stands for. */
function makeStub(folder: string, name: string, script: string): string {
  const path = join(folder, "stubs");
  Deno.mkdirSync(path, { recursive: true });
  Deno.writeTextFileSync(join(path, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return `${path}:${Deno.env.get("PATH")}`;
}

for (const name of ["install", "mv", "chmod", "mkdir"]) {
  Deno.test(`install.sh killed at any ${name} can be run again, and then everything is as if it had not been`, () =>
    inFolder(async (folder) => {
      const older = await makeKit(folder);
      const newer = await makeKit(folder, { version: "0.2.0", words: "newer" });
      const whole = join(folder, "whole");
      Deno.mkdirSync(whole);
      await install(newer, ["--root", whole]);
      // The stub counts its calls in a file; the last one kills the installer, and does nothing else: it outlives it.
      const PATH = makeStub(
        folder,
        name,
        `n=$(($(cat "$COUNT") + 1)); echo $n >"$COUNT"
[ $n -ne $LAST ] || { kill -KILL "$INSTALLER"; exit 1; }
exec /bin/${name} "$@"`,
      );
      let kills = 0;
      for (let last = 1; last < 60; last++) {
        const root = join(folder, `root-${last}`);
        Deno.mkdirSync(root);
        if (name !== "mkdir") await install(older, ["--root", root]);
        const COUNT = join(folder, "count");
        Deno.writeTextFileSync(COUNT, "0");
        await runCommand(
          [
            "sh",
            "-c",
            'INSTALLER=$$ exec sh "$@"',
            "sh",
            join(newer, "install.sh"),
            "--root",
            root,
          ],
          { env: { PATH, COUNT, LAST: `${last}` } },
        );
        if (Number(Deno.readTextFileSync(COUNT)) < last) break;
        kills++;
        // The executable is the old one or the new one, whole.
        const text = tree(root)[BIN];
        assert(text === undefined || /^755 #![^]*\necho (stand-in|newer)\n\n$/.test(text), text);
        assertEquals((await install(newer, ["--root", root])).code, 0);
        const { [`${UNIT}.old`]: _, ...files } = tree(root);
        assertEquals(files, tree(whole), `killed at ${name} ${last}`);
      }
      assert(kills > 1, `killed ${kills} times`);
    }));
}

Deno.test({
  name: "install.sh on a full disk says so and leaves what was there (needs root)",
  ignore: !canMount,
  fn: () =>
    inFolder(async (folder) => {
      const older = await makeKit(folder);
      const newer = await makeKit(folder, { version: "0.2.0", bytes: 600_000 });
      const root = join(folder, "root");
      using _ = mountMemory(root, "300k");
      assertEquals((await install(older, ["--root", root])).code, 0);
      const before = tree(root);
      const outcome = await install(newer, ["--root", root]);
      assertEquals(outcome.code, 73);
      assertStringIncludes(outcome.stderr, "No space left on device; nothing was installed");
      assertStringIncludes(outcome.stderr, "hint: make room there");
      assertEquals(tree(root), before);
    }),
});

Deno.test({
  name: "install.sh without the rights says so and leaves nothing (needs root and setpriv)",
  ignore: !isRoot || !hasProgram("setpriv"),
  fn: () =>
    inFolder(async (folder) => {
      const kit = await makeKit(folder);
      Deno.chmodSync(folder, 0o755);
      const root = makeImage(folder);
      const before = tree(root);
      const shell = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh"];
      const denied = await install(kit, ["--root", root], { shell });
      assertTold(denied);
      assertEquals(denied.code, 73);
      assertStringIncludes(denied.stderr, "Permission denied; nothing was installed");
      assertEquals(tree(root), before);
      const notRoot = await install(kit, [], { shell });
      assertTold(notRoot);
      assertEquals(notRoot.code, 77);
      assertStringIncludes(notRoot.stderr, "sudo sh install.sh");
    }),
});

/** A world of files of its own for a real install, with a systemd that only writes down what it is told. */
const WORLD = `
set -e
for place in /usr/local /var/lib /run; do mount -t tmpfs tmpfs $place; done
mkdir -p /run/systemd/system "$FOLDER/etc"
cp -a /etc/. "$FOLDER/etc"
mount --bind "$FOLDER/etc" /etc
export PATH="$FOLDER/stubs:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
cd "$FOLDER"
`;

Deno.test({
  name:
    "install.sh on the machine itself makes the user, and restarts a service that runs (needs root)",
  ignore: !canUnshare || !canMount || Deno.build.arch !== "x86_64",
  fn: () =>
    inFolder(async (folder) => {
      const older = await makeKit(folder);
      const newer = await makeKit(folder, { version: "0.2.0", words: "newer" });
      makeStub(
        folder,
        "systemctl",
        `echo "$@" >>"$FOLDER/told"; case $1 in
is-active) [ -e "$FOLDER/active" ] ;;
disable) [ ! -e "$FOLDER/stuck" ] || { echo "No reply from bus" >&2; exit 1; } ;;
esac`,
      );
      const { code, stdout, stderr } = await runCommand(
        [
          "unshare",
          "--mount",
          "sh",
          "-c",
          `${WORLD}
echo mqtt443:x:777: >>/etc/group
sh ${older}/install.sh >first
id -g mqtt443 >gid
grep -c ^mqtt443: /etc/group >groups
id -u mqtt443 >uid
stat -c '%U:%G %a' /etc/mqtt443/certs /var/lib/mqtt443 >owners
touch active
sh ${newer}/install.sh >second
mqtt443 >words
touch stuck
! sh /usr/local/share/doc/mqtt443/install.sh --uninstall 2>refusal
mqtt443 >>words
rm stuck
mkdir /etc/systemd/system/mqtt443.service.d
sh /usr/local/share/doc/mqtt443/install.sh --uninstall --purge >third
rmdir /etc/systemd/system/mqtt443.service.d
! id -u mqtt443 2>/dev/null
ls /usr/local/bin /var/lib /etc/systemd/system | grep mqtt443 || :`,
        ],
        { env: { FOLDER: folder } },
      );
      assertEquals([code, stdout, stderr], [0, "", ""]);
      const text = (name: string) => Deno.readTextFileSync(join(folder, name));
      assertStringIncludes(text("first"), "systemctl enable --now mqtt443");
      assert(Number(text("uid")) > 0 && Number(text("uid")) < 1000, text("uid"));
      assertEquals(text("owners"), "root:mqtt443 750\nmqtt443:mqtt443 700\n");
      assertStringIncludes(text("second"), "restarted the service");
      assertEquals(text("words"), "newer\nnewer\n");
      assertEquals([text("gid"), text("groups")], ["777\n", "1\n"]);
      assertStringIncludes(text("refusal"), "No reply from bus; nothing was removed\nhint: ");
      assertStringIncludes(text("third"), "left /etc/systemd/system/mqtt443.service.d: changes");
      assertEquals(text("told").trim().split("\n"), [
        ...["daemon-reload", "is-active --quiet mqtt443.service"],
        ...["daemon-reload", "is-active --quiet mqtt443.service", "restart mqtt443.service"],
        ...Array(2).fill("disable --now mqtt443.service mqtt443.socket"),
        ...["stop mqtt443-wait.target", "daemon-reload"],
      ]);
    }),
});

Deno.test({
  name:
    "install.sh tells that an executable refuses the settings before it replaces one that does not " +
    "(F18; needs root)",
  ignore: !canUnshare || !canMount || Deno.build.arch !== "x86_64",
  fn: () =>
    inFolder(async (folder) => {
      const executable = `#!/bin/sh
[ -z "\${MQTT443_UNPACK-}" ] || { : >"$MQTT443_UNPACK/mqtt443"; echo mqtt443-0.2.0-site; exit; }
echo "fail    settings     Cannot connect to gw.example:443: this process was not
                     granted to reach it"
exit 78
`;
      const older = await makeKit(folder);
      const newer = await makeKit(folder, { version: "0.2.0", executable, settings: "{}" });
      const { code, stdout, stderr } = await runCommand([
        ...["unshare", "--mount", "sh", "-c"],
        `${WORLD}
sh ${older}/install.sh --no-service >/dev/null
echo '{"endpoint":"gw.example"}' >/etc/mqtt443/mqtt443.json
sh ${newer}/install.sh --no-service || echo $?
mqtt443
ls /usr/local/lib/mqtt443`,
      ], { env: { FOLDER: folder } });
      assertEquals([code, stdout.split("\n").slice(-4)], [0, [
        ...["78", "stand-in", "mqtt443-0.1.0-stand-in", ""],
      ]]);
      assertStringIncludes(
        stderr,
        "refuses /etc/mqtt443/mqtt443.json: Cannot connect to gw.example:443: this process was not granted\nhint:",
      );
    }),
});
