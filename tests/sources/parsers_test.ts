import { assertAlmostEquals, assertEquals } from "@std/assert";
import { clockReadings } from "../../lib/sources/clock.ts";
import { parseStat, usageBetween } from "../../lib/sources/cpu.ts";
import { diskReadings } from "../../lib/sources/disk.ts";
import { parseLoadavg, readLoadavg } from "../../lib/sources/loadavg.ts";
import { parseMeminfo, readMemory, withinGroup } from "../../lib/sources/meminfo.ts";
import { chipLabel, slug } from "../../lib/sources/names.ts";
import { parseNetDev, rolesOf } from "../../lib/sources/network.ts";
import { parseSensor } from "../../lib/sources/sensors.ts";
import { parseUptime } from "../../lib/sources/uptime.ts";

for (
  const text of [
    "",
    "1.0",
    "0.1 0.2 NaN 1/2 3",
    "-1.0 0.2 0.3 1/2 3",
    "a b c d e\n",
  ]
) {
  Deno.test(`loadavg parser gives nothing for ${JSON.stringify(text)}`, () => {
    assertEquals(parseLoadavg(text), []);
  });
}

Deno.test("loadavg parser reads a load of more than a hundred", () => {
  assertEquals(parseLoadavg("123.45 99.00 7.01 1/2 3\n")[0], {
    name: "cpu_load_1m",
    value: 123.45,
  });
});

Deno.test("loadavg of Deno has the two decimals of the kernel", () => {
  for (const { value } of readLoadavg(null)) {
    assertAlmostEquals(
      Number(value) * 100,
      Math.round(Number(value) * 100),
      1e-9,
    );
  }
});

Deno.test("meminfo parser leaves out what needs a missing field", () => {
  assertEquals(parseMeminfo("MemTotal:        1000 kB\n"), [
    { name: "memory_total_bytes", value: 1_024_000 },
  ]);
});

Deno.test("meminfo parser takes a field for no other that ends in its name", () => {
  assertEquals(
    parseMeminfo("XMemTotal:        1000 kB\nHMemTotal: 5 kB\n"),
    [],
  );
});

Deno.test("meminfo parser leaves out used memory that would be negative", () => {
  assertEquals(
    parseMeminfo("MemTotal: 1 kB\nMemAvailable: 2 kB\n").map(({ name }) => name),
    [
      "memory_total_bytes",
      "memory_available_bytes",
    ],
  );
});

Deno.test("meminfo of Deno has the names of meminfo of the kernel", () => {
  const names = parseMeminfo("MemTotal: 2 kB\nMemAvailable: 1 kB\n").map((
    { name },
  ) => name);
  assertEquals(
    readMemory({ proc: null, sys: "/nonexistent" }).slice(0, 3).map(({ name }) => name),
    names,
  );
});

Deno.test("stat parser counts CPUs, not their sum", () => {
  assertEquals(parseStat("cpu  1 2\ncpu0 1 2\ncpu10 1 2\nintr 1\n"), { count: 2, time: undefined });
});

Deno.test("uptime parser gives nothing for what is not an uptime", () => {
  for (const text of ["", "12", "1e3 2", "x.y z"]) {
    assertEquals(parseUptime(text), []);
  }
});

Deno.test("net parser reads a line without a space after the colon, and leaves out a malformed one", () => {
  const text =
    "face |bytes\neth0:95406808 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\neth1: -1 x\neth2: 3 1 0 0 0 0 0 0 4\n";
  assertEquals(parseNetDev(text), [
    { name: "eth0", receive: 95406808, transmit: 5 },
    { name: "eth2", receive: 3, transmit: 4 },
  ]);
});

const hardware = (more: readonly string[] = []) => ({
  index: "2",
  type: "1",
  entries: ["device", ...more],
});
const virtual = (more: readonly string[] = [], type = "1") => ({ index: "2", type, entries: more });

Deno.test("roles of interfaces are what the kernel says, whatever their names (S8)", () => {
  const roles = rolesOf(
    new Map([
      ["br0", hardware()],
      ["uplink", hardware()],
      ["lan1", hardware(["lower_uplink"])],
      ["bond", virtual(["lower_uplink"])],
      ["eth7", virtual(["master"])],
      ["eth8", virtual()],
      ["can", { ...hardware(), type: "280" }],
      ["lo", virtual([], "772")],
    ]),
    false,
  );
  assertEquals([...roles].filter(([, role]) => role === "counted").map(([name]) => name), [
    "br0",
    "uplink",
  ]);
  assertEquals([...roles].filter(([, role]) => role === "listed").map(([name]) => name), ["lan1"]);
});

Deno.test("roles of PPP: counted on a serial line, listed alone over Ethernet (S8)", () => {
  const interfaces = new Map([["eth0", hardware()], ["ppp0", virtual([], "512")]]);
  assertEquals(rolesOf(interfaces, false).get("ppp0"), "counted");
  assertEquals(rolesOf(interfaces, true).get("ppp0"), "listed");
  // A modem on a serial line and nothing else.
  assertEquals(rolesOf(new Map([["ppp0", virtual([], "512")]]), false).get("ppp0"), "counted");
});

