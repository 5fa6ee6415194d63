/**
 * What is shipped: kits with the real executable, which is packed with Deno, on a machine with a systemd and a journal of
 * its own, where a technician with sudo installs them by what README.txt and install.sh say.
 */

import { compile } from "../../../tools/build/compile.ts";
import { type Endpoint, startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { makeDeviceKit } from "../../../tools/kit/device.ts";
import { pki, seqsOf } from "../../support/publishing.ts";
import { usersWithout, writeFiles } from "./gateway.ts";
import { runCommand } from "./kitting.ts";
import { boot, type Machine, UNITS } from "./machine.ts";

/** The machine, and what is typed there. */
export interface Shipped extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly machine: Machine;
  /** Runs a script as root. */
  sh(script: string): Promise<string>;
  /** Runs a script as the technician, in a folder. */
  asTechnician(folder: string, script: string): Promise<string>;
  /** Properties of the service. */
  show(...names: readonly string[]): Promise<Record<string, string>>;
  /** The service's lines in the journal, of a priority if one is named. */
  journal(...options: readonly string[]): Promise<string>;
  /** Settles when so many lines of the journal have had that text in them. @default once */
  said(text: string, times?: number): Promise<void>;
  /** The `seq` of each message received, in order of arrival; doctor's has none. */
  seqs(): number[];
}

/** The kits of two versions, and the certificates as AWS hands them out. */
export const KITS = { first: "/opt/first", second: "/opt/second", certs: "/opt/DIR" } as const;

/** Users may read each other's folders nowhere: what is in them is theirs. */
const TECHNICIAN = 64_001;

const JOURNAL = {
  [`${UNITS}/systemd-journald.socket`]: `[Unit]
DefaultDependencies=no
[Socket]
ListenDatagram=/run/systemd/journal/socket
ListenStream=/run/systemd/journal/stdout
SocketMode=0666
PassCredentials=yes
`,
  [`${UNITS}/systemd-journald.service`]: `[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
[Service]
Type=notify
Sockets=systemd-journald.socket
ExecStart=/lib/systemd/systemd-journald
StandardOutput=null
`,
  "/etc/systemd/journald.conf": "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n",
  // The others are this machine's.
  "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
};

/** Makes the kits, and boots the machine. */
export async function makeShipped(): Promise<Shipped> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const endpoint = cleanup.use(await startEndpoint({ certificates: pki }));
  const files = `${folder}/files`;
  const settings = JSON.stringify({
    ...{ endpoint: "localhost", port: endpoint.port, clientId: "gw-7" },
    ...{ certs: "/etc/mqtt443/certs", state: "/var/lib/mqtt443/state" },
    ...{ interval: "100ms", backoffMax: "1s", connectTimeout: "1s" },
  });
  await writeFiles(files, {
    ...JOURNAL,
    ...usersWithout("mqtt443"),
    "/etc/sudoers.d/technician": "technician ALL=(ALL:ALL) NOPASSWD: ALL\n",
    // So that it is started again at once.
    [`${UNITS}/mqtt443.service.d/test.conf`]:
      "[Unit]\nAfter=systemd-journald.socket\nRequires=systemd-journald.socket\n" +
      "[Service]\nRestartSec=100ms\nRestartSteps=0\n",
  });
  await Deno.chmod(`${files}/etc/sudoers.d/technician`, 0o440);
  const lines = {
    passwd: `technician:x:${TECHNICIAN}:${TECHNICIAN}::/opt:/bin/sh\n`,
    group: `technician:x:${TECHNICIAN}:\n`,
    shadow: "technician:*:19000::::::\n",
  };
  for (const [name, line] of Object.entries(lines)) {
    await Deno.writeTextFile(`${files}/etc/${name}`, line, { append: true });
  }
  await makeKit(`${files}${KITS.first}`, "0.1.0", settings, "1700000000");
  await makeKit(`${files}${KITS.second}`, "0.2.0", settings, "1700086400");
  await writeCerts(`${files}${KITS.certs}`, pki);
  const own = ["chown", "-R", `${TECHNICIAN}:${TECHNICIAN}`, `${files}/opt`];
  await runCommand(own);
  await Deno.chmod(`${files}/opt`, 0o700);
  const machine = cleanup.use(await boot({ folder, files }));
  const sh = (script: string) => machine.run("sh", "-euc", script);
  const disposal = cleanup.move();
  return {
    endpoint,
    machine,
    sh,
    asTechnician: (folder, script) =>
      machine.run("runuser", "-u", "technician", "--", "sh", "-euc", `cd ${folder} && ${script}`),
    async show(...names) {
      const options = names.map((name) => `-p${name}`);
      const text = await machine.run("systemctl", "show", "mqtt443", ...options);
      return Object.fromEntries(
        text.trim().split("\n").map((line) => line.split(/=(.*)/s) as [string, string]),
      );
    },
    journal: (...options) =>
      machine.run("journalctl", "--no-pager", "-u", "mqtt443", "-o", "cat", ...options),
    async said(text, times = 1) {
      const follow = 'journalctl -u mqtt443 -o cat -n all -f | grep -F -m "$2" -- "$1"';
      await machine.run("sh", "-c", follow, "sh", text, String(times));
    },
    seqs: () => seqsOf(endpoint.received).filter((seq) => seq !== undefined),
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** Makes a kit for one endpoint, built at a time of its own, and unpacks it. */
async function makeKit(to: string, version: string, settings: string, epoch: string) {
  await Deno.mkdir(to, { recursive: true });
  const file = `${to}/site.json`;
  await Deno.writeTextFile(file, settings);
  const [built] = await compile({
    targets: [Deno.build.target],
    runtime: "npm",
    settings: file,
    out: `${to}/dist`,
    env: { get: (name) => name === "SOURCE_DATE_EPOCH" ? epoch : Deno.env.get(name) },
  });
  const kit = await makeDeviceKit(built!, { version, packages: [], settings, out: to });
  await runCommand(["tar", "xzf", kit.path, "-C", to, "--strip-components=1"]);
  await Deno.remove(`${to}/dist`, { recursive: true });
  await Deno.remove(kit.path);
}
