/** A host name that is not there at first, and then moves: the program in a world whose table of hosts is the test's. */

import { assertEquals, assertMatch } from "@std/assert";
import { makePki, startEndpoint } from "../../tools/endpoint.ts";
import { startChild } from "../children.ts";
import { firsts, makeRig, numbered, replaced, seqsOf } from "../publishing.ts";
import { hasProgram, isRoot } from "../queueing.ts";

const NAME = "broker.example";

Deno.test({
  name:
    "publisher looks the name up afresh at each attempt: it waits for it, and follows it elsewhere; needs root and unshare (C8)",
  ignore: !isRoot || !hasProgram("unshare"),
  async fn() {
    const certificates = await makePki({ names: [NAME] });
    await using rig = await makeRig({ certificates });
    const hosts = `${rig.folder}/hosts`;
    const order = `${rig.folder}/nsswitch.conf`;
    await Deno.writeTextFile(hosts, "127.0.0.1 localhost\n");
    // Nobody outside is asked.
    await Deno.writeTextFile(order, "hosts: files\n");
    const mounts = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf';
    const child = startChild(
      ["publish", ...replaced(rig.flags, { "--endpoint": NAME }), "--source", "stdin"],
      {
        within: ["unshare", "--mount", "sh", "-c", `${mounts} && shift 2 && exec "$@"`, "sh"]
          .concat(hosts, order),
      },
    );
    try {
      await child.write([...numbered(1, 3)]);
      const failures = () => child.events("retrying").filter(({ step }) => step === "dns");
      await child.until(() => failures().length >= 3);
      assertMatch(String(failures()[0]!.cause), /^Cannot find the address of broker\.example/);
      await Deno.writeTextFile(hosts, `127.0.0.1 localhost ${NAME}\n`);
      await rig.endpoint.waitFor(3);
      const { port } = rig.endpoint;
      await using moved = await startEndpoint({ certificates, port, address: "127.0.0.2" });
      await Deno.writeTextFile(hosts, `127.0.0.1 localhost\n127.0.0.2 ${NAME}\n`);
      rig.endpoint.cut();
      await child.write([...numbered(4, 6)]);
      await moved.until(() => seqsOf(moved.received).includes(6));
      const seqs = [...seqsOf(rig.endpoint.received), ...seqsOf(moved.received)];
      assertEquals(firsts(seqs), [1, 2, 3, 4, 5, 6]);
      assertEquals(moved.connects[0]!.serverName, NAME);
      await child.end();
      assertEquals((await child.ended).code, 0);
    } finally {
      await child.kill();
    }
  },
});
