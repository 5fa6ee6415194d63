/**
 * The clock of a whole process, set while it runs: libfaketime stands between the program (and its TLS) and the wall
 * clock, and reads the time from a file. The monotonic clock is the real one.
 */

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { startChild } from "../../support/children.ts";
import { flagsFor, makeRig, range, type Rig } from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const LIBRARY = ["x86_64", "aarch64"]
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });

/** The clock of a process. */
class FakeClock {
  readonly #path: string;

  constructor(rig: Rig, time: string) {
    this.#path = `${rig.folder}/time`;
    this.set(time);
  }

  /** Sets it: `+365d`, `-365d`, `+0`, or an instant such as `@1970-01-01 00:10:00`. */
  set(time: string): void {
    // By rename: the process looks into the file at each look at the clock.
    Deno.writeTextFileSync(`${this.#path}.new`, `${time}\n`);
    Deno.renameSync(`${this.#path}.new`, this.#path);
  }

  get env(): Record<string, string> {
    return {
      LD_PRELOAD: LIBRARY!,
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      FAKETIME_NO_CACHE: "1",
      TZ: "UTC",
    };
  }
}

/** CPU time that a process has used, in ms. */
function cpuMs(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // utime and stime, in ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function samplesOf(rig: Rig) {
  return rig.endpoint.received.map(({ payload }) => JSON.parse(payload));
}

Deno.test({
  name:
    "a process whose clock jumps a year, back, and to 1970 keeps its session, its pace and its order (X5; needs libfaketime)",
  ignore: LIBRARY === undefined,
  async fn() {
    await using rig = await makeRig();
    const clock = new FakeClock(rig, "+0");
    const flags = [
      ...flagsFor(rig.folder, rig.endpoint.port),
      ...["--source", "clock", "--interval", "500ms", "--queue-max-age", "1h"],
    ];
    const child = startChild(["publish", ...flags], { env: clock.env });
    try {
      await rig.endpoint.waitFor(2);
      const [startMs, startCpuMs] = [performance.now(), cpuMs(child.pid)];
      for (const time of ["+365d", "-365d", "@1970-01-01 00:10:00", "+0"]) {
        clock.set(time);
        await rig.endpoint.waitFor(rig.endpoint.received.length + 4);
      }
      const elapsedMs = performance.now() - startMs;
      const cpu = (cpuMs(child.pid) - startCpuMs) / elapsedMs;
      Deno.kill(child.pid, "SIGTERM");
      assertEquals(await child.ended, { code: 0, words: "" });
      const samples = samplesOf(rig);
      const years = new Set(samples.map(({ time }) => new Date(time).getUTCFullYear()));
      const year = new Date().getUTCFullYear();
      assertEquals(years, new Set([year, year + 1, year - 1, 1970]), "the clock did jump");
      assertEquals(samples.map(({ seq }) => seq), range(1, samples.length));
      assertLess(samples.length - 2, elapsedMs / 500 + 2, "no burst");
      assertEquals(rig.endpoint.connects.length, 1, "no reconnect");
      assertEquals(
        child.events("warning").filter(({ cause }) => String(cause).includes("jumped")).length,
        4,
      );
      assertEquals(child.events("dropped"), []);
      assertLess(cpu, 0.05);
    } finally {
      await child.kill();
    }
  },
});

Deno.test({
  name:
    "a process booted in 1970 goes on trying, and connects once the clock is set, with nothing lost (T4, X5; needs libfaketime)",
  ignore: LIBRARY === undefined,
  async fn() {
    await using rig = await makeRig();
    const clock = new FakeClock(rig, "@1970-01-01 00:00:20");
    const flags = [
      ...flagsFor(rig.folder, rig.endpoint.port),
      ...["--source", "clock", "--interval", "200ms"],
    ];
    const child = startChild(["publish", ...flags], { env: clock.env });
    try {
      await child.until(() => child.events("retrying").length >= 2);
      const warning = child.events("warning").find(({ step }) => step === "files");
      assertMatch(String(warning?.cause), /^The clock says 1970-01-01T/);
      const { step, cause } = child.events("retrying")[0]!;
      assertEquals(step, "tls");
      assertMatch(
        String(cause),
        /valid from 20\d\d-.* and this device says it is 1970-.*clock is probably wrong/,
      );
      clock.set("+0");
      await child.until(() => child.events("connected").length === 1);
      assertLess(child.events("retrying").length, 5, "connected within a step or two of back-off");
      await child.until(() => child.events("drained").length === 1);
      const known = rig.endpoint.received.length;
      await rig.endpoint.waitFor(known + 2);
      Deno.kill(child.pid, "SIGTERM");
      assertEquals(await child.ended, { code: 0, words: "" });
      const samples = samplesOf(rig);
      assertEquals(samples.map(({ seq }) => seq), range(1, samples.length));
      const firstGood = samples.findIndex(({ clock }) => clock === undefined);
      assert(firstGood > 0, "samples from before the clock was set are marked");
      for (const [index, { time, clock }] of samples.entries()) {
        const isMarked = index < firstGood;
        assertEquals([clock, time.startsWith("1970-")], [
          isMarked ? "unsynchronised" : undefined,
          isMarked,
        ]);
      }
    } finally {
      await child.kill();
    }
  },
});
