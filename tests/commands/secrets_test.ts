/** No command shows a key or a passphrase, whatever is wrong and whatever file is named where (S1). */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { app } from "../../lib/app.ts";
import { realWorld } from "../../lib/core/process.ts";
import { formatKey, makePki, writeCerts } from "../../tools/endpoint/mod.ts";
import { inFolder, makeEnv, run } from "../support/command_line.ts";

const PASSPHRASE = "MARKED-SECRET-PASSPHRASE";
const pki = await makePki();

/** Each takes the paths of the encrypted key, the plain key and the passphrase. */
const COMMANDS: Record<string, (key: string, plain: string, pass: string) => readonly string[]> = {
  "settings": (key, _, pass) => ["settings", "--key", key, "--key-passphrase-file", pass],
  "settings --json": (key, _, pass) => ["settings", "--json", "--key", key, "--ca", pass],
  "version": () => ["version"],
  "queue": () => ["queue"],
  "the right passphrase": (_, __, pass) => ["publish", "--key-passphrase-file", pass],
  "no passphrase": () => ["publish"],
  "a key as passphrase": (_, plain) => ["publish", "--key-passphrase-file", plain],
  "a passphrase as key": (_, __, pass) => ["publish", "--key", pass],
  "a passphrase as certificate": (_, plain, pass) => ["publish", "--key", plain, "--cert", pass],
  "a passphrase as CA": (_, plain, pass) => ["publish", "--key", plain, "--ca", pass],
  "a key as certificate": (_, plain) => ["publish", "--key", plain, "--cert", plain],
  "a key as CA": (_, plain) => ["publish", "--key", plain, "--ca", plain],
  "a passphrase as settings file": (_, __, pass) => ["settings", "--config", pass],
  "a key as settings file": (_, plain) => ["settings", "--config", plain],
  "a passphrase as state directory": (_, plain, pass) => [
    "publish",
    "--key",
    plain,
    "--state",
    pass,
  ],
};

for (const [name, args] of Object.entries(COMMANDS)) {
  Deno.test(`no output shows a secret: ${name} (S1)`, () =>
    inFolder(async (folder) => {
      const paths = await writeCerts(`${folder}/certs`, pki);
      const [plain, pass] = [`${folder}/plain`, `${folder}/pass`];
      await Deno.writeTextFile(plain, pki.device.key, { mode: 0o600 });
      await Deno.writeTextFile(pass, `${PASSPHRASE}\n`, { mode: 0o600 });
      await Deno.writeTextFile(paths.key, formatKey(pki.device.key, "encrypted", PASSPHRASE));
      const { stdout, stderr } = await run(args(paths.key, plain, pass), {
        env: {
          MQTT443_ENDPOINT: "127.0.0.1",
          MQTT443_PORT: String(unusedPort()),
          MQTT443_CERTS: `${folder}/certs`,
          ...(name.includes("state") ? {} : { MQTT443_STATE: `${folder}/state` }),
          MQTT443_LOG_LEVEL: "debug",
          ...(name.startsWith("settings") ? {} : { MQTT443_MESSAGE: "hello" }),
          MQTT443_GIVE_UP_AFTER: "1s",
        },
      });
      assertNoSecret(stdout + stderr);
    }));
}

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
