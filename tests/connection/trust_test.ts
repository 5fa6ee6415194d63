/** An impostor whose CA Deno's own trust store holds: no command believes it, however it is started. */

import { assertEquals, assertMatch } from "@std/assert";
import { makePki } from "../../tools/endpoint/mod.ts";
import { makeRig, pki, replaced } from "../support/publishing.ts";

/** What an impostor's CA can be given to Deno with, or its checks be weakened. */
const STORES = (ca: string): readonly Record<string, string>[] => [
  { DENO_CERT: ca, DENO_TLS_CA_STORE: "system,mozilla" },
  { NODE_EXTRA_CA_CERTS: ca },
  { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
];

Deno.test("only the configured CA vouches, in publish, watch and doctor, whatever Deno's store holds (T1, F5, G8)", async () => {
  const other = await makePki();
  await using rig = await makeRig({ certificates: pki, server: other.server });
  const ca = `${rig.folder}/other.pem`;
  await Deno.writeTextFile(ca, other.ca);
  const viewer = replaced(rig.flags, { "--client-id": "viewer" });
  for (const env of STORES(ca)) {
    const publish = rig.publish(["--message", "secret"], { env });
    const watch = rig.run(["watch", "t", ...viewer], { env });
    const doctor = rig.run(["doctor", ...replaced(rig.flags, { "--state": `${ca}.state` })], {
      env,
    });
    for (const run of [publish, watch]) {
      assertMatch(
        `${(await run.said("retrying")).cause}`,
        /is not signed by the configured CA|has the name of one that is configured here and another key/,
      );
      run.signal();
    }
    assertEquals([await publish.code, await watch.code, await doctor.code], [0, 0, 69]);
    assertMatch(doctor.out.join(""), /^fail +tls /m);
  }
  assertEquals([rig.endpoint.counts.handshakes, rig.endpoint.connects.length], [0, 0]);
});
