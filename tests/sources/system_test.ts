import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import type { Reading } from "../../lib/core/message.ts";
import {
  openSources,
  readAll,
  type Source,
  sourceLimits,
  sourcePaths,
  sourceProblem,
  sourcesProblem,
  sourceSysKinds,
} from "../../lib/sources/mod.ts";
import { onceAtATime } from "../../lib/sources/read_all.ts";

const NOW = () => new Date(2026, 10, 23, 3, 4, 5);

function fixture(name: string): string {
  return new URL(`../testdata/${name}`, import.meta.url).pathname;
}

/** What `system` reads of a fixture; the disk is this machine's, and left out. */
async function readSystem(name: string): Promise<Record<string, unknown>> {
  const { readings, failures } = await readAll(
    openSources(["system"], { root: fixture(name), now: NOW }),
  );
  assertEquals(failures, []);
  return Object.fromEntries(
    readings.filter(({ name }) => !name.startsWith("disk_")).map((
      { name, value },
    ) => [name, value]),
  );
}

function source(name: string, read: () => Promise<readonly Reading[]>): Source {
  return { name, read };
}

Deno.test("system source reads an x86 virtual machine", async () => {
  assertEquals(await readSystem("x86-vm"), {
    cpu_load_1m: 0.12,
    cpu_load_5m: 0.34,
    cpu_load_15m: 1.05,
    memory_total_bytes: 24684092 * 1024,
    memory_available_bytes: 24376944 * 1024,
    memory_used_bytes: (24684092 - 24376944) * 1024,
    cpu_count: 2,
    uptime_seconds: 957,
    network_receive_bytes: 95406808,
    network_transmit_bytes: 147738,
  });
});

Deno.test("system source reads a Raspberry Pi, its one sensor once", async () => {
  assertEquals(await readSystem("raspberry-pi"), {
    cpu_load_1m: 0.52,
    cpu_load_5m: 0.58,
    cpu_load_15m: 0.59,
    memory_total_bytes: 3884344 * 1024,
    memory_available_bytes: 3272416 * 1024,
    memory_used_bytes: (3884344 - 3272416) * 1024,
    swap_total_bytes: 102396 * 1024,
    swap_used_bytes: (102396 - 98300) * 1024,
    cpu_count: 4,
    uptime_seconds: 1209600,
    network_receive_bytes: 4823313345,
    network_transmit_bytes: 912336455,
    network_eth0_receive_bytes: 1000,
    network_eth0_transmit_bytes: 2000,
    network_wlan0_receive_bytes: 4823312345,
    network_wlan0_transmit_bytes: 912334455,
    temperature_cpu_thermal_celsius: 48.312,
  });
});

Deno.test("system source leaves out what a gateway lacks: swap and sensors", async () => {
  assertEquals(Object.keys(await readSystem("gateway")), [
    "cpu_load_1m",
    "cpu_load_5m",
    "cpu_load_15m",
    "memory_total_bytes",
    "memory_available_bytes",
    "memory_used_bytes",
    "cpu_count",
    "uptime_seconds",
    "network_receive_bytes",
    "network_transmit_bytes",
    "network_eth0_receive_bytes",
    "network_eth0_transmit_bytes",
    "network_wwan0_receive_bytes",
    "network_wwan0_transmit_bytes",
  ]);
});

Deno.test("system source reads a container by the limits it is given", async () => {
  const readings = await readSystem("container");
  assertEquals(readings["memory_total_bytes"], 512 * 1024 * 1024);
  assertEquals(readings["cpu_count"], 1);
  assertEquals(readings["network_receive_bytes"], 1766);
});

Deno.test("system source reads an industrial PC with hardware monitors", async () => {
  const readings = await readSystem("industrial-pc");
  assertEquals(readings["cpu_count"], 12);
  assertEquals(
    Object.entries(readings).filter(([name]) => name.startsWith("temperature_")),
    [
      ["temperature_acpitz_celsius", 27.8],
      ["temperature_acpitz_2_celsius", 29.8],
      ["temperature_coretemp_package_id_0_celsius", 41],
      ["temperature_coretemp_core_0_celsius", 39],
      ["temperature_coretemp_core_4_celsius", -5.5],
      ["temperature_nvme_composite_celsius", 36.85],
      ["temperature_nvme_composite_2_celsius", 38.85],
      ["temperature_nct6775_temp1_celsius", 33.5],
    ],
  );
});

Deno.test("system source gives names that are valid and unique on every machine", async () => {
  for (
    const name of [
      "x86-vm",
      "raspberry-pi",
      "gateway",
      "container",
      "industrial-pc",
    ]
  ) {
    const sources = openSources(["system"], { root: fixture(name), now: NOW });
    for (const { name } of (await readAll(sources)).readings) {
      assert(/^[a-z][a-z0-9_]*$/.test(name), name);
    }
  }
});

