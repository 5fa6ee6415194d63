/** A name with several addresses, of which not all are well: the program as a scoped process. */

import { assertEquals, assertMatch } from "@std/assert";
import { makePki, startEndpoint } from "../../tools/endpoint/mod.ts";
import { canUnshare, mounted } from "../support/mounting.ts";
import { DIRECT } from "../support/program.ts";
import {
  inputOf,
  makeRig,
  numbered,
  replaced,
  type Rig,
  type Run,
  seqsOf,
} from "../support/publishing.ts";

const NAME = "broker.example";
const certificates = await makePki({ names: [NAME] });

/** Publishes three messages in a world in which the name has these addresses, in this order. */
async function publishTo(rig: Rig, addresses: readonly string[]): Promise<Run> {
  const hosts = `${rig.folder}/hosts`;
  const order = `${rig.folder}/nsswitch.conf`;
  await Deno.writeTextFile(hosts, addresses.map((address) => `${address} ${NAME}\n`).join(""));
  await Deno.writeTextFile(order, "hosts: files\n");
  return rig.run(
    ["publish", ...replaced(rig.flags, { "--endpoint": NAME }), "--source", "stdin"],
    {
      input: inputOf(numbered(1, 3)),
      within: mounted({ "/etc/hosts": hosts, "/etc/nsswitch.conf": order }),
    },
  );
}

Deno.test({
  name: "publisher goes on to the next address in the same attempt where one refuses",
  ignore: !canUnshare || DIRECT.ignore,
  async fn() {
    await using rig = await makeRig({ certificates });
    const run = await publishTo(rig, ["127.0.0.3", "127.0.0.2", "127.0.0.1"]);
    assertEquals(await run.code, 0);
    assertEquals(run.log.filter(({ event }) => event === "retrying"), []);
    assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3]);
  },
});

Deno.test({
  name: "publisher goes on to the next address beside one that does not answer",
  ignore: !canUnshare || DIRECT.ignore,
  async fn() {
    await using rig = await makeRig({ certificates });
    // A queue of connections that is full: its SYN gets no answer.
    const { port } = rig.endpoint;
    using _full = Deno.listen({ hostname: "127.0.0.2", port, tcpBacklog: 0 });
    using _filler = await Deno.connect({ hostname: "127.0.0.2", port });
    const run = await publishTo(rig, ["127.0.0.2", "127.0.0.1"]);
    assertEquals(await run.code, 0);
    assertEquals(run.log.filter(({ event }) => event === "retrying"), []);
    assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3]);
  },
});

for (
  const [what, faults] of [
    ["in TLS", { cutHandshake: true }],
    ["before CONNACK", { closeAtConnect: true }],
  ] as const
) {
  Deno.test({
    name: `publisher begins its next attempt with another address where one failed ${what}`,
    ignore: !canUnshare || DIRECT.ignore,
    async fn() {
      await using rig = await makeRig({ certificates });
      const { port } = rig.endpoint;
      await using bad = await startEndpoint({ certificates, port, address: "127.0.0.2", faults });
      const run = await publishTo(rig, ["127.0.0.2", "127.0.0.1"]);
      assertEquals(await run.code, 0);
      assertEquals(bad.counts.connections, 1);
      assertEquals(run.log.filter(({ event }) => event === "retrying").length, 1);
      assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3]);
    },
  });
}

Deno.test({
  name:
    "doctor names the one of several addresses that fails in TLS, and what publish does about it (D13)",
  ignore: !canUnshare || DIRECT.ignore,
  async fn() {
    await using rig = await makeRig({ certificates });
    const { port } = rig.endpoint;
    // Takes TCP, and hangs up on the first packet of TLS.
    using bad = Deno.listen({ hostname: "127.0.0.2", port });
    const serving = (async () => {
      for await (const conn of bad) {
        await conn.read(new Uint8Array(1024)).catch(() => {});
        conn.close();
      }
    })();
    const hosts = `${rig.folder}/hosts`;
    const order = `${rig.folder}/nsswitch.conf`;
    await Deno.writeTextFile(hosts, `127.0.0.2 ${NAME}\n127.0.0.1 ${NAME}\n`);
    await Deno.writeTextFile(order, "hosts: files\n");
    const run = rig.run(
      ["doctor", "--json", ...replaced(rig.flags, { "--endpoint": NAME })],
      { within: mounted({ "/etc/hosts": hosts, "/etc/nsswitch.conf": order }) },
    );
    assertEquals(await run.code, 0);
    const { checks } = JSON.parse(run.out.join("\n"));
    const tls = checks.find(({ name }: { name: string }) => name === "tls");
    assertEquals([tls.status, tls.code], ["warn", "address-differs"]);
    assertMatch(tls.cause, /of the addresses of broker\.example 127\.0\.0\.2 fails/);
    assertMatch(tls.hint, /^publish goes on to another address by itself/);
    bad.close();
    await serving;
  },
});
