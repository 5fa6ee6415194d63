/** What the program as users run it makes of machines: a scoped process that sees their files where the unit binds them. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { openSources, readAll } from "../../lib/sources/mod.ts";
import { MACHINES, makeMachine, plant, proc, zone } from "../support/machines.ts";
import { canUnshare } from "../support/mounting.ts";
import { assertGranted, spawnProgram } from "../support/program.ts";

/** A command that runs another one where a folder is what the unit binds, after some other commands. */
function atView(root: string, ...more: readonly string[]): string[] {
  const commands = [
    ...["mount -t tmpfs tmpfs /run", "mkdir -p /run/mqtt443/host"],
    `mount --bind '${root}' /run/mqtt443/host`,
    ...more,
  ];
  return ["unshare", "--mount", "sh", "-c", `${commands.join(" && ")} && exec "$@"`, "sh"];
}

/** What `publish --dry-run` prints. */
async function dryRun(
  within: readonly string[],
  ...flags: readonly string[]
): Promise<{ payloads: string[]; said: string }> {
  const args = ["publish", "--dry-run", "--client-id", "gw-7", ...flags];
  const { stdout, stderr, code } = await spawnProgram(args, { within }, { stdin: "null" }).output();
  const said = new TextDecoder().decode(stderr);
  assertGranted(said);
  assertEquals(code, 0, said);
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  return { payloads: lines.map((line) => line.slice(line.indexOf(" ") + 1)), said };
}

/** Metrics that are this machine's, whatever is shown. */
function withoutDisk(metrics: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith("disk_")));
}

for (const name of Object.keys(MACHINES)) {
  Deno.test({
    name:
      `publish --dry-run prints what ${name} has, and asks for no more than its grants (S4, S7, S8; needs root)`,
    ignore: !canUnshare,
    async fn() {
      using machine = makeMachine(name);
      const { payloads, said } = await dryRun(atView(machine.root));
      assertEquals(said, "");
      const { readings } = await readAll(openSources(["system"], { root: machine.root }));
      assertEquals(
        withoutDisk(JSON.parse(payloads[0]!).metrics),
        withoutDisk(Object.fromEntries(readings.map(({ name, value }) => [name, value]))),
      );
    },
  });
}

/** A pipe in place of a file, to which a writer answers after so long; never, without. */
function slowFile(path: string, answer?: { ms: number; text: string }): AsyncDisposable {
  Deno.removeSync(path);
  assert(new Deno.Command("mkfifo", { args: [path] }).outputSync().success);
  const script = answer === undefined
    ? "exec cat"
    : `trap 'kill $! 2>/dev/null' EXIT; while sleep ${
      answer.ms / 1000
    }; do echo '${answer.text}' > '${path}'; done`;
  const writer = new Deno.Command("setsid", { args: ["sh", "-c", script], stdin: "piped" }).spawn();
  return {
    async [Symbol.asyncDispose]() {
      // Its group, with the sleep in it; nobody else is in it.
      Deno.kill(-writer.pid as number, "SIGKILL");
      await writer.stdin.close().catch(() => {});
      await writer.status;
    },
  };
}

Deno.test({
  name:
    "three thermometers of 0.75 s and one that hangs take nothing away but themselves (S6; needs root)",
  ignore: !canUnshare,
  async fn() {
    using machine = makeMachine("raspberry-pi-4");
    const input = (n: number) => `${machine.root}/sys/class/hwmon/hwmon${n}/temp1_input`;
    await using _a = slowFile(input(2), { ms: 750, text: "21062" });
    await using _b = slowFile(input(3), { ms: 750, text: "22500" });
    await using _c = slowFile(input(4), { ms: 750, text: "-1250" });
    await Deno.mkdir(`${machine.root}/sys/devices/platform/i2c-0/0-0048/hwmon/hwmon9`, {
      recursive: true,
    });
    plant(machine.root, {
      "sys/class/hwmon/hwmon9": { link: "../../devices/platform/i2c-0/0-0048/hwmon/hwmon9" },
      "sys/devices/platform/i2c-0/0-0048/hwmon/hwmon9/name": "lm75\n",
      "sys/devices/platform/i2c-0/0-0048/hwmon/hwmon9/temp1_input": "1\n",
    });
    await using _d = slowFile(input(9));
    const flags = ["--interval", "4s", "--count", "2"];
    const { payloads, said } = await dryRun(atView(machine.root), ...flags);
    for (const payload of payloads) {
      const { metrics } = JSON.parse(payload);
      const temperatures = Object.keys(metrics).filter((name) => name.startsWith("temperature_"));
      assertEquals(temperatures, [
        "temperature_cpu_thermal_celsius",
        "temperature_w1_slave_temp_28_0316a2795f2b_celsius",
        "temperature_w1_slave_temp_28_0316a27960aa_celsius",
        "temperature_w1_slave_temp_28_03168011c2ff_celsius",
      ]);
      assertEquals(metrics.temperature_w1_slave_temp_28_0316a27960aa_celsius, 22.5);
    }
    assertMatch(
      said,
      /source "system:temperature_lm75_i2c_0_48_celsius": no answer within 2000 ms/,
    );
  },
});

