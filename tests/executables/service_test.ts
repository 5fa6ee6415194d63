/**
 * The way of a gateway, from install.sh to the end, under a real systemd: as README.txt of the kit says it.
 *
 * The executable is the bundle, started by a script that carries the grants of one for any endpoint.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { firsts, pki, range, writeIdentity } from "../publishing.ts";
import { atMachine, makeGateway, program, settingsText, troublesOf } from "./gateway.ts";
import { makeKit } from "./kitting.ts";

// The bundle's esbuild ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

/** Where the kits lie on the gateway. */
const KITS = "/srv";

const ARCH = Deno.build.arch === "x86_64" ? "x86_64" : "arm64";

/** Lays out a kit of each version, and the certificates as they were handed over. */
async function layOutKits(files: string, port: number, versions: readonly string[]): Promise<void> {
  const folder = `${files}${KITS}`;
  await Deno.mkdir(folder);
  for (const version of versions) {
    const executable = `${program(port)}# ${version}\n`;
    await makeKit(folder, { version, arch: ARCH, executable, settings: settingsText(port) });
  }
  await writeIdentity(`${folder}/certs`, pki);
}

atMachine(
  "service is installed, publishes, is upgraded in an outage without a loss, and removed",
  async () => {
    const layOut = (files: string, port: number) => layOutKits(files, port, ["0.1.0", "0.2.0"]);
    await using gateway = await makeGateway({ layOut });
    const { endpoint, machine, systemctl, show } = gateway;
    const install = (version: string, ...args: readonly string[]) =>
      machine.run("sh", `${KITS}/mqtt443-${version}-linux-${ARCH}/install.sh`, ...args);
    const certs = "/etc/mqtt443/certs";

    const told = await install("0.1.0");
    assertStringIncludes(told, "installed mqtt443 0.1.0");
    assertStringIncludes(told, "systemctl enable --now mqtt443");
    await machine.run("sh", "-c", `cp ${KITS}/certs/* ${certs} && chown mqtt443 ${certs}/key.pem`);
    const doctor = await machine.run(
      ...["runuser", "--user", "mqtt443", "--", "sh", "-c"],
      "cd /var/lib/mqtt443 && /usr/local/bin/mqtt443 doctor --offline",
    );
    assertMatch(doctor, /\n\d+ ok, 0 warn, 0 fail/);
    await systemctl("enable", "--now", "mqtt443");
    await endpoint.waitFor(3);
    assertEquals(await show("User", "ActiveState"), { User: "mqtt443", ActiveState: "active" });

    endpoint.pause();
    endpoint.cut();
    await gateway.said('"retrying"');
    assertStringIncludes(await install("0.2.0"), "restarted the service");
    assert((await machine.run("cat", "/usr/local/bin/mqtt443")).endsWith("# 0.2.0\n"));
    await gateway.said('"event":"start"', 2);
    await endpoint.resume();
    await endpoint.waitFor(endpoint.received.length + 10);
    await install("0.2.0", "--uninstall");
    assertEquals(await show("LoadState"), { LoadState: "not-found" });
    const seqs = firsts(gateway.seqs());
    assertEquals(seqs, range(1, seqs.length));
    assertEquals(
      troublesOf(gateway.log()).filter((line) => !/"(disconnected|retrying)"/.test(line)),
      [],
    );
    assertStringIncludes(await machine.run("ls", "/etc/mqtt443/certs"), "key.pem");
  },
);
