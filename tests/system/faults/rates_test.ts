/** AWS IoT Core's limits on what one connection sends, kept on our side: what is above them it discards. */

import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { makePki } from "../../../tools/endpoint/mod.ts";
import { startChild } from "../../support/children.ts";
import { canUnshare, mounted } from "../../support/mounting.ts";
import {
  firsts,
  inputOf,
  makeRig,
  numbered,
  queueOffline,
  range,
  replaced,
  seqsOf,
} from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const AWS_NAME = "abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com";

Deno.test("publisher sends 5,000 queued messages with no second above 100 and none discarded (P6)", async () => {
  await using rig = await makeRig({ faults: { publishesPerS: 100 } });
  await queueOffline(rig, 5000);
  const flags = ["--source", "stdin", "--max-rate", "100", "--inflight", "100"];
  const run = rig.publish([...flags, "--give-up-after", "2m"], { input: inputOf([]) });
  assertEquals(await run.code, 0);
  const { received, connects, counts } = rig.endpoint;
  const seqs = seqsOf(received);
  assertEquals(firsts(seqs), range(1, 5000));
  assertLessOrEqual(seqs.length - 5000, 50, "repeats");
  // It discards what is above 100 in any second.
  assertEquals(counts.discarded, 0);
  for (const { maxInFlight } of connects) assertLessOrEqual(maxInFlight, 100);
  const seconds = (received.at(-1)!.atMs - received[0]!.atMs) / 1000;
  assert(seconds < 90, `${seconds} s: far below the rate that is allowed`);
});

Deno.test({
  name:
    "publisher keeps to 100 messages and 512 KiB a second where the endpoint's name is AWS's; needs root and unshare (P6)",
  ignore: !canUnshare,
  async fn() {
    await using rig = await makeRig({ certificates: await makePki({ names: [AWS_NAME] }) });
    const hosts = `${rig.folder}/hosts`;
    await Deno.writeTextFile(hosts, `127.0.0.1 localhost ${AWS_NAME}\n`);
    // In a world of its own in which that name is this machine.
    const child = startChild(
      [
        ...["publish", ...replaced(rig.flags, { "--endpoint": AWS_NAME })],
        ...["--source", "stdin", "--format", "text"],
      ],
      { within: mounted({ "/etc/hosts": hosts }) },
    );
    try {
      const large = Array.from({ length: 20 }, () => "x".repeat(100_000));
      await child.write([...numbered(1, 300), ...large]);
      await child.end();
      const { code, words } = await child.ended;
      assertEquals(code, 0, words);
    } finally {
      await child.kill();
    }
    const { received, connects } = rig.endpoint;
    assertEquals(connects.map(({ serverName }) => serverName), [AWS_NAME]);
    assertEquals(received.length, 320);
    const small = received.slice(0, 300).map(({ atMs }) => atMs);
    assertGreaterOrEqual(small.at(-1)! - small[0]!, 2990);
    const large = received.slice(300).map(({ atMs }) => atMs);
    assertGreaterOrEqual(large.at(-1)! - large[0]!, 19 * 100_000 / (512 * 1024) * 1000);
  },
});
