/** What is to be read on a device without internet: README.txt, the manual page, the sample settings. Pure. */

import type { Installer } from "./layout.ts";
import { helpText, sampleFile } from "../../lib/commands/help.ts";
import { COMMANDS } from "../../lib/commands/table.ts";
import { settingsSchema } from "../../lib/settings/mod.ts";

/** What the texts are about. */
export interface KitFacts {
  readonly version: string;
  readonly arch: string;
  /** What the executable may reach, as `host:port`. */
  readonly net: readonly string[];
  /** The kit brings the settings of one site. */
  readonly hasSettings: boolean;
  /** @default "install.sh" */
  readonly installer?: Installer;
}

/** README.txt: what someone at the device needs, without a browser. */
export function readmeText(
  { version, arch, net, hasSettings, installer = "install.sh" }: KitFacts,
): string {
  const words = installer === "dpkg" ? DPKG : INSTALL_SH;
  const settings = hasSettings
    ? `The settings of your site come along: they are put to /etc/mqtt443/mqtt443.json where there is
none yet.`
    : `Settings: copy the sample, and write your endpoint and client id into it (\`mqtt443 help settings\`
lists all settings):

    sudo cp /etc/mqtt443/mqtt443.json.sample /etc/mqtt443/mqtt443.json`;
  return `mqtt443 ${version} for Linux on ${arch} (glibc)

Publishes this gateway's telemetry to AWS IoT Core, or any MQTT broker behind TLS, with mutual TLS
and ALPN on port 443. This executable was built to reach ${net.join(", ")}.


INSTALL

${words.install}

${settings}

Certificates: put certificate, key and CA into a folder DIR, by the names that AWS gives them
(ID-certificate.pem.crt, ID-private.pem.key, AmazonRootCA1.pem). This takes them to
/etc/mqtt443/certs, and lets nobody but the service read the key:

    ${words.certs}

Look before you start it, on the bench without a network, on the site with it:

    sudo -u mqtt443 sh -c 'cd /var/lib/mqtt443 && mqtt443 doctor --offline'
    sudo -u mqtt443 sh -c 'cd /var/lib/mqtt443 && mqtt443 doctor'

Start it, now and at each boot:

    sudo systemctl enable --now mqtt443
    sudo journalctl -u mqtt443 -f

Without systemd: have your init run \`mqtt443 publish\` as user mqtt443, in /var/lib/mqtt443.


UPGRADE

${words.upgrade}


UNINSTALL

${words.uninstall}


WHERE THINGS ARE

    ${words.prefix}/bin/mqtt443${words.gap}                  the executable
    /etc/mqtt443/mqtt443.json                   settings; mqtt443.json.sample beside it
    /etc/mqtt443/certs                          certificate, key, CA
    ${words.prefix}/lib/mqtt443${words.gap}                  what the executable brings along, for all users
    /var/lib/mqtt443                            the queue
    ${words.unit} the service, and mqtt443-wait.target
    ${words.prefix}/share/doc/mqtt443${words.gap}            this text, licences, bill of materials (CycloneDX),
                                                mqtt443.schema.json: for editors of the settings


WHEN IT DOES NOT PUBLISH

Run \`mqtt443 doctor\` as above and read the check that failed: what it saw, the likely cause, what to
do. \`mqtt443 queue\` shows what waits. \`mqtt443 version\` prints what this executable may reach,
read and write; nobody can widen that on the device.

Exit codes: 0 done, 1 a bug, 64 wrong command line, 69 endpoint unreachable, 73 state directory
unusable, 75 kept on disk and not delivered yet, 77 refused (certificate, policy or credentials), 78
settings or certificate files wrong.
`;
}

const INSTALL_SH = {
  install: `    sha256sum -c SHA256SUMS
    sudo sh install.sh

install.sh checks the kit, makes the user mqtt443 and the folders, and installs the executable and,
where systemd runs, its service. \`sh install.sh --help\` has the rest: --dry-run shows what it would
do, --root DIR installs into an image. Without it, one file is enough: copy \`mqtt443\` anywhere.`,
  certs: "sudo sh install.sh --certs DIR",
  upgrade:
    `Unpack the new kit and run its install.sh. Settings, certificates and the queue stay as they are;
the service is restarted, and what waited in the queue is delivered. A unit that was changed by hand
is kept as mqtt443.service.old. If it is interrupted, run it again.`,
  uninstall: `    sudo sh install.sh --uninstall           # leaves settings, certificates and queue
    sudo sh install.sh --uninstall --purge   # removes them and the user too

(install.sh is also in /usr/local/share/doc/mqtt443.)`,
  prefix: "/usr/local",
  gap: "    ",
  unit: "/etc/systemd/system/mqtt443.service        ",
};

const DPKG: typeof INSTALL_SH = {
  install: `    sudo dpkg -i mqtt443_*.deb

makes the user mqtt443, the folders, and the service, which is not started yet.`,
  certs: "sudo sh /usr/share/mqtt443/certs.sh DIR",
  upgrade:
    `Install the new package in the same way. Settings, certificates and the queue stay as they are; a
service that runs is restarted, and what waited in the queue is delivered.`,
  uninstall: `    sudo dpkg --remove mqtt443   # leaves settings, certificates and queue
    sudo dpkg --purge mqtt443    # removes them and the user too`,
  prefix: "/usr",
  gap: "          ",
  unit: "/usr/lib/systemd/system/mqtt443.service    ",
};

/** The sample settings, as \`mqtt443 help settings\` prints them. */
export function sampleText(): string {
  return `${sampleFile()}\n`;
}

/** The JSON Schema of a settings file, as `mqtt443 settings --schema` prints it. */
export function schemaText(): string {
  return `${JSON.stringify(settingsSchema(), null, 2)}\n`;
}

/** The manual page: the help texts as they are. */
export function manText(version: string, date: string): string {
  const verbatim = (text: string) =>
    text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll(/^(?=[.'])/gm, "\\&");
  const part = (title: string, text: string) => `.SH ${title}\n.nf\n${verbatim(text)}\n.fi\n`;
  return [
    `.TH MQTT443 1 "${date}" "mqtt443 ${version}"\n`,
    ".SH NAME\nmqtt443 \\- publish telemetry over MQTT with mutual TLS on port 443\n",
    part("SYNOPSIS", "mqtt443 COMMAND [SETTINGS]"),
    part("DESCRIPTION", helpText("")),
    ...COMMANDS.filter((name) => name !== "help").map((name) =>
      part(name.toUpperCase(), helpText(name))
    ),
  ].join("");
}

/** KIT.txt: what to do with the kit of the source. */
export function kitText(version: string, arch: string): string {
  return `mqtt443 ${version}: its source, Deno for Linux on ${arch} (glibc), and every package it needs.
Nothing here needs a network, an installation or rights beyond a folder to write to.

    ./deno task demo                                 see it work
    ./deno task test                                 its tests
    ./deno task publish --endpoint HOST --certs DIR  publish, with just the permissions this needs
    ./deno task compile                              one file for devices, of x86_64 and of arm64
    ./deno task kit                                  the same with an installer, units and licences

README.md says the rest; where it writes \`npx -y deno@…\`, type \`./deno\`.
`;
}
