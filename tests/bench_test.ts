/** The bench: what it judges, and what it leaves when it is stopped. What it measures is not judged here. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { missedBy, type Row, tableOf } from "../tools/bench/report.ts";

const ROWS: readonly Row[] = [
  {
    what: "drain, window 20",
    unit: "msg/s",
    values: { mqtt443: 12_000 },
    ratio: { of: "none", value: 0.79 },
    wanted: { ratioAtLeast: 0.8 },
  },
  {
    what: "drain, window 100",
    unit: "msg/s",
    values: { mqtt443: 24_000 },
    ratio: { of: "none", value: 0.8 },
    wanted: { ratioAtLeast: 0.8 },
  },
  { what: "  peak RSS, window 20", unit: "MiB", values: { mqtt443: 99.9 }, wanted: { below: 100 } },
  { what: "  peak RSS, window 100", unit: "MiB", values: { mqtt443: 100 }, wanted: { below: 100 } },
  { what: "  peak RSS, 100 KiB", unit: "MiB", values: {}, wanted: { below: 100 } },
  { what: "start", unit: "ms", values: { mqtt443: 300, paho: 80 } },
];

Deno.test("bench tells which criteria do not hold, and what it found instead", () => {
  assertEquals(missedBy(ROWS), [
    "drain, window 20: wanted ratio at least 0.8, is 0.79",
    "peak RSS, window 100: wanted below 100, is 100 MiB",
    "peak RSS, 100 KiB: wanted below 100, is NaN MiB",
  ]);
});

Deno.test("bench states each criterion beside its figure", () => {
  const lines = tableOf(ROWS).split("\n");
  assertMatch(
    lines[1]!,
    /^drain, window 20 +msg\/s +12,000 +0\.79 of none +ratio at least 0\.8: NO$/,
  );
  assertMatch(lines[3]!, /^ {2}peak RSS, window 20 +MiB +99\.9 +below 100: yes$/);
  assertMatch(lines[6]!, /^start +ms +300 +80\.0$/);
});

for (const name of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`bench leaves neither files nor processes behind when ${name} stops it`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
    try {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--frozen", "--no-check", "tools/bench.ts", "--short"],
        cwd: new URL("..", import.meta.url),
        env: { TMPDIR: folder },
        stdout: "null",
        stderr: "piped",
      }).spawn();
      let said = "";
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        said += text;
        // Files and processes are there by now.
        if (text.includes("endpoint: port")) child.kill(name);
      }
      assertEquals((await child.status).code, 1, said);
      assertMatch(said, /^stopped$/m);
      assertEquals([...Deno.readDirSync(folder)], []);
      const port = Number(/endpoint: port (\d+)/.exec(said)![1]);
      assert(await isFree(port), "the endpoint still listens");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

async function isFree(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ port })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}
