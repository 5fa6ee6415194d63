/** install.sh where systemd runs: with the executable, the unit and the steps of README.txt, as on a gateway. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { compile } from "../../tools/compile.ts";
import { startEndpoint, writeCerts } from "../../tools/endpoint.ts";
import { makeDeviceKit } from "../../tools/kit/device.ts";
import { inFolder } from "../command_line.ts";
import { firsts, pki, range } from "../publishing.ts";
import { runCommand } from "./kitting.ts";
import { boot, canBoot } from "./machine.ts";

/** Makes a kit for one endpoint, built at a time of its own, and unpacks it. */
async function unpackKit(to: string, version: string, settings: string, epoch: string) {
  Deno.mkdirSync(to, { recursive: true });
  const file = `${to}/site.json`;
  Deno.writeTextFileSync(file, settings);
  const [built] = await compile({
    targets: ["x86_64-unknown-linux-gnu"],
    runtime: "npm",
    settings: file,
    out: to,
    env: { get: (name) => name === "SOURCE_DATE_EPOCH" ? epoch : Deno.env.get(name) },
  });
  const kit = await makeDeviceKit(built!, { version, packages: [], settings, out: to });
  await runCommand(["tar", "xzf", kit.path, "-C", to, "--strip-components=1"]);
}

/** As `sudo -u mqtt443`, which not every machine has. */
const AS_SERVICE = "setpriv --reuid=mqtt443 --regid=mqtt443 --clear-groups";

Deno.test({
  name:
    "install.sh under systemd: the service starts, an upgrade in an outage restarts it without a loss, and " +
    "--uninstall ends it (needs root, systemd, cgroups and namespaces)",
  ignore: !canBoot || Deno.build.arch !== "x86_64",
  fn: () =>
    inFolder(async (folder) => {
      await using endpoint = await startEndpoint({ certificates: pki });
      const files = `${folder}/files`;
      const settings = JSON.stringify({
        endpoint: "localhost",
        port: endpoint.port,
        clientId: "gw-7",
        certs: "/etc/mqtt443/certs",
        state: "/var/lib/mqtt443",
        interval: "100ms",
        backoffMax: "1s",
      });
      await unpackKit(`${files}/opt/one`, "0.1.0", settings, "1700000000");
      await unpackKit(`${files}/opt/two`, "0.2.0", settings, "1700086400");
      await writeCerts(`${files}/opt/certs`, pki);
      await using machine = await boot({ folder, files });
      const sh = (script: string) => machine.run("sh", "-euc", script);

      assertStringIncludes(await sh("sh /opt/one/install.sh"), "systemctl enable --now mqtt443");
      await sh(`cp /opt/certs/*.pem* /etc/mqtt443/certs
chown mqtt443 /etc/mqtt443/certs/*-private.pem.key
chmod 600 /etc/mqtt443/certs/*-private.pem.key
cd /var/lib/mqtt443
${AS_SERVICE} mqtt443 doctor --offline
systemctl enable --now mqtt443`);
      await endpoint.waitFor(5);
      endpoint.pause();
      endpoint.cut();
      const upgrade = await sh("sh /opt/two/install.sh");
      assertStringIncludes(upgrade, "upgraded mqtt443 from 0.1.0");
      assertStringIncludes(upgrade, "restarted the service");
      await endpoint.resume();
      const { length } = endpoint.received;
      await endpoint.waitFor(length + 10);
      assertStringIncludes(
        await sh(`cd /var/lib/mqtt443 && ${AS_SERVICE} mqtt443 version`),
        "2023-11-15",
      );

      const removal = await sh("sh /usr/local/share/doc/mqtt443/install.sh --uninstall");
      assertStringIncludes(removal, "stopped and disabled the service");
      assertEquals(endpoint.closes.at(-1)?.by, "client");
      const seqs = firsts(
        endpoint.received.map(({ payload }) => Number(JSON.parse(String(payload)).seq)),
      );
      assertEquals(seqs, range(1, seqs.length));
      assertEquals(await sh("ls /etc/systemd/system | grep mqtt443 || :"), "");
      assertStringIncludes(await sh("ls /var/lib/mqtt443 /etc/mqtt443"), "queue.db");
    }),
});
