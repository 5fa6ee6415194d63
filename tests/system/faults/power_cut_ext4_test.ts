/**
 * A power cut below a real file system: ext4, told to lose at once all that is not on its disk and to stop, as xfstests
 * does it. What comes back is what its journal makes of it.
 */

import { assert, assertEquals } from "@std/assert";
import { lastQueued, startChild } from "../../support/children.ts";
import { canMount, mountAt, succeeds } from "../../support/mounting.ts";
import { firsts, makeRig, range, seqsOf } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";
import { seeded } from "../../../tools/shared/seeded.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const CUTS = 30;
const IMAGE_BYTES = 32 * 1024 ** 2;
/** EXT4_IOC_SHUTDOWN of Linux, and its flag by which not even the journal is flushed. */
const SHUTDOWN = 0x8004587dn;
const WITHOUT_FLUSH = 2;

/** Loses what is not on the disk of a mounted ext4, which takes nothing more. */
function cutPower(directory: string): void {
  const libc = Deno.dlopen("libc.so.6", {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const fd = libc.symbols.open(new TextEncoder().encode(`${directory}\0`), 0);
  const result = libc.symbols.ioctl(fd, SHUTDOWN, new Uint32Array([WITHOUT_FLUSH]));
  libc.symbols.close(fd);
  libc.close();
  if (result !== 0) throw new Error("ext4 could not be shut down");
}

Deno.test({
  name:
    `publish loses nothing that was reported as queued in ${CUTS} power cuts below ext4 (Q3; needs root, mount and mkfs.ext4)`,
  ignore: !canMount || !hasProgram("mkfs.ext4"),
  async fn() {
    await using rig = await makeRig({ faults: { pubackDelayMs: 1 } });
    const image = `${rig.folder}/image`;
    const disk = `${rig.folder}/disk`;
    const flags = rig.flags.map((flag) => flag.replace(/\/state$/, "/disk/state"));
    const publish = ["publish", ...flags, "--source", "stdin"];
    Deno.writeFileSync(image, new Uint8Array());
    Deno.truncateSync(image, IMAGE_BYTES);
    assert(succeeds("mkfs.ext4", "-q", "-F", image));
    const random = seeded(3);
    let reported = 0;
    for (let cut = 0; cut < CUTS; cut++) {
      using _mounted = mountAt(disk, "-o", "loop", image);
      if (cut % 3 === 2) await rig.endpoint.resume();
      else rig.endpoint.pause();
      const child = startChild(publish);
      const writing = (async () => {
        for (let n = 0; await child.write([JSON.stringify({ cut, n })]); n++) {
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
      })();
      try {
        const instant = Math.ceil(random() * 20);
        await child.until(() => child.events("queued").length >= instant);
        // What it says was said before the cut.
        Deno.kill(child.pid, "SIGSTOP");
        cutPower(disk);
      } finally {
        await child.kill();
        await writing;
      }
      reported = Math.max(reported, lastQueued(child));
    }
    using _mounted = mountAt(disk, "-o", "loop", image);
    await rig.endpoint.resume();
    const rest = rig.run(publish);
    assertEquals(await rest.code, 0);
    assertEquals(rest.log.filter(({ event }) => event === "warning"), []);
    const first = firsts(seqsOf(rig.endpoint.received));
    assert(reported > 0 && first.length >= reported, `${first.length} of ${reported}`);
    assertEquals(first, range(1, first.length), "in order, and without a gap");
  },
});
