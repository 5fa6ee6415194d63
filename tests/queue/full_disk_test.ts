/** A disk that really is full or read-only, below a publisher that runs: a small tmpfs. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { hasProgram, isRoot } from "../support/queueing.ts";
import { type Line, makeRig, openInput, range, type Rig, seqsOf } from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

function command(name: string, ...args: string[]): boolean {
  return new Deno.Command(name, { args, stdout: "null", stderr: "null" }).outputSync().success;
}

/** Puts a small file system where the state directory goes. */
function mount(rig: Rig, size: string): Disposable | undefined {
  const state = `${rig.folder}/state`;
  Deno.mkdirSync(state, { mode: 0o700 });
  const options = `size=${size},mode=0700`;
  if (!command("mount", "-t", "tmpfs", "-o", options, "tmpfs", state)) return undefined;
  return { [Symbol.dispose]: () => void command("umount", "--lazy", state) };
}

const canMount = isRoot && hasProgram("mount");

Deno.test({
  name:
    "publisher goes on from memory on a full disk, loses nothing, and heals (Q4; needs root and mount)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig();
    using disk = mount(rig, "256k");
    if (disk === undefined) return;
    rig.endpoint.pause();
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin"], { input: stream });
    let last = 0;
    const queue = async (messages: number) => {
      for (let n = 0; n < messages; n++) write(JSON.stringify({ text: "x".repeat(1000) }));
      last += messages;
      await run.until(() => run.log.some(({ event, seq }) => event === "queued" && seq === last));
    };
    // That the disk is one in memory is warned of too.
    const isFailure = ({ cause }: Line) => /wait in memory/.test(String(cause));
    while (!run.log.some(isFailure)) await queue(20);
    const { cause, hint } = await run.said("warning", isFailure);
    assertMatch(String(cause), /full; messages wait in memory/);
    assertMatch(String(hint), /free some space/);
    await queue(30);
    await rig.endpoint.resume();
    await rig.endpoint.waitFor(last);
    assertEquals(seqsOf(rig.endpoint.received), range(1, last), "in order, each once");
    // With more room the disk takes messages again.
    assert(command("mount", "-o", "remount,size=8m", `${rig.folder}/state`));
    await queue(1);
    await rig.endpoint.waitFor(last);
    run.signal();
    assertEquals(await run.code, 0);
    assertEquals((await run.said("stopped")).queued, 0);
    const again = rig.publish(["--message", "after"]);
    assertEquals(await again.code, 0);
    assertEquals(rig.endpoint.counts.received, last + 1, "nothing is left to be sent again");
  },
});

Deno.test({
  name: "publisher keeps all when a full disk gets room while offline (Q4; needs root and mount)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig();
    using disk = mount(rig, "256k");
    if (disk === undefined) return;
    rig.endpoint.pause();
    const { stream, write } = openInput();
    const run = rig.publish(["--source", "stdin"], { input: stream });
    let last = 0;
    const queue = async (messages: number) => {
      for (let n = 0; n < messages; n++) write(JSON.stringify({ text: "x".repeat(1000) }));
      last += messages;
      await run.until(() => run.log.some(({ event, seq }) => event === "queued" && seq === last));
    };
    while (!run.log.some(({ event }) => event === "warning")) await queue(20);
    await queue(30);
    assert(command("mount", "-o", "remount,size=8m", `${rig.folder}/state`));
    await queue(1);
    await run.said("queued", ({ level, cause }) => level === "info" && cause !== undefined);
    run.signal();
    assertEquals(await run.code, 0);
    await rig.endpoint.resume();
    const next = openInput();
    const second = rig.publish(["--source", "stdin"], { input: next.stream });
    await rig.endpoint.waitFor(last);
    second.signal();
    assertEquals(await second.code, 0);
    assertEquals(seqsOf(rig.endpoint.received), range(1, last));
  },
});

Deno.test({
  name: "publisher goes on when its disk becomes read-only, and heals (Q6; needs root and mount)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig();
    using disk = mount(rig, "8m");
    if (disk === undefined) return;
    const state = `${rig.folder}/state`;
    // Files open for writing forbid the remount of a tmpfs, but not of a bind mount over it.
    const { stream, write } = openInput();
    if (!command("mount", "--bind", state, state)) return;
    try {
      const run = rig.publish(["--source", "stdin"], { input: stream });
      write("{}");
      await rig.endpoint.waitFor(1);
      const isReadOnly = command("mount", "-o", "remount,ro,bind", state);
      for (let n = 2; n <= 10; n++) {
        write("{}");
        await rig.endpoint.waitFor(n);
      }
      if (isReadOnly) command("mount", "-o", "remount,rw,bind", state);
      write("{}");
      await rig.endpoint.waitFor(11);
      run.signal();
      assertEquals(await run.code, 0);
      assertEquals(seqsOf(rig.endpoint.received), range(1, 11));
    } finally {
      command("umount", "--lazy", state);
    }
  },
});

Deno.test({
  name:
    "publisher refuses to start on a read-only disk, and says what to do (Q6; needs root and mount)",
  ignore: !canMount,
  async fn() {
    await using rig = await makeRig();
    using disk = mount(rig, "1m");
    if (disk === undefined || !command("mount", "-o", "remount,ro", `${rig.folder}/state`)) return;
    const refused = rig.publish(["--message", "x"]);
    assertEquals(await refused.code, 73);
    assertMatch(refused.errors.join("\n"), /Read-only file system.*\nhint: .*--durability none/s);
    assertEquals(await rig.publish(["--message", "x", "--durability", "none"]).code, 0);
  },
});
