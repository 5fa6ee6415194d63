/** What is read of this machine, against what its own programs print. */

import { assert, assertEquals } from "@std/assert";
import { openSources, readAll } from "../../lib/sources/mod.ts";
import { hasProgram } from "../support/queueing.ts";

/** What a command prints. */
function printed(program: string, ...args: string[]): string {
  const { success, stdout } = new Deno.Command(program, { args, env: { LC_ALL: "C" } })
    .outputSync();
  assert(success, program);
  return new TextDecoder().decode(stdout);
}

async function readSystem(): Promise<Map<string, number>> {
  const { readings } = await readAll(openSources(["system", "disk:tmp=/tmp"]));
  return new Map(readings.map(({ name, value }) => [name, Number(value)]));
}

/** What changes all the time lies between what was printed before and after, give or take what others do meanwhile. */
function assertBetween(value: number | undefined, a: number, b: number, leeway: number): void {
  const [least, most] = [Math.min(a, b) - leeway, Math.max(a, b) + leeway];
  assert(value !== undefined && value >= least && value <= most, `${least} <= ${value} <= ${most}`);
}

const LEEWAY = 512 * 1024 ** 2;

Deno.test({
  name: "memory and swap are those of free -b",
  ignore: !hasProgram("free"),
  async fn() {
    const free = () =>
      printed("free", "-b").split("\n").slice(1, 3).map((line) => line.split(/\s+/).map(Number));
    const [before, readings, after] = [free(), await readSystem(), free()];
    assertEquals(readings.get("memory_total_bytes"), before[0]![1]);
    assertBetween(readings.get("memory_available_bytes"), before[0]![6]!, after[0]![6]!, LEEWAY);
    const swap = before[1]![1]!;
    assertEquals(readings.get("swap_total_bytes"), swap === 0 ? undefined : swap);
  },
});

for (const [path, prefix] of [["/", "disk"], ["/tmp", "disk_tmp"]] as const) {
  Deno.test({
    name: `bytes and inodes of ${path} are those of df`,
    ignore: !hasProgram("df"),
    async fn() {
      const df = () =>
        printed("df", "-B1", "--output=size,used,avail,itotal,iused", path).split("\n")[1]!.trim()
          .split(/\s+/).map(Number);
      const [before, readings, after] = [df(), await readSystem(), df()];
      assertEquals(readings.get(`${prefix}_total_bytes`), before[0]);
      assertBetween(readings.get(`${prefix}_used_bytes`), before[1]!, after[1]!, LEEWAY);
      assertBetween(readings.get(`${prefix}_available_bytes`), before[2]!, after[2]!, LEEWAY);
      if (before[3] === 0 || Number.isNaN(before[3])) return;
      assertBetween(readings.get(`${prefix}_total_inodes`), before[3]!, after[3]!, 1e6);
      assertBetween(readings.get(`${prefix}_used_inodes`), before[4]!, after[4]!, 1e5);
    },
  });
}

Deno.test({
  name: "load is that of uptime, and the time since the start that of uptime -s",
  ignore: !hasProgram("uptime"),
  async fn() {
    const loads = () =>
      /load average: ([\d.]+), ([\d.]+), ([\d.]+)/.exec(printed("uptime"))!.slice(1).map(Number);
    const [before, readings, after] = [loads(), await readSystem(), loads()];
    for (const [at, name] of ["1m", "5m", "15m"].entries()) {
      assertBetween(readings.get(`cpu_load_${name}`), before[at]!, after[at]!, 0.5);
    }
    const startMs = Date.parse(printed("uptime", "-s").trim().replace(" ", "T"));
    assertBetween(
      readings.get("uptime_seconds"),
      (Date.now() - startMs) / 1000,
      (Date.now() - startMs) / 1000,
      5,
    );
  },
});

Deno.test({
  name: "network bytes are those of ip -s link, of the interfaces with hardware behind them",
  ignore: !hasProgram("ip"),
  async fn() {
    const links = () =>
      (JSON.parse(printed("ip", "-s", "-j", "link")) as {
        ifname: string;
        stats64: { rx: { bytes: number }; tx: { bytes: number } };
      }[]).filter(({ ifname }) => {
        try {
          return Deno.statSync(`/sys/class/net/${ifname}/device`).isDirectory;
        } catch {
          return false;
        }
      });
    const sum = (way: "rx" | "tx") =>
      links().reduce((sum, link) => sum + link.stats64[way].bytes, 0);
    if (links().length === 0) return;
    const before = [sum("rx"), sum("tx")];
    const readings = await readSystem();
    assertBetween(readings.get("network_receive_bytes_total"), before[0]!, sum("rx"), 0);
    assertBetween(readings.get("network_transmit_bytes_total"), before[1]!, sum("tx"), 0);
  },
});

Deno.test({
  name: "temperatures are those of sensors",
  ignore: !hasProgram("sensors"),
  async fn() {
    const chips: Record<string, Record<string, Record<string, number>>> = JSON.parse(
      printed("sensors", "-j"),
    );
    const readings = await readSystem();
    const ours = [...readings].filter(([name]) => name.startsWith("temperature_")).map((
      [, value],
    ) => value);
    for (const chip of Object.values(chips)) {
      for (const feature of Object.values(chip)) {
        for (const [name, value] of Object.entries(feature)) {
          if (!/^temp\d+_input$/.test(name) || value < -80 || value > 200) continue;
          assert(ours.some((our) => Math.abs(our - value) <= 5), `${name} ${value}`);
        }
      }
    }
  },
});

Deno.test("CPU use of this machine is a share, from the second reading on", async () => {
  const sources = openSources(["system"]);
  await readAll(sources);
  // Some time must go by for the kernel to count it: a tenth of a second is ten of its ticks.
  const startMs = performance.now();
  while (performance.now() - startMs < 100);
  const { readings } = await readAll(sources);
  const used = Number(readings.find(({ name }) => name === "cpu_used_ratio")?.value);
  assert(used > 0 && used <= 1, `${used}`);
});
