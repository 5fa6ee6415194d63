/** A port that takes connections and says nothing, and then is well: before the program as a scoped process. */

import { assertEquals, assertMatch } from "@std/assert";
import { generalGrants } from "../../lib/settings/grants.ts";
import { AWS_ALPN, makePki, startEndpoint } from "../../tools/endpoint/mod.ts";
import { assertAllClosed } from "../support/connecting.ts";
import { canUnshare, mounted } from "../support/mounting.ts";
import { inputOf, makeRig, numbered, replaced, seqsOf } from "../support/publishing.ts";
import { DIRECT } from "../support/program.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const SHORT = ["--connect-timeout", "1s"];

Deno.test("publisher whose attempts meet silence closes each at its deadline, and connects when it is over (F1)", async () => {
  await using rig = await makeRig({ faults: { silentAtAccept: true } });
  const run = rig.publish(["--source", "stdin", ...SHORT], { input: inputOf(numbered(1, 20)) });
  for (const attempt of [2, 3]) {
    const { cause } = await run.said("retrying", (line) => line.attempt === attempt);
    assertMatch(`${cause}`, /connected, but no TLS answer within 1 s$/);
    await assertAllClosed(rig.endpoint);
  }
  rig.endpoint.faults.silentAtAccept = false;
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), Array.from({ length: 20 }, (_, index) => index + 1));
});

Deno.test({
  name:
    "publisher with the grants of the executable for any endpoint of AWS outlives silence (F1; needs root and unshare)",
  ignore: !canUnshare || DIRECT.ignore,
  async fn() {
    const name = "abc-ats.iot.eu-central-1.amazonaws.com";
    const certificates = await makePki({ names: [name] });
    const address = "127.0.0.88";
    await using rig = await makeRig({ certificates });
    const faults = { silentAtAccept: true };
    await using endpoint = await startEndpoint({ certificates, port: 8883, address, faults });
    const hosts = `${rig.folder}/hosts`;
    await Deno.writeTextFile(hosts, `${address} ${name}\n`);
    const places = {
      "--endpoint": name,
      "--port": "8883",
      "--certs": "./certs",
      "--state": "./state",
    };
    const run = rig.run(
      [
        "publish",
        ...replaced(rig.flags, places),
        "--alpn",
        AWS_ALPN,
        "--source",
        "stdin",
        ...SHORT,
      ],
      {
        input: inputOf(numbered(1, 3)),
        cwd: rig.folder,
        grants: generalGrants(),
        within: mounted({ "/etc/hosts": hosts }),
      },
    );
    await run.said("retrying", ({ attempt }) => attempt === 3);
    await assertAllClosed(endpoint);
    endpoint.faults.silentAtAccept = false;
    assertEquals(await run.code, 0);
    assertEquals(seqsOf(endpoint.received), [1, 2, 3]);
  },
});

Deno.test("watch whose attempts meet silence closes each at its deadline, and connects when it is over (F1)", async () => {
  await using rig = await makeRig({ faults: { silentAtAccept: true } });
  const run = rig.run([
    "watch",
    "t",
    ...replaced(rig.flags, { "--client-id": "viewer" }),
    ...SHORT,
  ]);
  await run.said("retrying", ({ attempt }) => attempt === 3);
  await assertAllClosed(rig.endpoint);
  rig.endpoint.faults.silentAtAccept = false;
  await run.said("connected");
});

Deno.test("doctor names the silence, and finds all well when it is over (F1, F2)", async () => {
  await using rig = await makeRig({ faults: { silentAtAccept: true } });
  const doctor = rig.run(["doctor", "--json", ...rig.flags, ...SHORT]);
  assertEquals(await doctor.code, 69);
  const statuses = (out: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      JSON.parse(out.join("")).checks.map((check: { name: string; status: string }) => [
        check.name,
        check.status,
      ]),
    );
  const { dns, tcp, tls } = statuses(doctor.out);
  assertEquals([dns, tcp, tls], ["ok", "ok", "fail"]);
  await assertAllClosed(rig.endpoint);
  rig.endpoint.faults.silentAtAccept = false;
  const well = rig.run(["doctor", "--json", ...rig.flags]);
  assertEquals(await well.code, 0, well.errors.join("\n"));
  const online = ["dns", "tcp", "tls", "alpn", "mqtt-connect", "publish"];
  assertEquals(online.map((name) => statuses(well.out)[name]), online.map(() => "ok"));
});
