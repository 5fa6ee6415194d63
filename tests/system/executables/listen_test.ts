/** The socket of the kit under a real systemd: who may connect, a restart with a client that waits, and no port. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { handIn, type HandingIn, seqsIn } from "../../support/handing_in.ts";
import { firsts, range } from "../../support/publishing.ts";
import {
  atMachine,
  type Gateway,
  type GatewayOptions,
  makeGateway,
  troublesOf,
} from "./gateway.ts";

// The bundle's esbuild ends some time after it was told to, and nobody can wait for that.
Deno.test.sanitizer({ ops: false, resources: false });

const KIT = new URL("../../../tools/kit/files/", import.meta.url).pathname;
const SOCKET = "/run/mqtt443/in.sock";
const SETTINGS = "/etc/mqtt443/mqtt443.json";
const GROUP_ID = 64_444;

/** A gateway whose service takes messages. */
function makeListening(
  listen: string,
  { units, ...options }: Pick<GatewayOptions, "units" | "isExecutable" | "service">,
): Promise<Gateway> {
  return makeGateway({
    ...options,
    units: { ...units },
    async prepare(files) {
      const settings = JSON.parse(await Deno.readTextFile(`${files}${SETTINGS}`));
      const more = { source: "none", listen, topicPrefix: "dt/gw-7" };
      await Deno.writeTextFile(`${files}${SETTINGS}`, JSON.stringify({ ...settings, ...more }));
      const group = `mqtt443-in:x:${GROUP_ID}:\n`;
      await Deno.writeTextFile(`${files}/etc/group`, group, { append: true });
    },
  });
}

const ACTIVATED = {
  "mqtt443.socket": await Deno.readTextFile(`${KIT}mqtt443.socket`),
  "mqtt443.service.d/listen.conf": await Deno.readTextFile(`${KIT}listen.conf`),
};

/** A client in the machine, from here: its socket is seen below the machine's root. */
function connect({ machine }: Gateway): Promise<HandingIn> {
  return handIn(`${machine.root}${SOCKET}`);
}

for (const isExecutable of [false, true]) {
  const what = isExecutable ? "executable" : "service";
  atMachine(
    `${what} takes messages on the socket of systemd, and a client waits through its restart (I5)`,
    async () => {
      await using gateway = await makeListening("systemd", { units: ACTIVATED, isExecutable });
      const { endpoint, machine, systemctl, show } = gateway;
      await systemctl("start", "mqtt443.socket");
      const { mode, uid, gid } = Deno.lstatSync(`${machine.root}${SOCKET}`);
      assertEquals([mode! & 0o7777, uid, gid], [0o660, 0, GROUP_ID]);
      // Nobody started the service: a client does.
      using first = await connect(gateway);
      await first.write('{"topic":"early","metrics":{"n":1}}\n');
      assertEquals(seqsIn(await first.receipts(1)), [1]);
      await endpoint.waitFor(1);
      assertEquals(endpoint.received[0]!.topic, "dt/gw-7/early");
      assertMatch((await show("ActiveState")).ActiveState!, /^active/);
      // It is still that of who may connect, and the service's status lies beside it.
      const after = Deno.lstatSync(`${machine.root}${SOCKET}`);
      assertEquals([after.mode! & 0o7777, after.uid, after.gid], [0o660, 0, GROUP_ID]);
      assert(Deno.lstatSync(`${machine.root}/run/mqtt443/status.json`).isFile);
      await systemctl("stop", "mqtt443");
      using waiting = await connect(gateway);
      await waiting.write("while it was stopped\n");
      assertEquals(seqsIn(await waiting.receipts(1)), [2]);
      const restarted = systemctl("restart", "mqtt443");
      let seq = 2;
      for (let n = 0; n < 20; n++) {
        using client = await connect(gateway);
        await client.write("x\n");
        // One that was accepted by the process that ends may go without an answer.
        const receipts = await client.receipts(1).catch(() => []);
        for (const next of seqsIn(receipts)) assert(next > seq && (seq = next) > 0);
      }
      await restarted;
      assert(seq > 2);
      await endpoint.waitFor(seq);
      assertEquals(firsts(gateway.seqs()).slice(0, seq), range(1, seq));
      await systemctl("stop", "mqtt443.socket", "mqtt443");
      assertEquals(await show("Result"), { Result: "success" });
      assertEquals(troublesOf(gateway.log()), []);
    },
  );
}

atMachine(
  "service listens at a path beside what the unit binds there, with a drop-in",
  async () => {
    const service = ["SystemCallFilter=listen accept4"];
    await using gateway = await makeListening(SOCKET, { service });
    const { endpoint, machine, systemctl } = gateway;
    await systemctl("start", "mqtt443");
    const { mode } = Deno.lstatSync(`${machine.root}${SOCKET}`);
    assertEquals(mode! & 0o7777, 0o660);
    using client = await connect(gateway);
    await client.write("x\n");
    assertEquals(seqsIn(await client.receipts(1)), [1]);
    await endpoint.waitFor(1);
    await systemctl("stop", "mqtt443");
    assertEquals(troublesOf(gateway.log()), []);
  },
);

atMachine("service without the drop-in may not listen, and says so", async () => {
  await using gateway = await makeListening("systemd", {
    units: { "mqtt443.socket": ACTIVATED["mqtt443.socket"] },
  });
  await gateway.systemctl("start", "mqtt443.socket");
  await gateway.systemctl("start", "--no-block", "mqtt443");
  await gateway.said("Cannot listen on the socket of systemd");
});
