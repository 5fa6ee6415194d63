/** The life of a gateway, with what is shipped: the real executable, its kit and its unit, under a real systemd. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { makePki, writeCerts } from "../../../tools/endpoint/mod.ts";
import { firsts, pki, range } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";
import { canBoot } from "./machine.ts";
import { KITS, makeShipped, type Shipped } from "./shipped.ts";

// The bundle's esbuild ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

const STATE = "/var/lib/mqtt443";
const CERTS = "/etc/mqtt443/certs";

/** The lines of a text that are to be typed: they are indented, and begin with `sudo`. */
function typed(text: string): string[] {
  return text.split("\n").filter((line) => /^ +sudo /.test(line)).map((line) => line.trim());
}

/** Settles when more messages have arrived. */
async function arrive({ endpoint }: Shipped, more: number): Promise<void> {
  await endpoint.waitFor(endpoint.received.length + more);
}

/** Settles when the service has a session that began after `action`. */
async function afterReconnect(site: Shipped, action: () => Promise<unknown>): Promise<void> {
  const { endpoint } = site;
  const { length } = endpoint.connects;
  await action();
  await endpoint.until(() => endpoint.connects.length > length);
  await arrive(site, 3);
}

Deno.test({
  name:
    "shipped: a gateway is installed, publishes through trouble and an upgrade, and is removed, with every message " +
    "accounted for (F1, F2, F16; needs root, systemd and sudo)",
  ignore: !canBoot || !hasProgram("sudo") || !hasProgram("journalctl"),
  async fn(t) {
    // Each goes on from where the one before it ended.
    const step = async (name: string, fn: () => Promise<void>) => {
      if (!await t.step(name, fn)) throw new Error(`no further: ${name}`);
    };
    await using site = await makeShipped();
    const { endpoint, machine, sh, asTechnician, show, said } = site;
    await sh("systemctl start systemd-journald.service");
    // A disk that can be filled.
    await sh(`rm -rf ${STATE}; mkdir ${STATE}; mount -t tmpfs -o size=4m,mode=700 tmpfs ${STATE}`);
    const readme = await asTechnician(KITS.first, "cat README.txt");

    await step("every line of README.txt works for a technician with sudo (F16)", async () => {
      const [install, ...rest] = typed(readme.split("UPGRADE")[0]!);
      const told = await asTechnician(KITS.first, install!);
      assertStringIncludes(told, "installed mqtt443 0.1.0");
      for (const line of rest) {
        const command = line.replace("DIR", KITS.certs);
        if (command.includes("journalctl")) continue;
        await asTechnician(KITS.first, command);
        if (line.includes("--certs")) assertStringIncludes(await sh(`ls ${CERTS}`), "private");
      }
      await endpoint.waitFor(3);
      assertEquals(await show("User", "ActiveState", "NRestarts"), {
        User: "mqtt443",
        ActiveState: "active",
        NRestarts: "0",
      });
    });

    await step("one runtime serves all users, and is called by its name (F13)", async () => {
      const { MainPID } = await show("MainPID");
      assertStringIncludes(await sh("pgrep -x mqtt443"), `${MainPID}\n`);
      const exe = (await sh(`readlink /proc/${MainPID}/exe`)).trim();
      assertMatch(exe, /^\/usr\/local\/lib\/mqtt443\/mqtt443-[\w.-]+\/mqtt443$/);
      await asTechnician("/opt", "mqtt443 version >/dev/null");
      assertEquals(
        await sh(
          `ls -d /opt/.cache /root/.cache/mqtt443 ${STATE}/runtime 2>&1 | grep -v cannot || :`,
        ),
        "",
      );
    });

    await step("doctor passes every check in the service's place (F2)", async () => {
      await sh("systemctl stop mqtt443");
      const run = `sudo -u mqtt443 sh -c 'cd ${STATE} && mqtt443 doctor --json'`;
      const { ok, checks } = JSON.parse(await asTechnician("/opt", run));
      assertEquals(
        checks.filter(({ status, saw }: { status: string; saw: string }) =>
          /fail|skipped/.test(status) && saw !== "none is set"
        ),
        [],
      );
      assertEquals(ok, true);
      await afterReconnect(site, () => sh("systemctl start mqtt443"));
    });

    await step("only the files that the sources read are seen of /proc (F9)", async () => {
      const { MainPID } = await show("MainPID");
      const view = `/proc/${MainPID}/root/run/mqtt443/host`;
      assertEquals((await sh(`cd ${view}/proc && find . -type f | sort`)).trim().split("\n"), [
        ...["./loadavg", "./meminfo", "./net/dev", "./stat", "./uptime"],
      ]);
      assertStringIncludes(await sh(`cat ${view}/proc/net/dev`), "lo:");
      assertStringIncludes(endpoint.received.at(-1)!.payload, "network_");
    });

    await step(
      "a link that is cut, and one that is silent, are left for a new one (F1)",
      async () => {
        await afterReconnect(site, () => Promise.resolve(endpoint.cut()));
        endpoint.pause();
        endpoint.cut();
        // It takes TCP, and says nothing.
        const silent = Deno.listen({ hostname: "127.0.0.1", port: endpoint.port });
        for (let attempt = 0; attempt < 2; attempt++) {
          const connection = await silent.accept();
          const buffer = new Uint8Array(4096);
          while (await connection.read(buffer).catch(() => null) !== null);
          connection.close();
        }
        silent.close();
        await afterReconnect(site, () => endpoint.resume());
        assertEquals(await show("NRestarts"), { NRestarts: "0" });
      },
    );

    await step("kill -9 loses nothing", async () => {
      const { MainPID } = await show("MainPID");
      await afterReconnect(site, () => sh(`kill -KILL ${MainPID}`));
    });

    await step("SIGUSR1 ends it, and no port is opened (F4)", async () => {
      const { MainPID } = await show("MainPID");
      // It is ready for the debugger half a second after its start.
      await arrive(site, 10);
      await afterReconnect(site, async () => {
        const listening = await sh(`
for i in $(seq 200); do kill -USR1 ${MainPID} 2>/dev/null || break; ss -Hltnp; done
`);
        assertEquals(listening.split("\n").filter((line) => /"mqtt443"|:9229/.test(line)), []);
      });
    });

    await step("a renewed pair is used after a reload, a bad one is not", async () => {
      const stranger = await makePki({ device: "stranger" });
      const folder = `${machine.root}${KITS.certs}-new`;
      await writeCerts(folder, { ...pki, device: { ...pki.device, key: stranger.device.key } });
      const put = `cd ${KITS.certs}-new && for file in *.crt *private*; do
cat $file >${CERTS}/$file; done; systemctl reload mqtt443`;
      const { length } = endpoint.connects;
      await sh(put);
      await said("ERROR");
      await arrive(site, 5);
      assertEquals(endpoint.connects.length, length);
      await Deno.remove(folder, { recursive: true });
      await writeCerts(folder, pki);
      await sh(put);
      await said("the certificate files were read again");
      await arrive(site, 5);
      assertEquals(await show("ActiveState"), { ActiveState: "active" });
    });

    await step("a full disk stops nothing", async () => {
      await sh(`cat /dev/zero >${STATE}/fill 2>/dev/null || :`);
      await said("messages wait in memory until it is mended");
      await arrive(site, 5);
      await sh(`rm ${STATE}/fill`);
      await arrive(site, 5);
    });

    await step("an upgrade in an outage loses nothing", async () => {
      endpoint.pause();
      endpoint.cut();
      const upgrade = typed(readme.split("UPGRADE")[0]!)[0]!;
      const told = await asTechnician(KITS.second, upgrade);
      assertStringIncludes(told, "upgraded mqtt443 from 0.1.0");
      assertStringIncludes(told, "restarted the service");
      assertEquals((await sh("ls /usr/local/lib/mqtt443")).trim().split("\n").length, 1);
      await afterReconnect(site, () => endpoint.resume());
      assertStringIncludes(await asTechnician("/opt", "mqtt443 version"), "2023-11-15");
    });

    await step(
      "watch beside it prints what it publishes, and takes nothing over (F3)",
      async () => {
        const { length } = endpoint.connects;
        const watch = "timeout 20 mqtt443 watch dt/mqtt443/gw-7/telemetry 2>/dev/null | head -n 3";
        const printed = await asTechnician(
          "/opt",
          `sudo -u mqtt443 sh -c 'cd ${STATE} && ${watch}'`,
        );
        assertEquals(printed.trim().split("\n").length, 3);
        assertEquals(endpoint.connects.slice(length).map(({ clientId }) => clientId), [
          "gw-7-watch",
        ]);
      },
    );

    await step("the journal has the priority of each line (F11)", async () => {
      const warnings = await site.journal("-p", "warning");
      assertStringIncludes(warnings, "disconnected ");
      assertEquals(warnings.split("\n").filter((line) => /\b(stopped|queued) /.test(line)), []);
      const { length } = (await site.journal()).split("\n");
      assert(warnings.split("\n").length < length);
    });

    await step("it is stopped in good order, and --purge leaves nothing", async () => {
      await arrive(site, 10);
      await sh("systemctl stop mqtt443");
      assertEquals(await show("Result", "ExecMainStatus"), {
        Result: "success",
        ExecMainStatus: "0",
      });
      assertEquals(endpoint.closes.at(-1)?.by, "client");
      const seqs = firsts(site.seqs());
      assertEquals(seqs, range(1, seqs.length));
      await sh(`umount ${STATE}`);
      const lines = typed(readme.split("UNINSTALL")[1]!);
      await asTechnician(KITS.second, lines.find((line) => line.includes("--purge"))!);
      assertEquals(
        await sh("find /usr/local /etc /var/lib -name '*mqtt443*' -not -name mqtt443.service.d"),
        "",
      );
      assertEquals(await show("LoadState"), { LoadState: "not-found" });
    });
  },
});
