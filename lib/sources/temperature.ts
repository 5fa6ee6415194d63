/**
 * Temperatures in degrees Celsius: thermal zones and hardware monitors.
 *
 * The sensors are looked for once a minute and only their values are read in between. Names come from the kernel's
 * labels (`temperature_cpu_thermal_celsius`, `temperature_coretemp_core_0_celsius`) and are settled when the
 * sensors are looked for, so that one that fails does not rename the others. A monitor that bears the name of a
 * thermal zone is the same sensor once more, and is left out. A sensor that cannot be read now is absent.
 *
 * Reading is asynchronous, unlike that of /proc: a sensor behind a slow bus may take tenths of a second.
 */

import type { Reading } from "../core/message.ts";
import { below, rightsError } from "./host.ts";
import { slug, uniqueNames } from "./names.ts";

/** How long a list of sensors holds, ms: a module may be loaded, a disk plugged in. */
const RESCAN_MS = 60_000;
/** Coldest and hottest value believed, °C: what is missing or broken reports -128, -273, 255 or 65261. */
const COLDEST = -80;
const HOTTEST = 200;

/** A file that holds a temperature. */
export interface Sensor {
  /** Name of the reading. */
  readonly name: string;
  /** Path of the file with the thousandths of a degree. */
  readonly path: string;
}

/** Parses thousandths of a degree; undefined when malformed or absurd. */
export function parseMillidegrees(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^-?\d{1,9}$/.test(trimmed)) return undefined;
  const celsius = Number(trimmed) / 1000;
  return celsius >= COLDEST && celsius <= HOTTEST ? celsius : undefined;
}

/**
 * Looks for the sensors of a machine.
 *
 * @param root Root of /sys.
 * @throws {UserError} When a folder or a label is there and Deno forbids to read it.
 */
export async function findSensors(root = "/"): Promise<Sensor[]> {
  const unique = uniqueNames();
  const sensors: Sensor[] = [];
  const add = (label: string, path: string) => {
    const name = unique(
      ["temperature", label].filter((part) => part !== "").join("_"),
    );
    sensors.push({ name: `${name}_celsius`, path });
  };

  const zones = below(root, "/sys/class/thermal");
  const zoneLabels = new Set<string>();
  for (const zone of await list(zones, /^thermal_zone(\d+)$/)) {
    const label = slug(await readText(`${zones}/${zone}/type`) ?? "zone");
    zoneLabels.add(label);
    add(label, `${zones}/${zone}/temp`);
  }

  const monitors = below(root, "/sys/class/hwmon");
  for (const monitor of await list(monitors, /^hwmon(\d+)$/)) {
    const folder = `${monitors}/${monitor}`;
    const label = slug(await readText(`${folder}/name`) ?? "hwmon");
    if (zoneLabels.has(label)) continue;
    const inputs = await list(folder, /^temp(\d+)_input$/);
    for (const input of inputs) {
      const stem = input.slice(0, -"_input".length);
      const own = await readText(`${folder}/${stem}_label`);
      const part = own !== undefined ? slug(own) : inputs.length > 1 ? stem : "";
      add(
        [label, part].filter((part) => part !== "").join("_"),
        `${folder}/${input}`,
      );
    }
  }
  return sensors;
}

/**
 * Reads sensors; those that give no believable value are left out.
 *
 * @throws {UserError} When Deno forbids to read one.
 */
export async function readSensors(
  sensors: readonly Sensor[],
): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const { name, path } of sensors) {
    const value = parseMillidegrees(await readText(path) ?? "");
    if (value !== undefined) readings.push({ name, value });
  }
  return readings;
}

/**
 * Returns a function that reads the temperatures of a machine, and looks for its sensors once a minute.
 *
 * @param root Root of /sys.
 */
export function temperatureReader(
  root: string,
  now: () => Date,
): () => Reading[] | Promise<Reading[]> {
  let sensors: readonly Sensor[] = [];
  let foundAtMs = -Infinity;
  const readAnew = async () => {
    sensors = await findSensors(root);
    foundAtMs = now().getTime();
    return await readSensors(sensors);
  };
  return () => {
    const ageMs = now().getTime() - foundAtMs;
    // A clock set back must not keep the list for years.
    if (ageMs < 0 || ageMs >= RESCAN_MS) return readAnew();
    return sensors.length === 0 ? [] : readSensors(sensors);
  };
}

/** Names in a folder that match, by their number; none when there is no such folder. */
async function list(folder: string, pattern: RegExp): Promise<string[]> {
  const found: { name: string; number: number }[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const match = pattern.exec(name);
      if (match !== null) found.push({ name, number: Number(match[1]) });
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw rightsError(folder, error);
    }
    return []; // no such folder on this machine
  }
  return found.sort((a, b) => a.number - b.number).map(({ name }) => name);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw rightsError(path, error);
    return undefined; // ENODATA, EIO, EAGAIN: switched off, or asleep
  }
}
