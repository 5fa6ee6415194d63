/**
 * A site without internet: a network namespace with nothing but its loopback, an ordinary user, an empty home. Both kits
 * are made outside of it; everything else happens inside, in airgap_process.ts, which the Deno of the source kit runs.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { VERSION } from "../../../lib/core/build.ts";
import { inFolder } from "../../support/command_line.ts";
import { canUnshare } from "../../support/mounting.ts";
import { hasProgram } from "../../support/queueing.ts";
import { PORT, type Seen } from "./airgap_process.ts";
import { kit, runCommand } from "./kitting.ts";

const isReady = canUnshare && hasProgram("setpriv") && hasProgram("ip") &&
  Deno.build.arch === "x86_64";
const NAME = (kind: string) => `mqtt443-${VERSION}-${kind}linux-x86_64`;
/** `nobody`, and no group that means anything. */
const NOBODY = 65534;

/** Runs a script of sh in that world, as nobody, in a folder. */
async function inAirGap(folder: string, script: string): Promise<string> {
  const user = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  const clean = ["env", "-i", "PATH=/usr/bin:/bin", "NO_COLOR=1", `HOME=${folder}/home`];
  const outside = 'ip link set lo up && cd "$0" && exec "$@"';
  const { code, stdout, stderr } = await runCommand([
    ...["unshare", "--net", "sh", "-c", outside, folder, ...user, ...clean],
    ...["sh", "-euc", script],
  ]);
  assertEquals(code, 0, stderr);
  return stdout;
}

/** A folder of nobody's, with an empty home and the kit of the source, unpacked. */
async function withSource<T>(action: (folder: string, source: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-airgap-" });
  try {
    const { code, stderr } = await kit(["--source", "--arch", "x86_64", "--out", folder]);
    assertEquals([code, stderr], [0, ""]);
    Deno.chmodSync(folder, 0o755);
    Deno.mkdirSync(join(folder, "home"));
    for (const path of [folder, join(folder, "home")]) Deno.chownSync(path, NOBODY, NOBODY);
    await inAirGap(folder, `tar xzf ${NAME("source-")}.tar.gz`);
    return await action(folder, join(folder, NAME("source-")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name:
    "air gap: a kit is installed, checked, publishes, and is upgraded in an outage without a loss " +
    "(needs root, unshare, setpriv and ip)",
  ignore: !isReady,
  fn: () =>
    withSource(async (folder, source) => {
      const root = join(folder, "root");
      const settings = {
        endpoint: "localhost",
        port: PORT,
        clientId: "gw-7",
        certs: `${root}/etc/mqtt443/certs`,
        state: `${root}/var/lib/mqtt443`,
        source: "stdin",
      };
      // Where the kits are made, which is not the site: the settings must be of who makes them.
      await inFolder(async (own) => {
        const file = join(own, "site.json");
        Deno.writeTextFileSync(file, JSON.stringify(settings));
        for (const [name, epoch] of [["one", "1700000000"], ["two", "1700086400"]] as const) {
          const { code, stderr } = await kit([
            ...["--arch", "x86_64", "--runtime", "npm", "--settings", file],
            ...["--out", join(folder, name)],
          ], epoch);
          assertEquals([code, stderr], [0, ""]);
        }
      });
      const out = await inAirGap(
        folder,
        `test "$(ls -A home)" = ""
mkdir root first second
tar xzf one/${NAME("site-")}.tar.gz -C first
tar xzf two/${NAME("site-")}.tar.gz -C second
cd ${source}
./deno run -A --frozen --no-check tests/system/executables/airgap_process.ts device \\
  ${folder}/first/${NAME("site-")} ${folder}/second/${NAME("site-")} ${root}`,
      );
      const seen: Seen = JSON.parse(out);
      assertEquals([seen.arrived, seen.doctor], [100, 0]);
      assertEquals(seen.builds, ["2023-11-14T22:13:20.000Z", "2023-11-15T22:13:20.000Z"]);
    }),
});

Deno.test({
  name:
    "air gap: the tasks of the source kit publish, demonstrate, test and compile, and make the same kit again " +
    "(F19; needs root, unshare, setpriv and ip)",
  ignore: !isReady,
  fn: () =>
    withSource(async (folder, source) => {
      const out = await inAirGap(
        folder,
        `cd ${source}
./deno run -A --frozen --no-check tests/system/executables/airgap_process.ts source ${source}
./deno task kit --source --arch x86_64 --out ${folder}/again >&2
cmp ${folder}/again/${NAME("source-")}.tar.gz ${folder}/${NAME("source-")}.tar.gz`,
      );
      const seen: Seen = JSON.parse(out);
      assertEquals(seen.arrived, 100);
      assertEquals(seen.built, ["mqtt443-linux-arm64", "mqtt443-linux-x86_64", "mqtt443.js"]);
      assertStringIncludes(seen.demo, "\nlost       0\n");
      assertMatch(seen.tests, /^ok \| \d{2,} passed .*\| 0 failed/m);
    }),
});
