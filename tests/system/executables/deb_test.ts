/**
 * The Debian packages, with dpkg, on a Debian 12 and a Debian 13 under their own systemd: installed, upgraded, removed and
 * purged, by the lines that their README.txt has. There is no network but to the endpoint.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { compile } from "../../../tools/build/compile.ts";
import { startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { makeDeb } from "../../../tools/kit/deb.ts";
import { firsts, pki, range, seqsOf } from "../../support/publishing.ts";
import { canBootstrap, debianRoot, SUITES } from "./debian.ts";
import { writeFiles } from "./gateway.ts";
import { boot, type Machine } from "./machine.ts";

// The bundle's esbuild ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

const STATE = "/var/lib/mqtt443";

/** What is to be typed of a README.txt, in a part of it. */
function typed(readme: string, from: string, to: string): string[] {
  return readme.split(from)[1]!.split(to)[0]!.split("\n")
    .filter((line) => /^ {4}sudo /.test(line)).map((line) => line.trim().replace(/ +#.*/, ""))
    // There is no sudo, and root is at work.
    .map((line) => line.replace("sudo -u mqtt443", "runuser -u mqtt443 --").replace("sudo ", ""));
}

/** Everything on the machine but what dpkg, the journal and the linker write down for themselves. */
async function filesOf(machine: Machine): Promise<string[]> {
  const text = await machine.run(
    ...["sh", "-c", "find / -xdev -not -path '/opt/*' -not -path '/root/*' | sort"],
  );
  return text.trim().split("\n").filter((path) =>
    !/^\/var\/(lib\/dpkg|log|cache)\b|^\/etc\/(passwd|group|g?shadow|sub[ug]id)-$|^\/run\b|\.lock$/
      .test(path)
  );
}

/** Makes the packages: for any endpoint, and two versions for one site. */
async function makeDebs(folder: string, port: number) {
  const settings = JSON.stringify({
    ...{ endpoint: "localhost", port, clientId: "gw-7", interval: "100ms", backoffMax: "1s" },
    ...{ certs: "/etc/mqtt443/certs", state: `${STATE}/state`, connectTimeout: "10s" },
  });
  const site = `${folder}/site.json`;
  await Deno.writeTextFile(site, settings);
  const make = async (version: string, epoch: string, own?: string) => {
    const [built] = await compile({
      ...{ targets: [Deno.build.target], runtime: "npm", out: `${folder}/${version}-${own}` },
      ...(own !== undefined && { settings: own }),
      env: { get: (name) => name === "SOURCE_DATE_EPOCH" ? epoch : Deno.env.get(name) },
    });
    const out = `${folder}/${version}`;
    await Deno.mkdir(out, { recursive: true });
    const text = own === undefined ? undefined : settings;
    return await makeDeb(built!, { version, packages: [], settings: text, out });
  };
  return {
    general: await make("0.1.0", "1700000000"),
    first: await make("0.1.0", "1700000000", site),
    second: await make("0.2.0", "1700086400", site),
  };
}

Deno.test({
  name: `packages install, publish, upgrade in an outage and leave nothing on Debian 12 and 13${
    canBootstrap ? "" : " (needs root, systemd and debootstrap)"
  }`,
  ignore: !canBootstrap,
  async fn(t) {
    await using cleanup = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
    cleanup.defer(() => Deno.remove(folder, { recursive: true }));
    const endpoint = cleanup.use(await startEndpoint({ certificates: pki }));
    const debs = await makeDebs(folder, endpoint.port);

    for (const suite of SUITES) {
      await t.step(suite, async (t) => {
        const base = await debianRoot(suite, folder);
        const files = `${folder}/files-${suite}`;
        await Deno.mkdir(`${folder}/${suite}-machine`);
        await writeFiles(files, {
          "/etc/hosts": "127.0.0.1 localhost\n",
        });
        await writeCerts(`${files}/opt/DIR`, pki);
        for (const [name, { path }] of Object.entries(debs)) {
          await Deno.copyFile(path, `${files}/opt/${name}.deb`);
        }
        await using machine = await boot({ folder: `${folder}/${suite}-machine`, files, base });
        const sh = (script: string) => machine.run("sh", "-euc", script);
        const step = async (name: string, fn: () => Promise<void>) => {
          if (!await t.step(name, fn)) throw new Error(`no further: ${name}`);
        };
        const before = await filesOf(machine);

        await step("the general one is whole, runs, and is removed and purged", async () => {
          const told = await sh("dpkg -i /opt/general.deb");
          assertStringIncludes(told, "mqtt443 is installed and not started; next:");
          assertEquals(await sh("dpkg --verify mqtt443"), "");
          assertMatch(await sh("mqtt443 version"), /^mqtt443 +0\.1\.0 /);
          // Root's first start has noted something in the runtime.
          assertEquals(await sh("ls -d /root/.cache 2>/dev/null || :"), "");
          assertEquals(await sh("systemctl is-enabled mqtt443 || :"), "disabled\n");
          assertEquals(
            await sh(`stat -c '%U:%G %a' /etc/mqtt443/certs ${STATE}`),
            "root:mqtt443 750\nmqtt443:mqtt443 700\n",
          );
          await sh("dpkg --remove mqtt443");
          assertEquals(await sh("ls -d /usr/lib/mqtt443 /usr/bin/mqtt443 2>/dev/null || :"), "");
          await sh("dpkg --purge mqtt443");
          assertEquals(await filesOf(machine), before);
          assertEquals(await sh("getent passwd mqtt443 || getent group mqtt443 || :"), "");
        });

        await step(
          "one beside what install.sh installed is refused, and says what to do",
          async () => {
            await sh(
              "mkdir -p /usr/local/share/doc/mqtt443; : >/usr/local/share/doc/mqtt443/install.sh",
            );
            const told = await sh("dpkg -i /opt/general.deb 2>&1 || :");
            assertStringIncludes(
              told,
              "hint: remove that first; settings, certificates and queue stay",
            );
            await sh("rm -r /usr/local/share/doc; dpkg --purge mqtt443 2>/dev/null || :");
          },
        );

        endpoint.received.length = 0;
        await step(
          "one for a site is installed and started by the lines of its README",
          async () => {
            await sh("dpkg -i /opt/first.deb");
            const readme = await sh("cat /usr/share/doc/mqtt443/README.txt");
            const lines = typed(readme, "INSTALL", "UPGRADE").filter((line) =>
              !/dpkg|journalctl/.test(line)
            );
            assertEquals(lines.length, 4);
            for (const line of lines) await sh(`cd /opt && ${line}`);
            await endpoint.waitFor(3);
            assertEquals(
              await sh("stat -c '%U %a' /etc/mqtt443/certs/*.key"),
              "mqtt443 600\n",
            );
            // Whoever is at the gateway sees how it fares.
            const text = await sh("runuser -u nobody -- mqtt443 status --json");
            assertEquals(JSON.parse(text).link.state, "connected");
            assertMatch(
              await sh("readlink /proc/$(systemctl show -P MainPID mqtt443)/exe"),
              /^\/usr\/lib\/mqtt443\/mqtt443-[\w.-]+\/mqtt443\n$/,
            );
          },
        );

        await step("an upgrade in an outage loses nothing, and keeps settings", async () => {
          await sh('sed -i \'s/"100ms"/"200ms"/\' /etc/mqtt443/mqtt443.json');
          endpoint.pause();
          endpoint.cut();
          await sh("dpkg -i /opt/second.deb");
          assertStringIncludes(await sh("cat /etc/mqtt443/mqtt443.json"), '"200ms"');
          assertMatch(await sh("mqtt443 version"), /2023-11-15/);
          assertEquals((await sh("ls /usr/lib/mqtt443")).trim().split("\n").length, 1);
          const { length } = endpoint.connects;
          await endpoint.resume();
          await endpoint.until(() => endpoint.connects.length > length);
          await endpoint.waitFor(endpoint.received.length + 5);
          const seqs = firsts(seqsOf(endpoint.received).filter((seq) => seq !== undefined));
          assertEquals(seqs, range(1, seqs.length));
        });

        await step("a runtime that is damaged is told, with what mends it", async () => {
          await sh("mv /usr/lib/mqtt443 /opt/moved");
          const told = await sh("mqtt443 version 2>&1 || echo $?");
          assertMatch(told, /is missing or damaged\nhint: install the package again: .*\n73\n$/);
          await sh("mv /opt/moved /usr/lib/mqtt443; mqtt443 version >/dev/null");
        });

        await step("removing stops it and keeps the queue, purging leaves nothing", async () => {
          const told = await sh("dpkg --remove mqtt443-site 2>&1");
          assert(!told.includes("not empty"), told);
          assertEquals(await sh("grep -lx mqtt443 /proc/[0-9]*/comm 2>/dev/null || :"), "");
          assertStringIncludes(await sh(`ls ${STATE}/state`), "queue.db");
          await sh("dpkg --purge mqtt443-site");
          assertEquals(await sh("ls -d /run/mqtt443* 2>/dev/null || :"), "");
          assertEquals(await filesOf(machine), before);
          assertEquals(await sh("getent passwd mqtt443 || getent group mqtt443 || :"), "");
          assertEquals(await sh("systemctl list-units --all --no-legend 'mqtt443*'"), "");
        });
      });
    }
  },
});
