import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import type { Reading } from "../../lib/core/message.ts";
import {
  nameFilter,
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
import { MACHINES, makeMachine, monitor, net, plant, proc, zone } from "../support/machines.ts";

const NOW = () => new Date(2026, 10, 23, 3, 4, 5);

/** What `system` reads of a machine; the disk is that of this one, and left out, and so is what all have alike. */
async function readSystem(name: string): Promise<Record<string, unknown>> {
  using machine = makeMachine(name);
  const { readings, failures } = await readAll(
    openSources(["system"], { root: machine.root, now: NOW }),
  );
  assertEquals(failures, []);
  return Object.fromEntries(
    readings.filter(({ name }) => !name.startsWith("disk_")).map((
      { name, value },
    ) => [name, value]),
  );
}

/** The readings of a machine with such a beginning of their names. */
async function readingsOf(machine: string, ...beginnings: string[]): Promise<[string, unknown][]> {
  return Object.entries(await readSystem(machine)).filter(([name]) =>
    beginnings.some((beginning) => name.startsWith(beginning))
  );
}

const SENSORS = ["temperature_", "fan_", "voltage_", "current_", "under_voltage"] as const;

function source(name: string, read: () => Promise<readonly Reading[]>): Source {
  return { name, read };
}

Deno.test("system source reads an x86 virtual machine: no sensors, one link", async () => {
  assertEquals(await readSystem("x86-vm"), {
    cpu_load_1m: 0.52,
    cpu_load_5m: 0.58,
    cpu_load_15m: 0.59,
    memory_total_bytes: 3884344 * 1024,
    memory_available_bytes: 3272416 * 1024,
    memory_used_bytes: (3884344 - 3272416) * 1024,
    cpu_count: 2,
    uptime_seconds: 957,
    network_receive_bytes_total: 95406808,
    network_transmit_bytes_total: 147738,
  });
});

Deno.test("system source reads a Raspberry Pi 4: swap, its one CPU sensor once, 1-Wire by id, its weak supply (S7)", async () => {
  const readings = await readSystem("raspberry-pi-4");
  assertEquals(readings.swap_total_bytes, 102396 * 1024);
  assertEquals(readings.swap_used_bytes, (102396 - 98300) * 1024);
  assertEquals(await readingsOf("raspberry-pi-4", ...SENSORS), [
    ["temperature_cpu_thermal_celsius", 48.312],
    ["under_voltage", 1],
    ["temperature_w1_slave_temp_28_0316a2795f2b_celsius", 21.062],
    ["temperature_w1_slave_temp_28_0316a27960aa_celsius", 22.5],
    ["temperature_w1_slave_temp_28_03168011c2ff_celsius", -1.25],
  ]);
  assertEquals(await readingsOf("raspberry-pi-4", "network_"), [
    ["network_receive_bytes_total", 4823313345],
    ["network_transmit_bytes_total", 912336455],
    ["network_eth0_receive_bytes_total", 1000],
    ["network_eth0_transmit_bytes_total", 2000],
    ["network_wlan0_receive_bytes_total", 4823312345],
    ["network_wlan0_transmit_bytes_total", 912334455],
  ]);
});

Deno.test("system source reads a Raspberry Pi 5: fan, volts, NVMe by its place (S7)", async () => {
  assertEquals(await readingsOf("raspberry-pi-5", ...SENSORS), [
    ["temperature_cpu_thermal_celsius", 51.25],
    ["voltage_rp1_adc_1f000c8000_adc_in1_volts", 1.42],
    ["voltage_rp1_adc_1f000c8000_adc_in2_volts", 2.508],
    ["temperature_rp1_adc_1f000c8000_adc_celsius", 47.1],
    ["temperature_nvme_pci_10100_composite_celsius", 38.85],
    ["fan_pwmfan_cooling_fan_rpm", 2310],
    ["under_voltage", 0],
  ]);
});

Deno.test("system source reads a Jetson without the zones that are switched off or disabled (S7)", async () => {
  assertEquals(await readingsOf("jetson", ...SENSORS), [
    ["temperature_cpu_thermal_celsius", 45.531],
    ["temperature_gpu_thermal_celsius", 43.906],
    ["current_ina3221_i2c_1_40_vdd_in_amperes", 0.344],
    ["current_ina3221_i2c_1_40_curr2_amperes", 0.056],
    ["current_ina3221_i2c_1_40_curr3_amperes", 0.096],
    ["voltage_ina3221_i2c_1_40_vdd_in_volts", 19.088],
    ["voltage_ina3221_i2c_1_40_vdd_cpu_gpu_cv_volts", 19.096],
    ["fan_pwm_tach_39c0000_tachometer_rpm", 1497],
  ]);
  assertEquals((await readingsOf("jetson", "network_")).slice(0, 2), [
    ["network_receive_bytes_total", 21 + 51],
    ["network_transmit_bytes_total", 22 + 52],
  ]);
});

Deno.test("system source reads a gateway: its switch's bytes once, its modem, no CAN bus, no unplugged sensor (S7, S8)", async () => {
  assertEquals(await readingsOf("imx-gateway", ...SENSORS), [
    ["temperature_imx_thermal_zone_celsius", 39],
    ["temperature_lm75_i2c_0_48_celsius", 24.125],
    ["temperature_30be0000_ethernet_1_00_celsius", 55],
  ]);
  assertEquals(await readingsOf("imx-gateway", "network_"), [
    ["network_receive_bytes_total", 1100 + 5000],
    ["network_transmit_bytes_total", 1200 + 6000],
    ["network_eth0_receive_bytes_total", 1100],
    ["network_eth0_transmit_bytes_total", 1200],
    ["network_lan1_receive_bytes_total", 100],
    ["network_lan1_transmit_bytes_total", 200],
    ["network_lan2_receive_bytes_total", 300],
    ["network_lan2_transmit_bytes_total", 400],
    ["network_wwan0_receive_bytes_total", 5000],
    ["network_wwan0_transmit_bytes_total", 6000],
  ]);
});

Deno.test("system source reads an industrial PC: like chips and disks by their places (S7)", async () => {
  assertEquals(await readingsOf("industrial-pc", ...SENSORS), [
    ["temperature_acpitz_celsius", 27.8],
    ["temperature_acpitz_1_celsius", 29.8],
    ["temperature_x86_pkg_temp_celsius", 41],
    ["temperature_coretemp_package_id_0_celsius", 41.5],
    ["temperature_coretemp_core_0_celsius", 39],
    ["temperature_coretemp_core_4_celsius", -5.5],
    ["temperature_nvme_pci_0100_composite_celsius", 36.85],
    ["temperature_nvme_pci_0200_composite_celsius", 38.9],
    ["fan_nct6775_656_rpm", 1180],
    ["voltage_nct6775_656_vcore_volts", 0.896],
    ["voltage_nct6775_656_in1_volts", 1.016],
    ["temperature_nct6775_656_temp1_celsius", 33.5],
    ["temperature_nct6775_2608_temp1_celsius", 34.5],
    ["temperature_nct6775_2608_temp2_celsius", 31],
    ["temperature_drivetemp_naa_50014ee2b1c2d3e4_celsius", 30],
  ]);
});

Deno.test("system source reads a router: bridge, VLAN, PPPoE and tunnels count no byte twice (S8)", async () => {
  assertEquals(await readingsOf("router", "network_"), [
    ["network_receive_bytes_total", 9000 + 500 + 50],
    ["network_transmit_bytes_total", 9100 + 600 + 60],
    ["network_eth0_receive_bytes_total", 9000],
    ["network_eth0_transmit_bytes_total", 9100],
    ["network_eth1_receive_bytes_total", 500],
    ["network_eth1_transmit_bytes_total", 600],
    ["network_wlan0_receive_bytes_total", 50],
    ["network_wlan0_transmit_bytes_total", 60],
    ["network_ppp0_receive_bytes_total", 8800],
    ["network_ppp0_transmit_bytes_total", 8900],
  ]);
});

Deno.test("system source reads a container by the limits it is given", async () => {
  const readings = await readSystem("container");
  assertEquals(readings.memory_total_bytes, 512 * 1024 * 1024);
  assertEquals(readings.memory_used_bytes, 200_000_000);
  assertEquals(readings.memory_available_bytes, 512 * 1024 * 1024 - 200_000_000);
  assertEquals(readings.cpu_count, 1);
  assertEquals(readings.network_receive_bytes_total, 1766);
});

Deno.test("system source reads a machine with 300 containers: the one link, and no more (S8)", async () => {
  assertEquals(await readingsOf("many-veths", "network_"), [
    ["network_receive_bytes_total", 1000000],
    ["network_transmit_bytes_total", 2000000],
  ]);
});

Deno.test("system source gives names that are valid on every machine", async () => {
  for (const name of Object.keys(MACHINES)) {
    for (const reading of Object.keys(await readSystem(name))) {
      assert(/^[a-z][a-z0-9_]*$/.test(reading), reading);
    }
  }
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
  assertStringIncludes(failures[0]!.error.message, "no such file or folder");
});

Deno.test("system source tells the share of CPU time used since the last reading", async () => {
  using machine = makeMachine(proc());
  const sources = openSources(["system"], { root: machine.root, now: NOW });
  const used = async () =>
    (await readAll(sources)).readings.find(({ name }) => name === "cpu_used_ratio")?.value;
  assertEquals(await used(), undefined);
  Deno.writeTextFileSync(
    `${machine.root}/proc/stat`,
    "cpu  65 0 40 390 5 0 0 0 0 0\ncpu0 1 1 1 1\n",
  );
  assertEquals(await used(), 0.25);
});

Deno.test("system source looks for new sensors after a minute, not before", async () => {
  using machine = makeMachine({});
  const { root } = machine;
  let nowMs = 0;
  const sources = openSources(["system"], { root, now: () => new Date(nowMs) });
  const temperatures = async () =>
    (await readAll(sources)).readings.map(({ name }) => name).filter((name) =>
      name.startsWith("temperature_")
    );
  await temperatures();
  plant(root, zone(0, { type: "soc-thermal", temp: 51000 }));
  nowMs = 59_999;
  assertEquals(await temperatures(), []);
  nowMs = 60_000;
  assertEquals(await temperatures(), ["temperature_soc_thermal_celsius"]);
});

Deno.test("system source keeps the names of its sensors when one of them fails (S7)", async () => {
  using machine = makeMachine("industrial-pc");
  Deno.removeSync(`${machine.root}/sys/class/thermal/thermal_zone0/temp`);
  const { readings } = await readAll(openSources(["system"], { root: machine.root }));
  assertEquals(readings.filter(({ name }) => name.startsWith("temperature_acpitz")), [
    { name: "temperature_acpitz_1_celsius", value: 29.8 },
  ]);
});

Deno.test("system source leaves out sensors that nothing tells apart, and tells them once (S7)", async () => {
  using machine = makeMachine({
    ...zone(0, { type: "odd", temp: 40000 }),
    ...zone(1, { type: "odd", temp: 50000 }),
    ...zone(2, { type: "even", temp: 60000 }),
  });
  const sources = openSources(["system"], { root: machine.root, now: NOW });
  const temperatures = ({ readings }: { readings: readonly Reading[] }) =>
    readings.filter(({ name }) => name.startsWith("temperature_"));
  const first = await readAll(sources);
  assertEquals(temperatures(first), [{ name: "temperature_even_celsius", value: 60 }]);
  assertStringIncludes(
    first.failures.map(({ error }) => error.message).join(),
    "several sensors would be called temperature_odd_celsius",
  );
  assertEquals((await readAll(sources)).failures, []);
});

Deno.test("system source reads no other device by the number that a sensor had (S7)", async () => {
  using machine = makeMachine("industrial-pc");
  const sources = openSources(["system"], { root: machine.root, now: NOW });
  const disks = async () =>
    (await readAll(sources)).readings.filter(({ name }) => name.includes("nvme"))
      .map(({ name, value }) => [name, value]);
  assertEquals((await disks()).length, 2);
  // The first disk is pulled, and the second one found again in its place in the list, within the minute.
  const { root } = machine;
  Deno.removeSync(`${root}/sys/devices/pci0000:00/0000:00:1c.0`, { recursive: true });
  for (const n of [2, 3]) Deno.removeSync(`${root}/sys/class/hwmon/hwmon${n}`);
  Deno.removeSync(`${root}/sys/devices/pci0000:00/0000:00:1d.0`, { recursive: true });
  plant(
    root,
    monitor(2, "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0", {
      ...{ name: "nvme", temp1_label: "Composite", temp1_input: 38900 },
    }),
  );
  assertEquals(await disks(), []);
  const anew = openSources(["system"], { root, now: NOW });
  assertEquals(
    (await readAll(anew)).readings.find(({ name }) => name.includes("nvme")),
    { name: "temperature_nvme_pci_0200_composite_celsius", value: 38.9 },
  );
});

/** Two interfaces on a machine of which the test changes the bytes. */
function links(...lines: [name: string, index: number, rx: number][]) {
  return Object.assign(
    proc(),
    ...lines.map(([name, index, rx]) =>
      net(name, { index, rx, tx: 1, device: `pci0000:00/${name}` })
    ),
  );
}

Deno.test("network counters are sums of what is added: none falls when a link goes, comes back or starts again (S8)", async () => {
  using machine = makeMachine(links(["eth0", 2, 1000], ["wwan0", 3, 5000]));
  const { root } = machine;
  const sources = openSources(["system"], { root });
  const read = async (...lines: Parameters<typeof links>) => {
    Deno.removeSync(`${root}/sys`, { recursive: true });
    plant(root, links(...lines));
    const { readings } = await readAll(sources);
    const named = new Map(readings.map(({ name, value }) => [name, value]));
    return ["", "_eth0", "_wwan0"].map((name) => named.get(`network${name}_receive_bytes_total`));
  };
  assertEquals(await read(["eth0", 2, 1000], ["wwan0", 3, 5000]), [6000, 1000, 5000]);
  assertEquals(await read(["eth0", 2, 1100], ["wwan0", 3, 5500]), [6600, 1100, 5500]);
  // Gone; then another one of that name, which has brought more already; then a counter that starts again from 0.
  assertEquals(await read(["eth0", 2, 1150]), [6650, undefined, undefined]);
  assertEquals(await read(["eth0", 2, 1150], ["wwan0", 9, 6000]), [12650, 1150, 11500]);
  assertEquals(await read(["eth0", 2, 7], ["wwan0", 9, 6001]), [12658, 1157, 11501]);
});

Deno.test("network readings of more than 16 interfaces leave out the rest, which is told once and counted (S8)", async () => {
  using machine = makeMachine(
    links(
      ...Array.from({ length: 20 }, (_, n): [string, number, number] => [`eth${n}`, n + 2, 10]),
    ),
  );
  const sources = openSources(["system"], { root: machine.root });
  const first = await readAll(sources);
  assertStringIncludes(
    first.failures.map(({ error }) => error.message).join(),
    "left out are eth16, eth17, eth18, eth19",
  );
  const second = await readAll(sources);
  assertEquals(second.failures, []);
  for (const { readings } of [first, second]) {
    const network = readings.filter(({ name }) => name.startsWith("network_"));
    assertEquals(network.length, 2 + 2 * 16);
    assertEquals(network[0]!.value, 200);
  }
});

Deno.test("system source without the right to read tells which path, and reads the rest", async () => {
  using machine = makeMachine("raspberry-pi-4");
  const { root } = machine;
  const worker = `
    import { openSources, readAll } from ${
    JSON.stringify(new URL("../../lib/sources/mod.ts", import.meta.url).href)
  };
    const { readings, failures } = await readAll(openSources(["system"], { root: ${
    JSON.stringify(root)
  } }));
    console.log(JSON.stringify({
      names: readings.map(({ name }) => name),
      failures: failures.map(({ source, error }) => [source, error.message, error.hint]),
    }));`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-check", "--frozen", "--no-prompt", `--allow-read=${root}/proc/loadavg`],
      `data:application/typescript,${encodeURIComponent(worker)}`,
    ],
    stderr: "null",
  }).output();
  const { names, failures } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(names, ["cpu_load_1m", "cpu_load_5m", "cpu_load_15m"]);
  const paths = [
    "/proc/meminfo",
    "/proc/stat",
    "/proc/uptime",
    "",
    "/proc/net/dev",
    "/sys/class/thermal",
  ];
  assertEquals(failures.length, paths.length);
  for (const [index, path] of paths.entries()) {
    const [source, message, hint] = failures[index];
    assertEquals(source, "system");
    assertStringIncludes(message, `"${root}${path}"`);
    assertStringIncludes(hint, "--allow-read=");
  }
});

