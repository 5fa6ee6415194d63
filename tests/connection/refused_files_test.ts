/** Files that are whole, but in a form or under an encryption that is not taken: in each command, and on SIGHUP. */

import { assertEquals, assertMatch } from "@std/assert";
import { startChild } from "../support/children.ts";
import { runProcess } from "../support/command_line.ts";
import { sh } from "../support/key_kinds.ts";
import { flagsFor, makeRig } from "../support/publishing.ts";

/** What is done to the device's files, and what is said of them. */
const CASES = [
  {
    what: "a key encrypted with 3DES, and its right passphrase",
    id: "D3",
    change: "openssl pkcs8 -topk8 -v2 des3 -passout file:pass -in key.pem -out x; mv x key.pem",
    code: "key-encryption",
    says: /it is encrypted with 3DES \(PBES2\), which cannot be decrypted here/,
  },
  {
    what: "a certificate with literal \\n",
    id: "D12",
    change: String.raw`sed ':a;N;$!ba;s/\n/\\n/g' cert.pem >x; mv x cert.pem`,
    code: "wrong-file",
    says: /its line ends are written as \\n, as in JSON/,
  },
] as const;

async function change(folder: string, { change }: typeof CASES[number]): Promise<void> {
  await Deno.writeTextFile(`${folder}/pass`, "right\n", { mode: 0o600 });
  await sh(folder, `${change}; chmod 600 key.pem`);
}

for (const one of CASES) {
  const { what, id, code, says } = one;
  Deno.test(`publish, watch and doctor refuse ${what}, by name and before any connection (${id})`, async () => {
    await using rig = await makeRig();
    const certs = `${rig.folder}/certs`;
    await change(certs, one);
    const flags = [...rig.flags, "--key-passphrase-file", `${certs}/pass`];
    for (const mqttVersion of ["5", "3.1.1"]) {
      const all = [...flags, "--mqtt-version", mqttVersion];
      for (const command of [["publish", "--message", "x"], ["watch", "a"]]) {
        const { code, stderr } = await runProcess([...command, ...all], { cwd: rig.folder });
        assertEquals(code, 78, stderr);
        assertMatch(stderr, says);
        assertMatch(stderr, /^hint: .*`.*\.new\)?`, and put that in place of the old file/m);
      }
      const report = await runProcess(["doctor", "--json", ...all], { cwd: rig.folder });
      assertEquals(report.code, 78, report.stderr);
      const files = JSON.parse(report.stdout).checks
        .find(({ name }: { name: string }) => name === "files");
      assertEquals([files.status, files.code], ["fail", code]);
      assertMatch(files.saw, says);
    }
    assertEquals(rig.endpoint.connects.length, 0);
  });

  Deno.test(`publisher goes on with its session when SIGHUP finds ${what} (${id})`, async () => {
    await using rig = await makeRig();
    await Deno.writeTextFile(`${rig.folder}/certs/pass`, "right\n", { mode: 0o600 });
    const child = startChild([
      ...["publish", "--source", "stdin", ...flagsFor(rig.folder, rig.endpoint.port)],
      ...["--key-passphrase-file", `${rig.folder}/certs/pass`],
    ]);
    try {
      await child.until(() => child.events("connected").length === 1);
      await change(`${rig.folder}/certs`, one);
      Deno.kill(child.pid, "SIGHUP");
      await child.until(() => child.events("warning").some(({ step }) => step === "files"));
      const said = child.events("warning").at(-1)!;
      assertEquals(said.code, code);
      assertMatch(String(said.cause), says);
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
