/**
 * All readings of `system`, `clock`, `self` and `disk:`, for people: lib/sources/README.md shows this table, and a test holds every
 * reading of every machine against it.
 */

/** A reading, or readings whose names differ in what is between `{}`. */
export interface ReadingRow {
  readonly name: string;
  /** As OpenMetrics has it; a text is no metric there. */
  readonly type: "gauge" | "counter" | "text";
  readonly unit: string;
  readonly from: string;
  readonly on: string;
}

/** The table, in the order of a message. */
export const READINGS: readonly ReadingRow[] = [
  row("cpu_load_1m, cpu_load_5m, cpu_load_15m", "", "/proc/loadavg, or sysinfo(2)", "all"),
  row(
    "memory_total_bytes",
    "bytes",
    "/proc/meminfo, or sysinfo(2); cgroup limit, where it is less",
    "all",
  ),
  row("memory_available_bytes", "bytes", "the same, without what cannot be freed", "all"),
  row("memory_used_bytes", "bytes", "total minus available", "all"),
  row("swap_total_bytes, swap_used_bytes", "bytes", "/proc/meminfo, or sysinfo(2)", "with swap"),
  row("cpu_count", "", "/proc/stat, or the CPUs this process may use", "all"),
  row(
    "cpu_used_ratio",
    "0 to 1",
    "/proc/stat, since the reading before",
    "all, from the second reading on",
  ),
  row("uptime_seconds", "seconds", "/proc/uptime, or sysinfo(2)", "all"),
  row("disk_total_bytes, disk_used_bytes, disk_available_bytes", "bytes", "statfs(2) of /", "all"),
  row(
    "disk_total_inodes, disk_used_inodes",
    "inodes",
    "statfs(2) of /",
    "file systems that count them",
  ),
  row(
    "disk_{NAME}_total_bytes, disk_{NAME}_used_bytes, disk_{NAME}_available_bytes",
    ...["bytes", "statfs(2) of PATH", "source disk:NAME=PATH"] as const,
  ),
  row(
    "disk_{NAME}_total_inodes, disk_{NAME}_used_inodes",
    ...["inodes", "statfs(2) of PATH", "source disk:NAME=PATH"] as const,
  ),
  row(
    "network_receive_bytes_total, network_transmit_bytes_total",
    "bytes",
    "/proc/net/dev: each byte once",
    "all",
  ),
  row(
    "network_{INTERFACE}_receive_bytes_total, network_{INTERFACE}_transmit_bytes_total",
    ...["bytes", "/proc/net/dev", "two interfaces or more; the first 16"] as const,
  ),
  row(
    "temperature_{ZONE}_celsius",
    "°C",
    "/sys/class/thermal/thermal_zone*/temp",
    "with thermal zones",
  ),
  row(
    "temperature_{CHIP}_celsius",
    "°C",
    "/sys/class/hwmon/hwmon*/temp*_input",
    "with hardware monitors",
  ),
  row(
    "fan_{CHIP}_rpm",
    "turns a minute",
    "/sys/class/hwmon/hwmon*/fan*_input",
    "with hardware monitors",
  ),
  row(
    "voltage_{CHIP}_volts",
    "volts",
    "/sys/class/hwmon/hwmon*/in*_input",
    "with hardware monitors",
  ),
  row(
    "current_{CHIP}_amperes",
    "amperes",
    "/sys/class/hwmon/hwmon*/curr*_input",
    "with hardware monitors",
  ),
  row("under_voltage", "0 or 1", "in0_lcrit_alarm of rpi_volt", "Raspberry Pi"),
  row("queue_messages", "", "the queue", "source self"),
  row("queue_bytes", "bytes", "the queue", "source self"),
  row("queue_oldest_seconds", "seconds", "the queue: 0 if nothing waits", "source self"),
  row("published_total, dropped_total", "", "this program, since its start", "source self"),
  row("quarantined_total", "", "the queue: what is kept set aside", "source self"),
  row("reconnects_total", "", "this program: sessions after the first", "source self"),
  row(
    "puback_p50_seconds, puback_p99_seconds",
    "seconds",
    "the last 512 PUBACKs",
    "source self, after the first PUBACK",
  ),
  row("certificate_days_left", "days", "the device certificate", "source self, with a certificate"),
  row(
    "local_time",
    "YYYY-MM-DDTHH:MM:SS",
    "the clock, in the zone of TZ or /etc/localtime",
    "source clock",
  ),
];

function row(name: string, unit: string, from: string, on: string): ReadingRow {
  const type = name.endsWith("_total") ? "counter" : name === "local_time" ? "text" : "gauge";
  return { name, type, unit, from, on };
}

/** The table in Markdown. */
export function readingsTable(): string {
  const rows = READINGS.map(({ name, type, unit, from, on }) => {
    const names = name.split(", ").map((each) => `\`${each}\``).join(" ");
    return `| ${names} | ${type} | ${unit || "–"} | ${from} | ${on} |`;
  });
  return [
    "| name | type | unit | where from | on which machines |",
    "|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}