Deno.test("roles without hardware, as in a container: what no other one carries (S8)", () => {
  const roles = rolesOf(
    new Map([["lo", virtual([], "772")], ["eth0", virtual()], ["tun0", virtual([], "65534")]]),
    false,
  );
  assertEquals([...roles.values()], [undefined, "counted", undefined]);
});

for (
  const [text, value] of [
    ["48312\n", 48.312],
    ["-12500", -12.5],
    ["0\n", 0],
    ["200000", 200],
    ["255000", undefined],
    ["-128000", undefined],
    ["65261850", undefined],
    ["", undefined],
    ["NaN", undefined],
    ["4.8", undefined],
  ] as const
) {
  Deno.test(`sensor parser makes ${value} of ${JSON.stringify(text)}`, () => {
    assertEquals(parseSensor(text, { per: 1000, least: -80, most: 200 }), value);
  });
}

for (
  const [chip, path, label] of [
    ["coretemp", "platform/coretemp.0", "coretemp"],
    ["coretemp", "platform/coretemp.1", "coretemp_1"],
    ["nct6775", "platform/nct6775.656", "nct6775_656"],
    ["k10temp", "pci0000:00/0000:00:18.3", "k10temp_pci_00c3"],
    ["nvme", "pci0000:00/10000:e1:00.0/nvme/nvme0", "nvme_pci_10000e100"],
    ["lm75", "platform/soc/30a20000.i2c/i2c-0/0-0048", "lm75_i2c_0_48"],
    ["adt7310", "platform/soc/spi0/spi0.1", "adt7310_spi_0_1"],
    [
      "corsairpsu",
      "pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0/0003:1B1C:1C0A.0001",
      "corsairpsu_usb_1_4",
    ],
    ["BAT0", "LNXSYSTM:00/PNP0C0A:00/power_supply/BAT0", "bat0"],
    ["ntc", "platform/thermistor-a", "ntc_thermistor_a"],
    ["virtual", "virtual", "virtual"],
    ["", "platform/x.0", "chip_x_0"],
  ] as const
) {
  Deno.test(`chip ${chip} at ${path} is ${label}, whatever else there is (S7)`, () => {
    assertEquals(chipLabel(chip, `/sys/devices/${path}`), label);
  });
}

Deno.test("memory is held against a container's limit, of either version of control groups", () => {
  const whole = parseMeminfo(
    "MemTotal: 2000 kB\nMemAvailable: 500 kB\nSwapTotal: 8 kB\nSwapFree: 8 kB\n",
  );
  const readings = (texts: string[]) =>
    Object.fromEntries(withinGroup(whole, texts).map(({ name, value }) => [name, value]));
  assertEquals(
    readings(["1000000\n", "700000\n", "inactive_file 1\ntotal_inactive_file 100000\n"]),
    {
      memory_total_bytes: 1000000,
      memory_available_bytes: 400000,
      memory_used_bytes: 600000,
      swap_total_bytes: 8192,
      swap_used_bytes: 0,
    },
  );
  for (const limit of ["max\n", "9223372036854771712\n", "0\n", ""]) {
    assertEquals(withinGroup(whole, [limit, "1\n", ""]), whole);
  }
});

Deno.test("CPU use is the share that was not idle, and never less than none", () => {
  const time = (text: string) => parseStat(text).time!;
  assertEquals(
    usageBetween(time("cpu  0 0 0 0 0 0 0 0\n"), time("cpu  10 0 20 60 10 0 0 0\n")),
    0.3,
  );
  assertEquals(usageBetween(time("cpu  0 0 0 50 0 0 0 0\n"), time("cpu  1 0 0 49 0 0 0 9\n")), 1);
  assertEquals(usageBetween(time("cpu  1 2 3 4\n"), time("cpu  1 2 3 4\n")), undefined);
});

Deno.test("disk readings keep apart what is used and what users may still use", () => {
  const blocks = { bsize: 4096, blocks: 100, bfree: 40, bavail: 35, files: 50, ffree: 20 };
  const bytes = [
    { name: "disk_data_total_bytes", value: 409600 },
    { name: "disk_data_used_bytes", value: 245760 },
    { name: "disk_data_available_bytes", value: 143360 },
  ];
  assertEquals(diskReadings("disk_data", blocks), [
    ...bytes,
    { name: "disk_data_total_inodes", value: 50 },
    { name: "disk_data_used_inodes", value: 30 },
  ]);
  assertEquals(diskReadings("disk_data", { ...blocks, files: 0, ffree: 0 }), bytes);
});

Deno.test("disk readings are none for a file system without blocks", () => {
  assertEquals(
    diskReadings("disk", { bsize: 4096, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0 }),
    [],
  );
});

Deno.test("clock readings have two digits everywhere", () => {
  assertEquals(
    clockReadings(new Date("2027-01-01T22:34:05.9Z"), 270)[0]?.value,
    "2027-01-02T03:04:05",
  );
});

Deno.test("slug leaves only letters, digits and single underscores", () => {
  assertEquals(slug(" x86_pkg--temp (°C)\n"), "x86_pkg_temp_c");
  assertEquals(slug("温度"), "");
});
