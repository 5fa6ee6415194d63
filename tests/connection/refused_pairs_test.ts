/** A pair that TLS will not take, in each command, and put in place under a running publisher. */

import { assertEquals, assertMatch } from "@std/assert";
import { inFolder, runProcess, withUntouchedPort } from "../support/command_line.ts";
import { startChild } from "../support/children.ts";
import { type Kind, KINDS, makeAuthorityFiles, makeKind } from "../support/key_kinds.ts";
import { flagsFor, makeRig } from "../support/publishing.ts";

const REFUSED = KINDS.filter(({ name }) =>
  ["X.509 version 1", "an unknown critical extension", "P-224", "RSA-PSS"].includes(name)
);

/** Puts a pair of that kind into a folder's `certs`. */
async function place(folder: string, kind: Kind): Promise<void> {
  await Deno.mkdir(`${folder}/certs`, { recursive: true, mode: 0o700 });
  await makeAuthorityFiles(folder);
  const paths = { cert: `${folder}/certs/cert.pem`, key: `${folder}/certs/key.pem` };
  await makeKind(folder, kind, paths);
}

for (const kind of REFUSED) {
  Deno.test(`publish, watch and doctor refuse a pair of ${kind.name} before any connection (F6)`, () =>
    inFolder((cwd) =>
      withUntouchedPort(async (port) => {
        await place(cwd, kind);
        await Deno.copyFile(`${cwd}/CA.pem`, `${cwd}/certs/ca.pem`);
        const rest = [
          ...["--endpoint", "localhost", "--client-id", "gw-7"],
          ...["--certs", `${cwd}/certs`, "--state", `${cwd}/state`],
        ];
        const flags = ["--port", String(port), ...rest];
        for (const [command, ...more] of [["publish", "--message", "x"], ["watch", "a"]]) {
          const { code, stderr } = await runProcess([command!, ...more, ...flags], { cwd });
          assertEquals(code, 78, stderr);
          assertMatch(stderr, kind.says!);
          assertMatch(stderr, /^hint: make a request with `openssl /m);
        }
        // Online it looks at the network besides, for which it needs no pair.
        for (const more of [["--port", "1"], ["--port", String(port), "--offline"]]) {
          const args = ["doctor", "--json", ...more, ...rest];
          const { code, stdout, stderr } = await runProcess(args, { cwd });
          assertEquals(code, 78, stderr);
          const files = JSON.parse(stdout).checks.find(({ name }: { name: string }) =>
            name === "files"
          );
          assertEquals(files.status, "fail");
          assertMatch(files.saw, kind.says!);
          assertMatch(files.hint, /openssl x509 -req/);
        }
      })
    ));

  Deno.test(`publisher goes on with its session when SIGHUP finds a pair of ${kind.name} (F6)`, async () => {
    await using rig = await makeRig();
    const flags = flagsFor(rig.folder, rig.endpoint.port);
    const child = startChild(["publish", "--source", "stdin", ...flags]);
    try {
      await child.until(() => child.events("connected").length === 1);
      await place(rig.folder, kind);
      Deno.kill(child.pid, "SIGHUP");
      await child.until(() => child.events("warning").some(({ step }) => step === "files"));
      assertMatch(String(child.events("warning").at(-1)!.cause), kind.says!);
      await child.write(["one"]);
      await rig.endpoint.waitFor(1);
      await child.end();
      assertEquals((await child.ended).code, 0);
      assertEquals(rig.endpoint.connects.length, 1);
    } finally {
      await child.kill();
    }
  });
}
