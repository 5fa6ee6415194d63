import { assertEquals } from "@std/assert";
import { openSources, readAll } from "../../lib/sources/mod.ts";
import { namedZone, posixZone, zoneReader } from "../../lib/sources/zone.ts";
import { isSynchronised } from "../../lib/sources/synchronised.ts";

/** POSIX rules, and zones that have followed them for some years. */
const SAME = [
  ["CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"],
  ["EST5EDT,M3.2.0,M11.1.0", "America/New_York"],
  ["EST5EDT", "America/New_York"],
  ["NST3:30NDT,M3.2.0,M11.1.0", "America/St_Johns"],
  ["AEST-10AEDT,M10.1.0,M4.1.0/3", "Australia/Sydney"],
  ["<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "Australia/Lord_Howe"],
  ["<-03>3", "America/Sao_Paulo"],
  ["IST-5:30", "Asia/Kolkata"],
  ["<+0545>-5:45", "Asia/Kathmandu"],
  ["IST-2IDT,M3.4.4/26,M10.5.0", "Asia/Jerusalem"],
  ["<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "America/Nuuk"],
  ["UTC0", "UTC"],
] as const;

for (const [rule, name] of SAME) {
  Deno.test(`zone ${rule} is that of ${name}, hour by hour for two years (S11)`, () => {
    const [ours, theirs] = [posixZone(rule)!, namedZone(name)!];
    for (let ms = Date.UTC(2026, 0, 1); ms < Date.UTC(2028, 0, 1); ms += 3_600_000) {
      const time = new Date(ms);
      assertEquals(ours(time), theirs(time), time.toISOString());
    }
  });
}

Deno.test("zone rules may name days by their number, with the 29th of February or without (S11)", () => {
  const offset = (rule: string, day: string) => posixZone(rule)!(new Date(`${day}T12:00:00Z`));
  // The 1st of March is J60 in each year, and day 60 (from 0) in a leap year.
  assertEquals(["2027-02-28", "2027-03-01"].map((day) => offset("AAA0BBB,J60/0,J300", day)), [
    0,
    60,
  ]);
  assertEquals(["2028-02-29", "2028-03-01"].map((day) => offset("AAA0BBB,J60/0,J300", day)), [
    0,
    60,
  ]);
  assertEquals(["2028-02-29", "2028-03-01"].map((day) => offset("AAA0BBB,60/0,300", day)), [0, 60]);
  assertEquals(["2027-03-01", "2027-03-02"].map((day) => offset("AAA0BBB,60/0,300", day)), [0, 60]);
});

for (
  const text of [
    "",
    "Europe/Berlin",
    "CET",
    "CET-1CEST,M13.5.0,M10.5.0",
    "AB1",
    "CET-1CEST,M3.5.0",
    "X,Y",
  ]
) {
  Deno.test(`zone ${JSON.stringify(text)} is no POSIX rule`, () => {
    assertEquals(posixZone(text), undefined);
  });
}

/** The local time that `clock` gives. */
async function clockWith(tz: string): Promise<unknown> {
  const now = () => new Date("2026-07-15T10:00:00Z");
  return (await readAll(openSources(["clock"], { now, tz }))).readings[0]?.value;
}

Deno.test("clock source follows the variable TZ: rules, names, names with a colon (S11)", async () => {
  assertEquals(await clockWith("CET-1CEST,M3.5.0,M10.5.0/3"), "2026-07-15T12:00:00");
  assertEquals(await clockWith("America/New_York"), "2026-07-15T06:00:00");
  assertEquals(await clockWith(":Asia/Kathmandu"), "2026-07-15T15:45:00");
  assertEquals(await clockWith("<-03>3"), "2026-07-15T07:00:00");
});

Deno.test("clock source tells once that TZ is no zone, and gives the time of UTC (S11)", async () => {
  const now = () => new Date("2026-07-15T10:00:00Z");
  const sources = openSources(["clock"], { now, tz: "Mars/Olympus" });
  const { readings, failures } = await readAll(sources);
  assertEquals(readings[0]?.value, "2026-07-15T10:00:00");
  assertEquals(failures.map(({ error }) => error.message), [
    'Cannot use source "clock": TZ is "Mars/Olympus", which is no zone: the time is that of UTC',
  ]);
  assertEquals((await readAll(sources)).failures, []);
});

Deno.test("zone of the system counts from when it is set, a link or a file (S11)", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/localtime`;
    const zone = zoneReader(undefined, path);
    const summer = new Date("2026-07-15T10:00:00Z");
    const here = -summer.getTimezoneOffset();
    assertEquals(zone()(summer), here);
    for (
      const [name, minutes] of [["Europe/Berlin", 120], ["posix/Asia/Kolkata", 330], [
        "UTC",
        0,
      ]] as const
    ) {
      await Deno.remove(path).catch(() => {});
      await Deno.symlink(`/usr/share/zoneinfo/${name}`, path);
      assertEquals(zone()(summer), minutes, name);
    }
    await Deno.remove(path);
    await Deno.writeFile(
      path,
      new TextEncoder().encode("TZif2\0\xff…\nAEST-10AEDT,M10.1.0,M4.1.0/3\n"),
    );
    assertEquals(zone()(summer), 600);
    assertEquals(zone()(new Date("2026-01-15T10:00:00Z")), 660);
    await Deno.remove(path);
    assertEquals(zone()(summer), here);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("clock is synchronised when systemd-timesyncd says so, not when it does not, and nobody knows without it (S11)", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const isSet = isSynchronised(`${folder}/timesync`);
    assertEquals(isSet(), undefined);
    await Deno.mkdir(`${folder}/timesync`);
    assertEquals(isSet(), false);
    await Deno.writeTextFile(`${folder}/timesync/synchronized`, "");
    assertEquals(isSet(), true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
