/** CA certificates that TLS trusts though they say themselves that they shall not be trusted. */

import { assertEquals, assertMatch } from "@std/assert";
import { makeAuthority } from "../../tools/endpoint/mod.ts";
import { run } from "../support/command_line.ts";
import { sh } from "../support/key_kinds.ts";
import { makeRig, pki, type Rig } from "../support/publishing.ts";

const DAY_MS = 86_400_000;

async function addAnchors(rig: Rig, pems: readonly string[]): Promise<void> {
  await Deno.writeTextFile(`${rig.folder}/certs/ca.pem`, [pki.ca, ...pems].join("\n"));
}

async function dates(rig: Rig): Promise<{ status: string; saw: string }> {
  const args = rig.flags.filter((_, at) => at < rig.flags.indexOf("--backoff-max"));
  const { stdout } = await run(["doctor", "--json", "--offline", ...args]);
  return JSON.parse(stdout).checks.find(({ name }: { name: string }) => name === "dates");
}

Deno.test("expired and non-CA anchors are warned of by doctor, and once at the start of publish (G16)", async () => {
  await using rig = await makeRig();
  assertEquals((await dates(rig)).status, "ok");
  const validTo = new Date(Date.now() - DAY_MS);
  const old = await makeAuthority({ commonName: "old CA", validTo });
  await sh(
    rig.folder,
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout no.key " +
      "-out no.pem -days 9 -subj '/CN=no CA' -addext basicConstraints=critical,CA:FALSE",
  );
  await addAnchors(rig, [old.cert, await Deno.readTextFile(`${rig.folder}/no.pem`)]);
  const says =
    /ca\.pem" "CN=old CA" expired on \d{4}-\d\d-\d\d, "CN=no CA" is not marked as a CA; servers/;
  const found = await dates(rig);
  assertEquals(found.status, "warn");
  assertMatch(found.saw, says);
  const publisher = rig.publish(["--message", "x"]);
  assertEquals(await publisher.code, 0);
  const warnings = publisher.log.filter(({ event }) => event === "warning");
  assertEquals(warnings.filter(({ cause }) => says.test(`${cause}`)).length, 1);
});
