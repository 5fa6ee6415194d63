/** The bench: what it judges, draws, and leaves when it is stopped. What it measures is not judged here. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { chartOf } from "../../tools/bench/chart.ts";
import { lineOf, samplesIn } from "../../tools/bench/publishers.ts";
import { type Figure, missedBy, tableOf, unjudgedBy } from "../../tools/bench/report.ts";

const FIGURES: readonly Figure[] = [
  {
    id: "start",
    what: "start",
    unit: "ms",
    samples: { mqtt443: [300, 90, 100], paho: [80, 80, 80], "a <b>": [1000] },
    targets: [
      { is: "at most", value: 1.25, of: "paho" },
      { is: "at most", value: 1.2, of: "paho" },
      { is: "at most", value: 20, of: "paho", as: "difference" },
      { is: "at most", value: 19.9, of: "paho", as: "difference" },
      { is: "at most", value: 4, of: "nobody" },
    ],
  },
  {
    id: "rate",
    what: "rate",
    unit: "messages/s",
    samples: { mqtt443: [12_000], C: [10_000] },
    targets: [{ is: "at least", value: 1.2, of: "C" }, { is: "at least", value: 1.3, of: "C" }],
  },
  {
    id: "rss",
    what: "memory",
    unit: "MiB",
    samples: { mqtt443: [90], paho: [20], "packed file": [95] },
    targets: [{ is: "at most", value: 90 }, { is: "at most", value: 89.9 }],
  },
  { id: "outage, lost", what: "of 9", unit: "samples", samples: { mqtt443: [0], paho: [3] } },
  { id: "month, wire", what: "wire", unit: "MB", samples: { "mqtt443, packed": [2], paho: [5] } },
  { id: "private", what: "private", unit: "MiB", samples: { mqtt443: [15], paho: [10] } },
];

Deno.test("bench tells which targets are missed, by what, and which could not be judged", () => {
  assertEquals(missedBy(FIGURES), [
    "start: 1.25, wanted at most 1.2 of paho",
    "start: 20 ms more, wanted at most 19.9 more than paho",
    "rate: 1.20, wanted at least 1.3 of C",
    "memory: 90 MiB, wanted at most 89.9",
  ]);
  assertEquals(unjudgedBy(FIGURES), ["start: wanted at most 4 of nobody, which was not measured"]);
});

Deno.test("bench states each target beside the one it is compared with", () => {
  const lines = tableOf(FIGURES, { judge: true }).split("\n");
  assertEquals(lines[1], "start, ms");
  assertMatch(lines[2]!, /^ {2}mqtt443 +100$/);
  assertMatch(lines[3]!, /^ {2}paho +80 +1\.25 +at most 1\.25 of paho +met$/);
  assertMatch(lines[4]!, /^ +at most 1\.2 of paho +MISSED$/);
  assertMatch(lines[6]!, /^ +at most 19\.9 more than paho +MISSED: 20 more$/);
  assertMatch(lines[7]!, /^ {2}a <b> +1,000 +0\.10$/);
  assertMatch(lines[8]!, /^ {2}nobody +- +- +at most 4 of nobody +not measured$/);
});

Deno.test("bench draws lost samples, bytes, start-up and memory, without our other forms", () => {
  const chart = chartOf(FIGURES);
  const texts = [...chart.matchAll(/<text class="(?:end|value)[^>]*>([^<]*)</g)]
    .map((match) => match[1]);
  assertEquals(texts, [
    ...["mqtt443", "0", "paho", "3"],
    ...["mqtt443, packed", "2", "paho", "5"],
    ...["paho", "80", "mqtt443", "100", "a &lt;b>", "1,000"],
    ...["paho", "20 / 10", "mqtt443", "90 / 15"],
  ]);
});

Deno.test("bench finds the samples in a payload of others, in ours, and in each form of packs", () => {
  const sample = { device: "gw-1", number: 7 };
  const sender = () => ({ program: "", args: [] });
  assertEquals(samplesIn(lineOf(sample, { name: "paho", sender })), [sample]);
  const metrics = JSON.parse(lineOf(sample, { name: "mqtt443", sender, wraps: true }));
  const { device } = sample;
  assertEquals(samplesIn(JSON.stringify({ device, seq: 1, metrics })), [sample]);
  const samples = [{ seq: 1, metrics }, { seq: 2, metrics: { ...metrics, sample: 8 } }];
  const both = [sample, { device, number: 8 }];
  assertEquals(samplesIn(JSON.stringify({ device, samples })), both);
  const rows = [[1, 7], [2, 8]];
  assertEquals(samplesIn(JSON.stringify({ device, names: ["seq", "sample"], rows })), both);
});

for (const name of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`bench leaves neither files nor processes behind when ${name} stops it`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
    try {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--frozen", "--no-check", "tools/bench/mod.ts", "--short"],
        cwd: new URL("../../", import.meta.url),
        env: { TMPDIR: folder },
        stdout: "null",
        stderr: "piped",
      }).spawn();
      let said = "";
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        said += text;
        // Files and processes are there by now.
        if (text.includes("server: ")) child.kill(name);
      }
      assertEquals((await child.status).code, 1, said);
      assertMatch(said, /^stopped$/m);
      assertEquals([...Deno.readDirSync(folder)], []);
      const port = Number(/server: .*port (\d+)/.exec(said)![1]);
      assert(await isFree(port), "the server still listens");
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
