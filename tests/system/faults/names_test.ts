/**
 * A host name that is not there at first, and then moves: the program in a world whose table of hosts, or name server,
 * is the test's.
 */

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { makePki, startEndpoint } from "../../../tools/endpoint/mod.ts";
import { startChild } from "../../support/children.ts";
import { firsts, makeRig, numbered, replaced, seqsOf } from "../../support/publishing.ts";
import { canUnshare, mounted } from "../../support/mounting.ts";
import { type Answer, startNameServer } from "./name_server.ts";

const NAME = "broker.example";

Deno.test({
  name:
    "publisher looks the name up afresh at each attempt: it waits for it, and follows it elsewhere; needs root and unshare (C8)",
  ignore: !canUnshare,
  async fn() {
    const certificates = await makePki({ names: [NAME] });
    await using rig = await makeRig({ certificates });
    const hosts = `${rig.folder}/hosts`;
    const order = `${rig.folder}/nsswitch.conf`;
    await Deno.writeTextFile(hosts, "127.0.0.1 localhost\n");
    // Nobody outside is asked.
    await Deno.writeTextFile(order, "hosts: files\n");
    const child = startChild(
      ["publish", ...replaced(rig.flags, { "--endpoint": NAME }), "--source", "stdin"],
      { within: mounted({ "/etc/hosts": hosts, "/etc/nsswitch.conf": order }) },
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

/** What the name server says, and what is then said of it. */
const TROUBLES: readonly (readonly [answer: Answer, cause: RegExp])[] = [
  ["nxdomain", /^Cannot find the address of broker\.example: Name or service not known$/],
  [
    "servfail",
    /^Cannot find the address of broker\.example: Temporary failure in name resolution$/,
  ],
  ["silence", /^Cannot find the address of broker\.example: no name server answered within 3 s$/],
];

Deno.test({
  name:
    "publisher outlives a name server that knows nothing, fails or is silent, asks it afresh each time, and follows its answer; needs root and unshare (C8)",
  ignore: !canUnshare,
  async fn() {
    const certificates = await makePki({ names: [NAME] });
    await using rig = await makeRig({ certificates });
    await using names = await startNameServer("nxdomain");
    const resolv = `${rig.folder}/resolv.conf`;
    const order = `${rig.folder}/nsswitch.conf`;
    // Twice 2 s of silence are longer than an attempt may take.
    const options = "options timeout:2 attempts:2";
    await Deno.writeTextFile(resolv, `nameserver ${names.address}\n${options}\n`);
    await Deno.writeTextFile(order, "hosts: dns\n");
    const child = startChild(
      [
        ...["publish", ...replaced(rig.flags, { "--endpoint": NAME }), "--source", "stdin"],
        ...["--connect-timeout", "3s"],
      ],
      { within: mounted({ "/etc/resolv.conf": resolv, "/etc/nsswitch.conf": order }) },
    );
    try {
      await child.write([...numbered(1, 3)]);
      for (const [answer, cause] of TROUBLES) {
        names.answer = answer;
        await child.until(() =>
          child.events("retrying").some((line) =>
            line.step === "dns" && cause.test(String(line.cause))
          )
        );
      }
      const asked = names.questions;
      const sinceMs = performance.now();
      names.answer = { address: "127.0.0.1" };
      await rig.endpoint.waitFor(3);
      assert(names.questions > asked);
      // What is left of an attempt, the wait after it, and a second for the handshake of a busy machine.
      assertLess(rig.endpoint.connects[0]!.atMs - sinceMs, 3000 + 1000 + 1000);
      const { port } = rig.endpoint;
      await using moved = await startEndpoint({ certificates, port, address: "127.0.0.2" });
      // Its answer may be kept for an hour; nobody here does.
      names.answer = { address: "127.0.0.2" };
      rig.endpoint.cut();
      await child.write([...numbered(4, 6)]);
      await moved.until(() => seqsOf(moved.received).includes(6));
      const seqs = [...seqsOf(rig.endpoint.received), ...seqsOf(moved.received)];
      assertEquals(firsts(seqs), [1, 2, 3, 4, 5, 6]);
      await child.end();
      assertEquals(await child.ended, { code: 0, words: "" });
    } finally {
      await child.kill();
    }
  },
});
