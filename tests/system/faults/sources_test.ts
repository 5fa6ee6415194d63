/** A plain file whose open hangs in the kernel, as on a dead network file system: another process holds a lease on it. */

import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { startChild } from "../../support/children.ts";
import { flagsFor, makeRig, range } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Takes a lease, says so, and keeps it until its input ends, however often the kernel asks for it back. */
const LEASE = `
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_WRONLY)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
`;
const INTERVAL_MS = 1000;

/** Makes whoever opens the file hang, until it is disposed. */
async function holdLease(path: string): Promise<AsyncDisposable> {
  const holder = new Deno.Command("python3", {
    args: ["-c", LEASE, path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const said = holder.stdout.getReader();
  const isHeld = !(await said.read()).done;
  const release = async () => {
    await holder.stdin.close();
    await holder.status;
    await said.cancel();
  };
  if (isHeld) return { [Symbol.asyncDispose]: release };
  await release();
  throw new Error("Cannot take a lease on this file system");
}

Deno.test({
  name:
    "a process one of whose sources hangs sends the others on time, gives it up, and ends within 2 s (X7; needs python3)",
  ignore: !hasProgram("python3"),
  async fn() {
    await using rig = await makeRig();
    const path = (name: string) => `${rig.folder}/${name}`;
    for (const name of ["good", "hangs"]) Deno.writeTextFileSync(path(name), "1\n");
    const child = startChild([
      ...["publish", ...flagsFor(rig.folder, rig.endpoint.port)],
      ...["--source", `file:hangs=${path("hangs")},file:good=${path("good")}`],
      ...["--interval", `${INTERVAL_MS}ms`],
    ]);
    try {
      await rig.endpoint.waitFor(2, { deadlineMs: 30_000 });
      await using _lease = await holdLease(path("hangs"));
      await child.until(() => child.events("source-failed").length > 0);
      await rig.endpoint.waitFor(rig.endpoint.counts.received + 4);
      const { received } = rig.endpoint;
      const gaps = received.slice(1).map(({ atMs }, index) => atMs - received[index]!.atMs);
      for (const gap of gaps) assertLess(gap, 2.5 * INTERVAL_MS, "late by an interval at most");
      assertMatch(
        String(child.events("source-failed")[0]?.cause),
        /"file:hangs=.*no answer within 1000 ms/,
      );
      const startMs = performance.now();
      Deno.kill(child.pid, "SIGTERM");
      assertEquals(await child.ended, { code: 0, words: "" });
      assertLess(performance.now() - startMs, 2000);
      const samples = received.map(({ payload }) => JSON.parse(payload));
      assertEquals(samples.map(({ seq }) => seq), range(1, samples.length));
      assertEquals(samples[0].metrics, { hangs: 1, good: 1 });
      for (const { metrics } of samples.slice(-4)) assertEquals(metrics, { good: 1 });
    } finally {
      await child.kill();
    }
  },
});
