/**
 * The Dockerfile, without an engine: its steps as they are written, in a Debian as its image is, and then its command as its
 * user with a root directory that cannot be written to.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { compile } from "../../../tools/build/compile.ts";
import { startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { makeDeb } from "../../../tools/kit/deb.ts";
import { inFolder } from "../../support/command_line.ts";
import { canMount, canUnshare } from "../../support/mounting.ts";
import { pki, range, seqsOf } from "../../support/publishing.ts";
import { canBootstrap, debianRoot } from "./debian.ts";
import { runCommand } from "./kitting.ts";

// The bundle's esbuild ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

const FILE = new URL("../../../tools/kit/Dockerfile", import.meta.url);

/** The instructions of a Dockerfile, each with its words; comments are left out, lines that go on are one. */
function instructions(text: string): Map<string, string> {
  const lines = text.replaceAll(/^#.*\n/gm, "").replaceAll(/\\\n/g, " ").trim().split("\n");
  return new Map(lines.map((line) => {
    const [, name, words] = /^([A-Z]+) +(.*)$/.exec(line)!;
    return [name!, words!];
  }));
}

/** In namespaces of its own: an image over the base, its steps, and its command on a root that is read-only. */
const SCRIPT = `set -eu
mount -t tmpfs tmpfs "$AT"
mkdir "$AT/upper" "$AT/work" "$AT/root"
mount -t overlay -o "lowerdir=$BASE,upperdir=$AT/upper,workdir=$AT/work" overlay "$AT/root"
cd "$AT/root"
cp "$DEB" tmp/mqtt443.deb
mount -t proc proc proc
for name in null urandom; do : >"dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
chroot . /bin/sh -c "$RUN" >"$OUT/built" 2>&1
mkdir -p etc/mqtt443/certs
mount --bind "$CERTS" etc/mqtt443/certs
printf '127.0.0.1 localhost\\n' >etc/hosts
mount -t tmpfs -o "mode=700,uid=\${USER%:*},gid=\${USER#*:}" tmpfs ".$VOLUME"
mount -o remount,ro "$AT/root"
! (echo >written) 2>/dev/null
exec chroot --userspec="$USER" --groups= . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
  /bin/sh -c 'cd "$0" && exec "$@"' "$DIR" $COMMAND "$@"
`;

Deno.test({
  name:
    `container: the Dockerfile's steps work, and its command publishes as its user with a read-only root${
      canBootstrap ? "" : " (needs root and debootstrap)"
    }`,
  ignore: !canBootstrap || !canMount || !canUnshare,
  fn: () =>
    inFolder(async (folder) => {
      const steps = instructions(Deno.readTextFileSync(FILE));
      assertMatch(steps.get("FROM")!, /^debian:trixie-slim$/);
      assertMatch(steps.get("COPY")!, /^mqtt443_\*_\$\{ARCH\}\.deb \/tmp\/mqtt443\.deb$/);
      const [user] = steps.get("USER")!.split(":");
      assertMatch(user!, /^[1-9]\d+$/);
      await using endpoint = await startEndpoint({ certificates: pki });
      const settings = JSON.stringify({
        ...{ endpoint: "localhost", port: endpoint.port, clientId: "gw-7", count: "3" },
        ...{ certs: "/etc/mqtt443/certs", state: "/var/lib/mqtt443/state", interval: "100ms" },
      });
      await Deno.writeTextFile(`${folder}/site.json`, settings);
      const [built] = await compile({
        ...{ targets: [Deno.build.target], runtime: "npm", out: `${folder}/dist` },
        settings: `${folder}/site.json`,
      });
      const deb = await makeDeb(built!, { version: "0.1.0", packages: [], settings, out: folder });
      const certs = `${folder}/certs`;
      await writeCerts(certs, pki);
      await runCommand(["chown", "-R", user!, certs]);
      await Deno.mkdir(`${folder}/at`);
      const command = [...JSON.parse(steps.get("ENTRYPOINT")!), ...JSON.parse(steps.get("CMD")!)];
      const { code, stderr } = await runCommand(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"],
        {
          env: {
            ...{
              AT: `${folder}/at`,
              OUT: folder,
              BASE: await debianRoot("trixie", folder, "slim"),
            },
            ...{ DEB: deb.path, CERTS: certs, RUN: steps.get("RUN")!, USER: steps.get("USER")! },
            ...{ DIR: steps.get("WORKDIR")!, VOLUME: steps.get("VOLUME")! },
            COMMAND: command.join(" "),
          },
        },
      );
      assertEquals(code, 0, `${stderr}${Deno.readTextFileSync(`${folder}/built`)}`);
      assertEquals(seqsOf(endpoint.received), range(1, 3));
      assertStringIncludes(stderr, " stopped ");
    }),
});
