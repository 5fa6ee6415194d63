/**
 * Names of readings: parts of `[a-z0-9_]` made from what the kernel calls a thing, and which names are wanted. Pure.
 *
 * What tells a device from another of its kind is where it is attached, written as lm-sensors writes it, and depends on
 * nothing else: so a name belongs to one device, whatever else is plugged in and in whatever order it is found.
 */

/**
 * Turns a label of the kernel into a part of a name.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { slug } from "./names.ts";
 *
 * assertEquals(slug("Package id 0\n"), "package_id_0");
 * assertEquals(slug("cpu-thermal"), "cpu_thermal");
 * ```
 */
export function slug(label: string): string {
  return label.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(
    /^_+|_+$/g,
    "",
  );
}

const PCI = /^([\da-f]{4,}):([\da-f]{2}):([\da-f]{2})\.([0-7])$/;
const I2C = /^(\d+)-([\da-f]{4})$/;
const SPI = /^spi(\d+)\.(\d+)$/;
const WIRE = /^[\da-f]{2}-[\da-f]{12}$/;
const USB = /^\d+-\d+(\.\d+)*$/;

/**
 * A chip by its name and by what tells it from others of that name.
 *
 * @param chip What its driver calls it.
 * @param path The folder of its device, below /sys/devices, without links.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { chipLabel } from "./names.ts";
 *
 * assertEquals(chipLabel("nvme", "/sys/devices/pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0"), "nvme_pci_0100");
 * assertEquals(chipLabel("lm75", "/sys/devices/platform/fe804000.i2c/i2c-1/1-0048"), "lm75_i2c_1_48");
 * assertEquals(chipLabel("coretemp", "/sys/devices/platform/coretemp.0"), "coretemp");
 * ```
 */
export function chipLabel(chip: string, path: string): string {
  const label = slug(chip) || "chip";
  const steps = path.split("/");
  for (const step of steps.toReversed()) {
    const [, domain, bus, device, part] = PCI.exec(step) ?? [];
    if (domain !== undefined) {
      const number = (parseInt(domain, 16) * 65536) + (parseInt(bus!, 16) << 8) +
        (parseInt(device!, 16) << 3) + Number(part);
      return `${label}_pci_${number.toString(16).padStart(4, "0")}`;
    }
    const i2c = I2C.exec(step);
    if (i2c !== null) return `${label}_i2c_${i2c[1]}_${parseInt(i2c[2]!, 16).toString(16)}`;
    const spi = SPI.exec(step);
    if (spi !== null) return `${label}_spi_${spi[1]}_${spi[2]}`;
    if (WIRE.test(step)) return `${label}_${slug(step)}`;
    if (USB.test(step)) return `${label}_usb_${slug(step)}`;
  }
  const own = steps.at(-1)!;
  const [, stem, instance] = /^(.*?)[.:](\d+)$/.exec(own) ?? [, own, "0"];
  const same = (text: string) => slug(text).replaceAll("_", "");
  if (own === "virtual" || own === "" || same(stem!) === same(chip)) {
    return Number(instance) === 0 ? label : `${label}_${Number(instance)}`;
  }
  return same(own) === same(chip) ? label : `${label}_${slug(own)}`;
}

/**
 * Returns a function that says of a name whether it is wanted: it matches one of `only`, where there are such, and none of
 * `except`. In a pattern `*` stands for any characters and `?` for one.
 */
export function nameFilter(
  only: readonly string[] | undefined,
  except: readonly string[] | undefined,
): (name: string) => boolean {
  const [wanted, unwanted] = [only, except].map((patterns) =>
    patterns && new RegExp(`^(${patterns.map(globSource).join("|")})$`)
  );
  return (name) => (wanted?.test(name) ?? true) && !(unwanted?.test(name) ?? false);
}

/** A pattern of file names as a regular expression: `*` and `?`, which match no slash. */
export function globSource(pattern: string): string {
  return pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*").replaceAll(
    "?",
    "[^/]",
  );
}
