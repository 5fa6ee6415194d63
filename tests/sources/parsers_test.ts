import { assertAlmostEquals, assertEquals } from "@std/assert";
import { clockReadings } from "../../lib/sources/clock.ts";
import { parseStat } from "../../lib/sources/cpu.ts";
import { diskReadings } from "../../lib/sources/disk.ts";
import { parseLoadavg, readLoadavg } from "../../lib/sources/loadavg.ts";
import { parseMeminfo, readMeminfo } from "../../lib/sources/meminfo.ts";
import { slug, uniqueNames } from "../../lib/sources/names.ts";
import { parseNetDev } from "../../lib/sources/network.ts";
import { parseMillidegrees } from "../../lib/sources/temperature.ts";
import { parseUptime } from "../../lib/sources/uptime.ts";

const HEAD = "Inter-|   Receive\n face |bytes    packets\n";

function netLine(name: string, receive: string, transmit: string): string {
  return `${name}: ${receive} 1 0 0 0 0 0 0 ${transmit} 1 0 0 0 0 0 0\n`;
}

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
  assertEquals(readMeminfo(null).slice(0, 3).map(({ name }) => name), names);
});

Deno.test("stat parser counts CPUs, not their sum", () => {
  assertEquals(parseStat("cpu  1 2\ncpu0 1 2\ncpu10 1 2\nintr 1\n"), [
    { name: "cpu_count", value: 2 },
  ]);
});

Deno.test("uptime parser gives nothing for what is not an uptime", () => {
  for (const text of ["", "12", "1e3 2", "x.y z"]) {
    assertEquals(parseUptime(text), []);
  }
});

Deno.test("net parser counts each byte once", () => {
  const virtual = [
    "lo",
    "veth0",
    "docker0",
    "br0",
    "br-1a2b",
    "bond0",
    "eth0.7",
    "wg0",
    "tun0",
  ];
  const text = HEAD + netLine("eth0", "7", "8") +
    virtual.map((n) => netLine(n, "1", "1")).join("");
  assertEquals(parseNetDev(text), [
    { name: "network_receive_bytes", value: 7 },
    { name: "network_transmit_bytes", value: 8 },
  ]);
});

Deno.test("net parser counts the links of a gateway, cellular and low-power radio too", () => {
  const names = ["enp1s0", "wlan0", "wwan0", "ppp0", "usb0", "lowpan0", "end0"];
  const text = HEAD + names.map((name) => netLine(name, "1", "2")).join("");
  assertEquals(parseNetDev(text)[0], {
    name: "network_receive_bytes",
    value: names.length,
  });
});

Deno.test("net parser gives totals alone for more than eight interfaces", () => {
  const text = HEAD +
    Array.from({ length: 9 }, (_, i) => netLine(`eth${i}`, "1", "2")).join("");
  assertEquals(parseNetDev(text).length, 2);
});

Deno.test("net parser reads a line without a space after the colon", () => {
  const [receive] = parseNetDev("eth0:95406808 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0");
  assertEquals(receive?.value, 95406808);
});

Deno.test("net parser leaves out a malformed line and keeps the others", () => {
  const text = HEAD + netLine("eth0", "-1", "x") + netLine("eth1", "3", "4");
  assertEquals(parseNetDev(text)[0]?.value, 3);
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
  Deno.test(`temperature parser makes ${value} of ${JSON.stringify(text)}`, () => {
    assertEquals(parseMillidegrees(text), value);
  });
}

Deno.test("disk readings keep apart what is used and what users may still use", () => {
  assertEquals(
    diskReadings({ bsize: 4096, blocks: 100, bfree: 40, bavail: 35 }),
    [
      { name: "disk_total_bytes", value: 409600 },
      { name: "disk_used_bytes", value: 245760 },
      { name: "disk_available_bytes", value: 143360 },
    ],
  );
});

Deno.test("disk readings are none for a file system without blocks", () => {
  assertEquals(
    diskReadings({ bsize: 4096, blocks: 0, bfree: 0, bavail: 0 }),
    [],
  );
});

Deno.test("clock readings have two digits everywhere", () => {
  assertEquals(
    clockReadings(new Date(2027, 0, 2, 3, 4, 5))[0]?.value,
    "2027-01-02T03:04:05",
  );
});

Deno.test("slug leaves only letters, digits and single underscores", () => {
  assertEquals(slug(" x86_pkg--temp (°C)\n"), "x86_pkg_temp_c");
  assertEquals(slug("温度"), "");
});

Deno.test("unique names number what comes twice, past a name already taken", () => {
  const unique = uniqueNames();
  assertEquals(["a", "a_2", "a", "a"].map(unique), ["a", "a_2", "a_3", "a_4"]);
});