/** Makes /etc a mount of its own, of another size. */
const ETC_APART = [
  "mkdir /run/etc",
  "mount -t tmpfs -o size=8m tmpfs /run/etc",
  "cp /etc/group /etc/passwd /run/etc",
  "mount --bind /run/etc /etc",
];

function disksOf(payload: string): Record<string, number> {
  const { metrics } = JSON.parse(payload);
  return Object.fromEntries(
    Object.entries(metrics as Record<string, number>).filter(([name]) => name.startsWith("disk_")),
  );
}

Deno.test({
  name:
    "the disk of / is that of /, though /etc is a mount, where the unit shows it (S10; needs root)",
  ignore: !canUnshare,
  async fn() {
    using machine = makeMachine({ ...proc(), "root/.keep": "" });
    const view = atView(machine.root, ...ETC_APART, "mount --bind / /run/mqtt443/host/root");
    const { payloads, said } = await dryRun(view);
    assertEquals(said, "");
    const { stdout } = new Deno.Command("df", { args: ["-B1", "--output=size", "/"] }).outputSync();
    assertEquals(
      disksOf(payloads[0]!).disk_total_bytes,
      Number(new TextDecoder().decode(stdout).split("\n")[1]),
    );
  },
});

Deno.test({
  name: "the disk of / is absent, and told, where nobody can say which it is (S10; needs root)",
  ignore: !canUnshare,
  async fn() {
    using machine = makeMachine(proc());
    const { payloads, said } = await dryRun(atView(machine.root, ...ETC_APART));
    assertEquals(disksOf(payloads[0]!), {});
    assertStringIncludes(said, "the disk of / cannot be told from those that are mounted on it");
  },
});

Deno.test({
  name:
    "publish reads disks by name, files by pattern, the zone, and what is wanted of it, with its grants alone (S4, S11; needs root)",
  ignore: !canUnshare,
  async fn() {
    using machine = makeMachine({
      ...zone(0, { type: "soc", temp: 40000 }),
      ...proc(),
      "sys/bus/w1/devices/28-0316a2795f2b/temperature": "21062\n",
      "data/level": "1234 kB\n",
    });
    const { payloads } = await dryRun(
      [...atView(machine.root), "env", "TZ=<+05>-5"],
      "--source",
      [
        "system@1h",
        "clock",
        `disk:data=${machine.root}/data`,
        "file:w1_celsius=/sys/bus/w1/devices/28-*/temperature*0.001@1s",
        `file:level_bytes=${machine.root}/data/lev??`,
      ].join(),
      ...[
        "--except",
        "cpu_*,memory_*,network_*,disk_*_inodes,disk_????*_bytes",
        "--tags",
        "site=x",
      ],
    );
    const { tags, metrics, time } = JSON.parse(payloads[0]!);
    assertEquals(tags, { site: "x" });
    assertEquals(Object.keys(metrics), [
      "uptime_seconds",
      "temperature_soc_celsius",
      "local_time",
      "w1_celsius",
      "level_bytes",
    ]);
    assertEquals([metrics.w1_celsius, metrics.level_bytes], [21.062, 1234 * 1024]);
    const local = new Date(`${metrics.local_time}Z`).getTime() - 5 * 3_600_000;
    assert(Math.abs(local - Date.parse(time)) < 60_000, metrics.local_time);
  },
});
