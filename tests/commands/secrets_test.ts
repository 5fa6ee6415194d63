/** No command shows a key or a passphrase, whatever is wrong and whatever file is named where (S1). */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { app } from "../../lib/app.ts";
import { realWorld } from "../../lib/core/process.ts";
import { makePki, writeCerts } from "../../tools/endpoint/mod.ts";
import { inFolder, makeEnv } from "../support/command_line.ts";

const PASSPHRASE = "MARKED-SECRET-PASSPHRASE";
const pki = await makePki();

Deno.test("no output shows a secret: a bug, with its stack (S1)", {
  // What a bug interrupts is not put away; the process would end here.
  sanitizeOps: false,
  sanitizeResources: false,
}, () =>
  inFolder(async (folder) => {
    await writeCerts(`${folder}/certs`, pki);
    const shown: string[] = [];
    const code = await app([
      ...["publish", "--endpoint=127.0.0.1", `--port=${unusedPort()}`, `--certs=${folder}/certs`],
      ...[`--state=${folder}/state`, `--message=${PASSPHRASE}`, "--log-level=debug"],
    ], {
      ...realWorld(),
      env: makeEnv(),
      err: (line) => void shown.push(line),
      monotonicMs() {
        if (shown.some((line) => line.includes(" queued "))) throw new Error("a bug");
        return performance.now();
      },
    });
    assertEquals(code, 1);
    assertStringIncludes(shown.at(-1)!, "internal error, please report it: Error: a bug\n    at ");
    assertNoSecret(shown.join("\n"));
  }));

function assertNoSecret(shown: string): void {
  const secrets = [PASSPHRASE, ...pki.device.key.split("\n").filter((line) => line.length > 8)];
  for (const secret of secrets.filter((line) => !line.startsWith("-----"))) {
    assertEquals(shown.includes(secret), false, shown);
  }
}

/** A port at which nothing listens. */
function unusedPort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}