Deno.test({
  name: "system source with scoped permissions asks Deno, and tells once what it cannot see",
  permissions: {
    read: sourcePaths(["system"]),
    sys: ["loadavg", "systemMemoryInfo", "osUptime", "statfs"],
  },
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { readings } = await readAll(openSources(["system"]));
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
      sourceLimits(["system@60s"])!.message,
      "network bytes and sensors",
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
  using machine = makeMachine("x86-vm");
  const sources = openSources(["system"], { root: machine.root, now: NOW });
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

Deno.test("onceAtATime gives a value that came too late for one message to the next one, if it is fresh (S6)", async () => {
  let nowMs = 0;
  let value = 0;
  let pending = Promise.withResolvers<readonly Reading[]>();
  const guarded = onceAtATime(source("slow", () => pending.promise), () => nowMs);
  const answer = async (atMs: number) => {
    nowMs = atMs;
    const { promise, resolve } = pending;
    pending = Promise.withResolvers();
    resolve([{ name: "t", value: ++value }]);
    await promise;
    await Promise.resolve();
  };
  const valueNow = async (atMs: number) => {
    nowMs = atMs;
    const { readings } = await readAll([guarded], { timeoutMs: 1 });
    return readings[0]?.value;
  };
  assertEquals(await valueNow(0), undefined);
  assertEquals(await valueNow(1000), undefined);
  await answer(1500);
  assertEquals(await valueNow(2000), 1);
  await answer(3500);
  assertEquals(await valueNow(4000), 2);
  await answer(5500);
  // It is no longer the value of now.
  assertEquals(await valueNow(20_000), undefined);
  await answer(21_000);
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
      "file:a_celsius=/sys/bus/i2c/devices/1-0048/hwmon/hwmon*/temp1_input*0.001@1s",
      "file:a=/x/y@5",
      "disk:data=/var/data",
      "disk:data=/var/data@1h",
      "system@60s",
      "clock@1.5s",
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
    ["", "must be system, clock, self, stdin, none, file:NAME=PATH or disk:NAME=PATH"],
    ["prometheus", "must be system, clock, self, stdin, none, file:NAME=PATH or disk:NAME=PATH"],
    ["disc:a=/b", 'did you mean "disk:NAME=PATH"?'],
    ["disk:/data", '"=" is missing'],
    ["disk:a=", "PATH is empty"],
    ["disk:1=/x", 'current NAME is "1"'],
    ["stdin@1s", "must be stdin without an interval"],
    ["system@50ms", 'an interval from 100ms to 24h: current interval is "50ms"'],
    ["clock@25h", 'an interval from 100ms to 24h: current interval is "25h"'],
    ["file:a=/*/x", 'must name the folder that it looks in: "/" would be all that there is'],
    ["file:a=/proc/*/stat", 'must name the folder that it looks in: "/proc"'],
    ["file:a=/x*2b", 'current SCALE is "2b"'],
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
  assertStringIncludes(sourcesProblem(["disk:a=/x", "disk:a=/y"])!, 'name "a" to two disks');
  assertStringIncludes(sourcesProblem(["system@1s", "system@2s"])!, '"system" twice');
});

Deno.test("sourcesProblem refuses an empty list", () => {
  assertEquals(sourcesProblem([]), "must name at least one source");
});

Deno.test("sourcePaths names plain files as they are and kernel files in the host view", () => {
  assertEquals(
    sourcePaths([
      "file:a=/var/a*2",
      "file:b=rel/b@1s",
      "file:c=/sys/./x/../bus/c*0.1",
      "file:d=/sys/bus/w1/devices/28-*/temperature*0.001",
      "file:e=logs/*/level",
      "disk:data=/var/data@1h",
    ]),
    [
      "/var/a",
      "rel/b",
      "/run/mqtt443/host/sys/bus/c",
      "/run/mqtt443/host/sys/bus/w1/devices",
      "logs",
      "/var/data",
    ],
  );
});

Deno.test("sourcePaths of stdin are none, and of the clock the zone", () => {
  assertEquals(sourcePaths(["stdin"]), []);
  assertEquals(sourcePaths(["clock"]), ["/etc/localtime"]);
  assertEquals(sourceSysKinds(["clock"]), []);
  assertEquals(sourceSysKinds(["disk:a=/x"]), ["statfs"]);
});

Deno.test("sourcePaths of system is a closed list (F9)", () => {
  const view = [
    ...["loadavg", "meminfo", "stat", "uptime", "net/dev", "net/pppoe"].map((file) =>
      `proc/${file}`
    ),
    ...["max", "current", "stat"].map((file) => `sys/fs/cgroup/memory.${file}`),
    ...["limit_in_bytes", "usage_in_bytes", "stat"].map((file) =>
      `sys/fs/cgroup/memory/memory.${file}`
    ),
    ...["class/thermal", "class/hwmon", "class/net", "devices"].map((folder) => `sys/${folder}`),
  ];
  assertEquals(sourcePaths(["system@60s"]), [
    "/run/mqtt443/host/root/sys",
    "/etc/group",
    "/bin/sh",
    ...view.map((path) => `/run/mqtt443/host/${path}`),
  ]);
});

Deno.test("names are wanted that match one of only, and none of except", () => {
  const wants = nameFilter(["cpu_*", "disk_?sed_bytes"], ["*_15m"]);
  const names = ["cpu_load_1m", "cpu_load_15m", "disk_used_bytes", "disk_total_bytes", "xcpu_a"];
  assertEquals(names.filter(wants), ["cpu_load_1m", "disk_used_bytes"]);
  assertEquals(names.filter(nameFilter(undefined, undefined)), names);
});

Deno.test("readAll leaves out what is not wanted, and tells when nothing is left", async () => {
  const sources = [{ name: "s", read: () => [{ name: "a", value: 1 }, { name: "b", value: 2 }] }];
  assertEquals(await readAll(sources, { wants: nameFilter(["b"], undefined) }), {
    readings: [{ name: "b", value: 2 }],
    failures: [],
  });
  const { failures } = await readAll(sources, { wants: nameFilter(["c"], undefined) });
  assertStringIncludes(failures[0]!.error.message, "--only and --except leave none");
});
