/**
 * Sensors of the machine: thermal zones, and the temperatures, fans, volts and currents of hardware monitors.
 *
 * The sensors are looked for once a minute and only their values are read in between, each by itself, as one behind a slow
 * bus may take tenths of a second and a broken one hangs. A sensor is read in the folder of its device, and not by the
 * number under which the kernel lists it: that number goes to another device after an unplug. Names are made of the
 * device alone (names.ts). Sensors that cannot be told apart are left out, and told. So are those that the kernel marks as
 * faulted or disabled; what cannot be read now is absent.
 */

import type { Reading } from "../core/message.ts";
import { below, rightsError } from "./host.ts";
import { chipLabel, slug } from "./names.ts";
import { onceAtATime, type Source, sourceError, type SourceGroup } from "./read_all.ts";

/** How long a list of sensors holds, ms: a module may be loaded, a disk plugged in. */
const RESCAN_MS = 60_000;

/** What hardware monitors measure, by the kernel's word for it. */
const KINDS: Readonly<Record<string, Kind>> = {
  // What is missing or broken reports -128, -273, 255 or 65261 degrees.
  temp: { word: "temperature", unit: "celsius", per: 1000, least: -80, most: 200 },
  fan: { word: "fan", unit: "rpm", per: 1, least: 0, most: 1e6 },
  in: { word: "voltage", unit: "volts", per: 1000, least: -1e4, most: 1e4 },
  curr: { word: "current", unit: "amperes", per: 1000, least: -1e4, most: 1e4 },
};

interface Kind {
  readonly word: string;
  readonly unit: string;
  /** How many of the file's numbers make one of the unit. */
  readonly per: number;
  /** Least and most that is believed. */
  readonly least: number;
  readonly most: number;
}

/** A file that holds a value. */
export interface Sensor extends Omit<Kind, "word" | "unit"> {
  /** Name of the reading. */
  readonly name: string;
  readonly path: string;
  /** A file beside it, and the text in it that says that the value is not to be believed. */
  readonly unless: readonly (readonly [path: string, text: string])[];
}

/** Parses a whole number of a sensor; undefined when malformed or beyond what is believed. */
export function parseSensor(
  text: string,
  { per, least, most }: Pick<Sensor, "per" | "least" | "most">,
): number | undefined {
  const trimmed = text.trim();
  if (!/^-?\d{1,9}$/.test(trimmed)) return undefined;
  const value = Number(trimmed) / per;
  return value >= least && value <= most ? value : undefined;
}

/**
 * Reads a sensor; nothing where it gives no value that can be believed.
 *
 * @throws {UserError} When Deno forbids to read it.
 */
export async function readSensor(sensor: Sensor): Promise<Reading[]> {
  const value = parseSensor(await readText(sensor.path) ?? "", sensor);
  if (value === undefined) return [];
  for (const [path, text] of sensor.unless) {
    if ((await readText(path))?.trim() === text) return [];
  }
  return [{ name: sensor.name, value }];
}

/** What {@linkcode findSensors} found. */
export interface FoundSensors {
  readonly sensors: readonly Sensor[];
  /** Names that more than one sensor would have; none of them is among the sensors. */
  readonly unclear: readonly string[];
}

/**
 * Looks for the sensors of a machine.
 *
 * @param root Root of /sys.
 * @throws {UserError} When a folder or a label is there and Deno forbids to read it.
 */
export async function findSensors(root = "/"): Promise<FoundSensors> {
  const zones = await each(below(root, "/sys/class/thermal"), /^thermal_zone\d+$/, zoneSensor);
  const taken = new Set(zones.flat().map(({ name }) => name));
  const monitors = await each(below(root, "/sys/class/hwmon"), /^hwmon\d+$/, monitorSensors);
  // A monitor that bears the name of a zone is the same sensor once more.
  const all = [...zones.flat(), ...monitors.flat().filter(({ name }) => !taken.has(name))];
  const groups = Map.groupBy(all, ({ name }) => name);
  return {
    sensors: all.filter(({ name }) => groups.get(name)!.length === 1),
    unclear: [...groups].filter(([, { length }]) => length > 1).map(([name]) => name),
  };
}

async function zoneSensor(folder: string): Promise<Sensor[]> {
  // Zones of one type (ACPI's) differ in their device: LNXTHERM:00, LNXTHERM:01.
  const device = await readLink(`${folder}/device`);
  const instance = parseInt(/[:.]([\da-f]+)$/.exec(device ?? "")?.[1] ?? "0", 16);
  const type = slug(await readText(`${folder}/type`) ?? "") || "zone";
  const label = instance === 0 ? type : `${type}_${instance}`;
  const unless = [[`${folder}/mode`, "disabled"]] as const;
  return [sensorOf("temp", label, `${folder}/temp`, unless)];
}

