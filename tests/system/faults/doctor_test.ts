/** The real program, as a process, finds each fault of the table; and what only a process can show. */

import { assertEquals, assertMatch } from "@std/assert";
import type { Report } from "../../../lib/doctor/checks.ts";
import { inFolder, runProcess } from "../../support/command_line.ts";
import { FAULTS, pki } from "../../support/doctor_cases.ts";
import { assertNamed } from "../../support/doctor_site.ts";
import { writeCerts } from "../../../tools/endpoint/mod.ts";

for (const fault of FAULTS) {
  Deno.test(`mqtt443 doctor names ${fault.what}`, async () => {
    await inFolder((cwd) => assertNamed(fault, (args) => runProcess(args, { cwd })));
  });
}

Deno.test("mqtt443 doctor names a permission that lacks the endpoint", async () => {
  await inFolder(async (folder) => {
    await writeCerts(`${folder}/certs`, pki);
    const main = new URL("../../../main.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", "--frozen", "--allow-net=elsewhere.example:443"],
        ...["--allow-read", "--allow-write", "--allow-env", "--allow-sys", main],
        ...["doctor", "--json", "--endpoint", "localhost", "--client-id", "gw-7"],
        ...["--certs", `${folder}/certs`, "--state", `${folder}/state`],
      ],
      cwd: folder,
      stdout: "piped",
      stderr: "piped",
    });
    const { code, stdout } = await child.output();
    const report = JSON.parse(new TextDecoder().decode(stdout)) as Report;
    const failed = report.checks.find(({ status }) => status === "fail");
    assertEquals([failed?.name, code], ["settings", 78]);
    assertMatch(failed!.cause!, /was not granted to reach it/);
  });
});