Deno.test("system source knows the size of the disk", async () => {
  const { readings } = await readAll(
    openSources(["system"], { root: fixture("gateway") }),
  );
  const disk = Object.fromEntries(
    readings.map(({ name, value }) => [name, Number(value)]),
  );
  const {
    disk_total_bytes: total,
    disk_used_bytes: used,
    disk_available_bytes: free,
  } = disk;
  assert(total! > 0 && used! > 0 && free! >= 0 && used! + free! <= total!);
});

Deno.test("system source leaves out every malformed file and keeps the rest (X7)", async () => {
  assertEquals(await readSystem("malformed"), {
    memory_available_bytes: 102400,
  });
});

Deno.test("system source of which nothing can be read is a failure with a hint", async () => {
  const sources = openSources(["system"], { root: "/nonexistent" });
  const { readings, failures } = await readAll(sources);
  assertEquals(readings, []);
  assertEquals(failures.map(({ source }) => source), ["system"]);
  assertEquals(
    failures[0]!.error.message,
    'Cannot read source "system": nothing could be read',
  );
  assertStringIncludes(failures[0]!.error.hint, "/proc");
});

Deno.test("system source looks for new sensors after a minute, not before", async () => {
  const root = await Deno.makeTempDir();
  try {
    let nowMs = 0;
    const sources = openSources(["system"], {
      root,
      now: () => new Date(nowMs),
    });
    const temperatures = async () =>
      (await readAll(sources)).readings.map(({ name }) => name).filter((name) =>
        name.startsWith("temperature_")
      );
    await temperatures();
    const zone = `${root}/sys/class/thermal/thermal_zone0`;
    await Deno.mkdir(zone, { recursive: true });
    await Deno.writeTextFile(`${zone}/type`, "soc-thermal\n");
    await Deno.writeTextFile(`${zone}/temp`, "51000\n");
    nowMs = 59_999;
    assertEquals(await temperatures(), []);
    nowMs = 60_000;
    assertEquals(await temperatures(), ["temperature_soc_thermal_celsius"]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("system source keeps the names of its sensors when one of them fails", async () => {
  const root = await Deno.makeTempDir();
  try {
    for (const n of [0, 1]) {
      const zone = `${root}/sys/class/thermal/thermal_zone${n}`;
      await Deno.mkdir(zone, { recursive: true });
      await Deno.writeTextFile(`${zone}/type`, "acpitz\n");
      await Deno.writeTextFile(`${zone}/temp`, `${40 + n}000\n`);
    }
    await Deno.remove(`${root}/sys/class/thermal/thermal_zone0/temp`);
    const { readings } = await readAll(openSources(["system"], { root }));
    assertEquals(
      readings.filter(({ name }) => name.startsWith("temperature_")),
      [{ name: "temperature_acpitz_2_celsius", value: 41 }],
    );
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test({
  name: "system source without the right to read tells which path, and reads the rest",
  permissions: {
    read: [fixture("raspberry-pi") + "/proc/loadavg"],
    sys: false,
  },
  async fn() {
    const sources = openSources(["system"], {
      root: fixture("raspberry-pi"),
      now: NOW,
    });
    const { readings, failures } = await readAll(sources);
    assertEquals(readings.map(({ name }) => name), [
      "cpu_load_1m",
      "cpu_load_5m",
      "cpu_load_15m",
    ]);
    const paths = [
      "/proc/meminfo",
      "/proc/stat",
      "/proc/uptime",
      "",
      "/proc/net/dev",
    ];
    for (const [index, path] of [...paths, "/sys/class/thermal"].entries()) {
      const { source, error } = failures[index]!;
      assertEquals(source, "system");
      assertStringIncludes(
        error.message,
        `"${fixture("raspberry-pi")}${path}"`,
      );
      assertStringIncludes(error.hint, "--allow-read=");
    }
  },
});

Deno.test({
  name: "system source with scoped permissions asks Deno, and tells once what it cannot see",
  permissions: {
    read: sourcePaths(["system"]),
    sys: ["loadavg", "systemMemoryInfo", "osUptime", "statfs"],
  },
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { readings, failures } = await readAll(openSources(["system"]));
    assertEquals(failures, []);
    const names = readings.map(({ name }) => name);
    for (
      const name of [
        "cpu_load_1m",
        "memory_used_bytes",
        "cpu_count",
        "uptime_seconds",
      ]
    ) {
      assert(names.includes(name), name);
    }
    assertStringIncludes(
      sourceLimits(["system"])!.message,
      "network bytes and temperatures",
    );
    assertStringIncludes(sourceLimits(["system"])!.hint, "BindReadOnlyPaths=");
  },
});

Deno.test({
  name: "system source without the right to ask Deno tells the flag to add",
  permissions: { read: false, sys: false },
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { failures } = await readAll(openSources(["system"]));
    assertEquals(
      failures[0]!.error.hint,
      "add --allow-sys=loadavg to the permissions",
    );
  },
});

Deno.test("source limits are none for sources that need no file of the kernel", () => {
  assertEquals(sourceLimits(["clock"]), undefined);
});

Deno.test("clock source gives the local time as AWS's article prints it", async () => {
  const { readings } = await readAll(openSources(["clock"], { now: NOW }));
  assertEquals(readings, [{
    name: "local_time",
    value: "2026-11-23T03:04:05",
  }]);
});

Deno.test("readAll keeps the order of the list, however long each source takes", async () => {
  const slow = Promise.withResolvers<readonly Reading[]>();
  const reading = readAll([
    source("slow", () => slow.promise),
    source("fast", () => {
      slow.resolve([{ name: "a", value: 1 }]);
      return Promise.resolve([{ name: "b", value: 2 }]);
    }),
  ]);
  assertEquals((await reading).readings, [{ name: "a", value: 1 }, {
    name: "b",
    value: 2,
  }]);
});

Deno.test("readAll lets the later of two equal names win in the place of the first", async () => {
  const { readings } = await readAll([
    source(
      "one",
      () => Promise.resolve([{ name: "a", value: 1 }, { name: "b", value: 2 }]),
    ),
    source("two", () => Promise.resolve([{ name: "a", value: 3 }])),
  ]);
  assertEquals(readings, [{ name: "a", value: 3 }, { name: "b", value: 2 }]);
});

Deno.test("readAll gives up on a source that hangs and keeps the others (X7)", async () => {
  const hung = Promise.withResolvers<readonly Reading[]>();
  const { readings, failures } = await readAll([
    source("stuck", () => hung.promise),
    source("good", () => Promise.resolve([{ name: "b", value: 2 }])),
  ], { timeoutMs: 1 });
  assertEquals(readings, [{ name: "b", value: 2 }]);
  assertEquals(failures.map(({ source, error }) => [source, error.message]), [
    ["stuck", 'Cannot read source "stuck": no answer within 1 ms'],
  ]);
});

Deno.test("readAll survives the late failure of a source it gave up on (X7)", async () => {
  const hung = Promise.withResolvers<readonly Reading[]>();
  await readAll([source("stuck", () => hung.promise)], { timeoutMs: 1 });
  hung.reject(new Error("late"));
  await hung.promise.catch(() => {});
});

Deno.test("readAll reports an unexpected error of a source, synchronous ones too (X7)", async () => {
  const { failures } = await readAll([
    source("odd", () => {
      throw new TypeError("oops");
    }),
  ]);
  assertEquals(failures[0]!.error.message, 'Cannot read source "odd": oops');
});

Deno.test("readAll drops NaN and Infinity (X7)", async () => {
  const { readings } = await readAll([
    source("odd", () =>
      Promise.resolve([
        { name: "a", value: NaN },
        { name: "b", value: -Infinity },
        { name: "c", value: 0 },
      ])),
  ]);
  assertEquals(readings, [{ name: "c", value: 0 }]);
});

/** How many timers an action sets. */
async function timersOf(action: () => Promise<unknown>): Promise<number> {
  const real = globalThis.setTimeout;
  let count = 0;
  const counting = (...args: Parameters<typeof real>) => {
    count++;
    return real(...args);
  };
  globalThis.setTimeout = Object.assign(counting, real);
  try {
    await action();
    return count;
  } finally {
    globalThis.setTimeout = real;
  }
}

Deno.test("readAll sets no timer where every source answers at once, and one where any does not", async () => {
  const atOnce = { name: "good", read: () => [{ name: "b", value: 2 }] };
  const later = source("slow", () => Promise.resolve([{ name: "a", value: 1 }]));
  assertEquals(await timersOf(() => readAll([atOnce, atOnce])), 0);
  assertEquals(await timersOf(() => readAll([atOnce, later, later])), 1);
});

Deno.test("system source answers at once from its second reading on, where there are no sensors", async () => {
  const sources = openSources(["system"], { root: fixture("gateway"), now: NOW });
  const first = await readAll(sources);
  assertEquals(await timersOf(() => readAll(sources)), 0);
  const names = async () => (await readAll(sources)).readings.map(({ name }) => name);
  assertEquals(await names(), first.readings.map(({ name }) => name));
});

Deno.test("onceAtATime begins no second read while one hangs (X7)", async () => {
  const hung = Promise.withResolvers<readonly Reading[]>();
  let begun = 0;
  const guarded = onceAtATime(source("stuck", () => {
    begun++;
    return hung.promise;
  }));
  const first = guarded.read();
  await assertRejects(async () => await guarded.read(), UserError, "has not ended");
  assertEquals(begun, 1);
  hung.resolve([]);
  await first;
});

Deno.test("onceAtATime reads again after a read that failed", async () => {
  const guarded = onceAtATime(
    source("bad", () => Promise.reject(new Error("no"))),
  );
  await assertRejects(async () => await guarded.read(), Error, "no");
  await assertRejects(async () => await guarded.read(), Error, "no");
});

Deno.test("sourceProblem accepts every form of the setting", () => {
  for (
    const spec of [
      "system",
      "clock",
      "stdin",
      "file:a=b",
      "file:_x9=/sys/bus/iio/devices/iio:device0/in_temp_input*0.001",
      "file:a=/tmp/a=b:c*d*-1e-3",
    ]
  ) assertEquals(sourceProblem(spec), undefined, spec);
});

for (
  const [spec, part] of [
    ["sytem", 'did you mean "system"?'],
    ["sysetm", 'did you mean "system"?'],
    ["Clock", 'did you mean "clock"?'],
    ["stdn", 'did you mean "stdin"?'],
    ["fil:a=/b", 'did you mean "file:NAME=PATH"?'],
    ["file=/b", 'did you mean "file:NAME=PATH"?'],
    ["", "must be system, clock, stdin, none or file:NAME=PATH"],
    ["prometheus", "must be system, clock, stdin, none or file:NAME=PATH"],
    ["file:/etc/x", '"=" is missing'],
    ["file:9a=/x", 'current NAME is "9a"'],
    ["file:=/x", 'current NAME is ""'],
    ["file:a=", "PATH is empty"],
    ["file:a=*2", "PATH is empty"],
    ["file:a=/x*", 'current SCALE is ""'],
    ["file:a=/x*1e999", 'current SCALE is "1e999"'],
    ["file:a=/x*NaN", 'current SCALE is "NaN"'],
    ["file:a=/x*0x10", 'current SCALE is "0x10"'],
    ["file:a=/x\0y", "must not hold NUL"],
  ] as const
) {
  Deno.test(`sourceProblem refuses ${JSON.stringify(spec)}`, () => {
    assertStringIncludes(sourceProblem(spec) ?? "accepted", part);
  });
}

Deno.test("sourcesProblem wants stdin alone", () => {
  assertEquals(sourcesProblem(["stdin"]), undefined);
  assertStringIncludes(
    sourcesProblem(["system", "stdin"])!,
    "must be stdin alone",
  );
});

Deno.test("sourcesProblem refuses duplicates", () => {
  assertEquals(
    sourcesProblem(["system", "clock", "file:a=/x", "file:b=/x"]),
    undefined,
  );
  assertStringIncludes(sourcesProblem(["clock", "clock"])!, '"clock" twice');
  assertStringIncludes(sourcesProblem(["stdin", "stdin"])!, '"stdin" twice');
  assertStringIncludes(
    sourcesProblem(["file:a=/x", "file:a=/y"])!,
    'name "a" to two files',
  );
});

Deno.test("sourcesProblem refuses an empty list", () => {
  assertEquals(sourcesProblem([]), "must name at least one source");
});

Deno.test("sourcePaths names plain files as they are and kernel files in the host view", () => {
  assertEquals(
    sourcePaths([
      "clock",
      "file:a=/var/a*2",
      "file:b=rel/b",
      "file:c=/sys/./x/../bus/c*0.1",
    ]),
    ["/var/a", "rel/b", "/run/mqtt443/host/sys/bus/c"],
  );
});

Deno.test("sourcePaths of stdin and clock are none", () => {
  assertEquals(sourcePaths(["stdin"]), []);
  assertEquals(sourceSysKinds(["clock"]), []);
});

Deno.test("sourcePaths of system is a closed list", () => {
  assertEquals(sourcePaths(["system"]), [
    "/etc/group",
    "/run/mqtt443/host/proc/loadavg",
    "/run/mqtt443/host/proc/meminfo",
    "/run/mqtt443/host/proc/stat",
    "/run/mqtt443/host/proc/uptime",
    "/run/mqtt443/host/proc/net/dev",
    "/run/mqtt443/host/sys/class/thermal",
    "/run/mqtt443/host/sys/class/hwmon",
  ]);
});