async function monitorSensors(folder: string): Promise<Sensor[]> {
  const device = folder.replace(/(\/hwmon)?\/hwmon\d+$/, "");
  // The kernel's own copy of a thermal zone.
  if (/\/thermal_zone\d+$/.test(device)) return [];
  const chip = await readText(`${folder}/name`) ?? "";
  const disk = /\/\d+:\d+:\d+:\d+$/.test(device) ? await readText(`${device}/wwid`) : undefined;
  const label = disk === undefined ? chipLabel(chip, device) : `${slug(chip)}_${slug(disk)}`;
  const files = new Set((await list(folder)).map(({ name }) => name));
  const inputs = [...files].flatMap((file) => {
    const [, stem, kind, number] = /^((temp|fan|in|curr)(\d+))_input$/.exec(file) ?? [];
    return stem === undefined ? [] : [{ stem, kind: kind!, number: Number(number) }];
  }).sort((a, b) => a.kind.localeCompare(b.kind) || a.number - b.number);
  const sensors: Sensor[] = [];
  const parts = await Promise.all(inputs.map(async ({ stem, kind }) => {
    const own = files.has(`${stem}_label`) ? await readText(`${folder}/${stem}_label`) : undefined;
    const isAlone = inputs.filter((other) => other.kind === kind).length === 1;
    return slug(own ?? "") || (isAlone ? "" : stem);
  }));
  for (const [at, { stem, kind }] of inputs.entries()) {
    const part = parts[at]!;
    const isTwice = inputs.some((other, i) => i !== at && other.kind === kind && parts[i] === part);
    const whole = [label, part, isTwice ? stem : ""].filter((part) => part !== "").join("_");
    const unless = [[`${stem}_fault`, "1"], [`${stem}_enable`, "0"]] as const;
    sensors.push(sensorOf(
      kind,
      whole,
      `${folder}/${stem}_input`,
      unless.filter(([file]) => files.has(file)).map(([file, text]) => [`${folder}/${file}`, text]),
    ));
  }
  // Of a Raspberry Pi: whether its supply is too weak.
  if (slug(chip) === "rpi_volt" && files.has("in0_lcrit_alarm")) {
    const path = `${folder}/in0_lcrit_alarm`;
    sensors.push({ name: "under_voltage", path, per: 1, least: 0, most: 1, unless: [] });
  }
  return sensors;
}

function sensorOf(kind: string, label: string, path: string, unless: Sensor["unless"]): Sensor {
  const { word, unit, ...range } = KINDS[kind]!;
  return { name: `${word}_${label}_${unit}`, path, unless, ...range };
}

/**
 * The sensors of a machine, as sources that come and go.
 *
 * @param root Root of /sys.
 */
export function sensorGroup(root: string, now: () => Date): SourceGroup {
  let found: Promise<readonly Source[]> | undefined;
  let known: readonly Source[] = [];
  let foundAtMs = -Infinity;
  /** Names that were told once to be unclear. */
  const told = new Set<string>();
  /** What hangs in one of them is still waited for after it was found again. */
  const sources = new Map<string, Source>();
  const sourceOf = (sensor: Sensor): Source => {
    const key = JSON.stringify(sensor);
    const source = sources.get(key) ??
      onceAtATime({ name: `system:${sensor.name}`, read: () => readSensor(sensor) });
    sources.set(key, source);
    return source;
  };
  const findAnew = async () => {
    const { sensors, unclear } = await findSensors(root);
    const keys = new Set(sensors.map((sensor) => JSON.stringify(sensor)));
    for (const key of sources.keys()) if (!keys.has(key)) sources.delete(key);
    known = sensors.map(sourceOf);
    foundAtMs = now().getTime();
    const untold = unclear.filter((name) => !told.has(name));
    for (const name of untold) told.add(name);
    return untold.length === 0 ? known : [...known, unclearSource(untold)];
  };
  return {
    name: "system",
    find() {
      const ageMs = now().getTime() - foundAtMs;
      // A clock set back must not keep the list for years. A search that hangs keeps the last list.
      if ((ageMs >= 0 && ageMs < RESCAN_MS) || found !== undefined) return known;
      found = findAnew().finally(() => void (found = undefined));
      return found;
    },
  };
}

/** A source that tells, and reads nothing. */
function unclearSource(names: readonly string[]): Source {
  return {
    name: "system",
    read() {
      throw sourceError(
        "system",
        `several sensors would be called ${names.join(", ")}, and nothing tells them apart`,
        "name the files of those that matter: --source system,file:NAME=PATH",
      );
    },
  };
}

/** What is made of each folder that a folder's links of such a name lead to; none when there is no such folder. */
async function each<T>(
  folder: string,
  pattern: RegExp,
  make: (path: string) => Promise<T>,
): Promise<T[]> {
  const entries = (await list(folder)).filter(({ name }) => pattern.test(name));
  const made = await Promise.all(entries.map(async ({ name }) => {
    try {
      return [await make(await Deno.realPath(`${folder}/${name}`))];
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw rightsError(`${folder}/${name}`, error);
      if (error instanceof Deno.errors.NotFound) return []; // it was unplugged this moment
      throw error;
    }
  }));
  return made.flat();
}

/** Entries of a folder, by their number; none when there is no such folder. */
async function list(folder: string): Promise<Deno.DirEntry[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    const number = ({ name }: Deno.DirEntry) => Number(/\d*$/.exec(name)![0]);
    return entries.sort((a, b) => number(a) - number(b));
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw rightsError(folder, error);
    }
    return []; // no such folder on this machine
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw rightsError(path, error);
    return undefined; // ENODATA, EIO, EAGAIN: switched off, or asleep
  }
}

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await Deno.readLink(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw rightsError(path, error);
    return undefined;
  }
}
