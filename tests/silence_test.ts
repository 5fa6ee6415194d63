/** A port that takes connections and says nothing, and then is well: before the program as a scoped process. */

import { assertEquals, assertMatch } from "@std/assert";
import { assertAllClosed } from "./connecting.ts";
import { inputOf, makeRig, numbered, replaced, seqsOf } from "./publishing.ts";

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
